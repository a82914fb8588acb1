// What the passes have in common: sizes, and reductions over the lanes of a workgroup.

struct Settings {
    rows: u32,
    vocab: u32,
    stride: u32,
    inverse_temperature: f32,
    temperature: f32,
    alpha: f32,
}

@group(0) @binding(0) var<uniform> settings: Settings;

const MASKED_BITS: u32 = 0xf149f2cau;
const INFINITY_BITS: u32 = 0x7f800000u;

var<workgroup> parts: array<f32, WORKGROUP_SIZE>;

fn reduce_max(lane: u32, value: f32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        if lane < step {
            parts[lane] = max(parts[lane], parts[lane + step]);
        }
        workgroupBarrier();
    }
    let result = parts[0];
    workgroupBarrier();
    return result;
}

fn reduce_sum(lane: u32, value: f32) -> f32 {
    parts[lane] = value;
    workgroupBarrier();
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        if lane < step {
            parts[lane] += parts[lane + step];
        }
        workgroupBarrier();
    }
    let result = parts[0];
    workgroupBarrier();
    return result;
}

fn largest(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}
