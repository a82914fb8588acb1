// The loss: the means of both terms over rows, mixed.

@group(0) @binding(1) var<storage, read> hard: array<f32>;
@group(0) @binding(2) var<storage, read> soft: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var row = lane; row < settings.rows; row += WORKGROUP_SIZE) {
        sum += settings.alpha * hard[row] + (1.0 - settings.alpha) * soft[row];
    }
    sum = reduce_sum(lane, sum);
    if lane == 0u {
        loss[0] = sum / f32(settings.rows);
    }
}
