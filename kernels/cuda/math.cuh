// The transcendental functions of the kernels: the twin of src/math.rs.

static constexpr float LOG2_E = 1.4426950408889634f;
static constexpr float LARGEST = 3.402823466e38f;
#define INFINITE __int_as_float(0x7f800000)
#define NOT_A_NUMBER __int_as_float(0x7fc00000)

// 2^x by the special-function unit: off by 2 units in the last place at most, exactly 1 at 0. Results below the smallest
// normal number are 0.
__device__ __forceinline__ float exp2_special(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}

// 2^x for x ≤ 0 by multiplications and additions alone, to 2e-7 relative, exactly 1 at 0: where the special-function unit
// has enough to do. x is split into an integer, which becomes the exponent, and a rest in [-½, ½], where the polynomial of
// degree 6 (minimax for the relative error, constant term held at 1) is off by 2e-9.
__device__ __forceinline__ float exp2_polynomial(float x) {
    // Adding and subtracting 1.5 · 2^23 rounds to an integer, whose two's complement is left in the low bits of the sum.
    constexpr float ROUND = 12582912.0f;
    // At -127 the exponent bits below are 0, and so is the result. NaN stays NaN.
    x = x < -127.0f ? -127.0f : x;
    float shifted = x + ROUND;
    float rest = x - (shifted - ROUND);
    float mantissa = fmaf(0.00015353362f, rest, 0.0013398875f);
    mantissa = fmaf(mantissa, rest, 0.009618437f);
    mantissa = fmaf(mantissa, rest, 0.055503324f);
    mantissa = fmaf(mantissa, rest, 0.24022648f);
    mantissa = fmaf(mantissa, rest, 0.6931472f);
    mantissa = fmaf(mantissa, rest, 1.0f);
    return mantissa * __int_as_float((__float_as_int(shifted) + 127) << 23);
}

// φ(y) = e^y - 1 - y for |y| < ½, to 1e-7 relative: y² · R(y), with R of degree 5 (minimax, off by 2.4e-8).
// Outside that range the value means nothing, and the caller takes the other branch.
__device__ __forceinline__ float phi(float y) {
    float ratio = fmaf(0.00019875629f, y, 0.0013981997f);
    ratio = fmaf(ratio, y, 0.008333452f);
    ratio = fmaf(ratio, y, 0.041665796f);
    ratio = fmaf(ratio, y, 0.16666666f);
    ratio = fmaf(ratio, y, 0.5f);
    return y * y * ratio;
}
