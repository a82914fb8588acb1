// bf16: the upper half of an f32. Conversions are by integers, so that NaN, infinities and subnormal numbers survive.

fn bf16_to_f32(halves: vec4<u32>) -> vec4<u32> {
    return halves << vec4(16u);
}

// The nearest, ties to even; NaN stays NaN, whatever its payload.
fn bf16_from_f32(bits: vec4<u32>) -> vec4<u32> {
    let rounded = (bits + 0x7fffu + ((bits >> vec4(16u)) & vec4(1u))) >> vec4(16u);
    return select(rounded, vec4(0x7fc0u), (bits & vec4(0x7fffffffu)) > vec4(INFINITY_BITS));
}
