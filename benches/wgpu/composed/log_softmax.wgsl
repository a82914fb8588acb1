// log_softmax(logits / T), one row to a workgroup: the maximum, the sum, and the result, each with a reading of the row.

fn tempered(row: u32, group: u32) -> vec4<f32> {
    let count = min(settings.vocab - 4u * group, 4u);
    return bitcast<vec4<f32>>(load_logits(row * settings.stride + 4u * group, count)) * settings.inverse_temperature;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x;
    let groups = (settings.vocab + 3u) / 4u;
    var maximum = -1e30;
    for (var group = lane; group < groups; group += WORKGROUP_SIZE) {
        maximum = max(maximum, largest(tempered(row, group)));
    }
    maximum = reduce_max(lane, maximum);
    var sum = vec4(0.0);
    for (var group = lane; group < groups; group += WORKGROUP_SIZE) {
        sum += exp(tempered(row, group) - maximum);
    }
    let log_sum = maximum + log(reduce_sum(lane, dot(sum, vec4(1.0))));
    for (var group = lane; group < groups; group += WORKGROUP_SIZE) {
        let count = min(settings.vocab - 4u * group, 4u);
        store_output(row * settings.stride + 4u * group, count, bitcast<vec4<u32>>(tempered(row, group) - log_sum));
    }
}
