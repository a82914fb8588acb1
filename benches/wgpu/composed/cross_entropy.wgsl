// The cross-entropy of each row: minus the label's logarithm of probability.

@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> terms: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row < settings.rows {
        terms[row] = -bitcast<f32>(load_student(row * settings.stride + labels[2u * row], 1u).x);
    }
}
