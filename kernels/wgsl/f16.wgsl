// f16: IEEE half precision. Conversions are by integers, so that NaN, infinities and subnormal numbers survive.

fn f16_to_f32(halves: vec4<u32>) -> vec4<u32> {
    let sign = (halves & vec4(0x8000u)) << vec4(16u);
    let magnitude = halves & vec4(0x7fffu);
    // The exponents' biases differ by 112; a number without exponent is a multiple of 2⁻²⁴.
    let normal = (magnitude << vec4(13u)) + vec4(112u << 23u);
    let subnormal = bitcast<vec4<u32>>(vec4<f32>(magnitude) * 5.9604644775390625e-8);
    let nonfinite = (magnitude << vec4(13u)) | vec4(INFINITY_BITS);
    let finite = select(normal, subnormal, magnitude < vec4(0x0400u));
    return sign | select(finite, nonfinite, magnitude >= vec4(0x7c00u));
}

// The nearest, ties to even; what is too large becomes infinite, NaN stays NaN, whatever its payload.
fn f16_from_f32(bits: vec4<u32>) -> vec4<u32> {
    let sign = (bits >> vec4(16u)) & vec4(0x8000u);
    let magnitude = bits & vec4(0x7fffffffu);
    // Below 2⁻¹⁴ a half is a multiple of 2⁻²⁴, and one step further the smallest normal one.
    let subnormal = vec4<u32>(round(bitcast<vec4<f32>>(min(magnitude, vec4(0x38800000u))) * 16777216.0));
    let normal = (magnitude + vec4(0x0fffu) + ((magnitude >> vec4(13u)) & vec4(1u)) - vec4(112u << 23u)) >> vec4(13u);
    let finite = select(min(normal, vec4(0x7c00u)), subnormal, magnitude < vec4(0x38800000u));
    // 2¹⁶ and everything above, so that the sum in `normal` cannot have overflowed.
    let large = select(finite, vec4(0x7c00u), magnitude >= vec4(0x47800000u));
    return select(sign | large, vec4(0x7e00u), magnitude > vec4(INFINITY_BITS));
}
