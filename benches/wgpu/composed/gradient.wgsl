// The gradient of both terms' mean, from the three logarithms of probabilities.

@group(0) @binding(5) var<storage, read> labels: array<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = workgroup.x;
    let label = labels[2u * row];
    let rows = f32(settings.rows);
    for (var group = lane; group < (settings.vocab + 3u) / 4u; group += WORKGROUP_SIZE) {
        let count = min(settings.vocab - 4u * group, 4u);
        let start = row * settings.stride + 4u * group;
        let one_hot = select(vec4(0.0), vec4(1.0), 4u * group + vec4(0u, 1u, 2u, 3u) == vec4(label));
        let hard = exp(bitcast<vec4<f32>>(load_plain(start, count))) - one_hot;
        let q = exp(bitcast<vec4<f32>>(load_student(start, count)));
        let p = exp(bitcast<vec4<f32>>(load_teacher(start, count)));
        let entries = (settings.alpha * hard + (1.0 - settings.alpha) * settings.temperature * (q - p)) / rows;
        store_gradient(start, count, bitcast<vec4<u32>>(entries));
    }
}
