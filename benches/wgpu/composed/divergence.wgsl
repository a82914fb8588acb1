// KL(teacher ‖ student) of each row, from both logarithms of probabilities.

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x;
    var sum = vec4(0.0);
    for (var group = lane; group < (settings.vocab + 3u) / 4u; group += WORKGROUP_SIZE) {
        let count = min(settings.vocab - 4u * group, 4u);
        let start = row * settings.stride + 4u * group;
        let log_p = bitcast<vec4<f32>>(load_teacher(start, count));
        let log_q = bitcast<vec4<f32>>(load_student(start, count));
        sum += exp(log_p) * (log_p - log_q);
    }
    let divergence = reduce_sum(lane, dot(sum, vec4(1.0)));
    if lane == 0u {
        terms[row] = divergence * settings.temperature * settings.temperature;
    }
}

@group(0) @binding(3) var<storage, read_write> terms: array<f32>;
