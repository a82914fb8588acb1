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

__device__ __forceinline__ Two exp2_special(Two x) { return Two{exp2_special(x.low), exp2_special(x.high)}; }

// The larger of x and a bound; NaN stays NaN.
__device__ __forceinline__ float at_least(float x, float bound) { return x < bound ? bound : x; }
__device__ __forceinline__ Two at_least(Two x, float bound) { return Two{at_least(x.low, bound), at_least(x.high, bound)}; }

// 2^n, where n is a whole number from -127 on, whose two's complement stands in the low bits of x.
__device__ __forceinline__ float power_of_two(float x) { return __int_as_float((__float_as_int(x) + 127) << 23); }
__device__ __forceinline__ Two power_of_two(Two x) { return Two{power_of_two(x.low), power_of_two(x.high)}; }

// 2^x for x ≤ 0 by multiplications and additions alone, to 2e-7 relative, exactly 1 at 0: where the special-function unit
// has enough to do. x is split into an integer, which becomes the exponent, and a rest in [-½, ½], where the polynomial of
// degree 6 (minimax for the relative error, constant term held at 1) is off by 2e-9.
template <class Number>
__device__ __forceinline__ Number exp2_polynomial(Number x) {
    // Adding and subtracting 1.5 · 2^23 rounds to an integer, whose two's complement is left in the low bits of the sum.
    constexpr float ROUND = 12582912.0f;
    // At -127 the exponent's bits are 0, and so is the result.
    x = at_least(x, -127.0f);
    Number shifted = x + ROUND;
    Number rest = x - (shifted - ROUND);
    Number mantissa = fmaf(Number(0.00015353362f), rest, 0.0013398875f);
    mantissa = fmaf(mantissa, rest, 0.009618437f);
    mantissa = fmaf(mantissa, rest, 0.055503324f);
    mantissa = fmaf(mantissa, rest, 0.24022648f);
    mantissa = fmaf(mantissa, rest, 0.6931472f);
    mantissa = fmaf(mantissa, rest, 1.0f);
    return mantissa * power_of_two(shifted);
}

// φ(y) = e^y - 1 - y for |y| < ½, to 1e-7 relative: y² · R(y), with R of degree 5 (minimax, off by 2.4e-8).
// Outside that range the value means nothing, and the caller takes the other branch.
__device__ __forceinline__ Two phi(Two y) {
    Two ratio = fmaf(0.00019875629f, y, 0.0013981997f);
    ratio = fmaf(ratio, y, 0.008333452f);
    ratio = fmaf(ratio, y, 0.041665796f);
    ratio = fmaf(ratio, y, 0.16666666f);
    ratio = fmaf(ratio, y, 0.5f);
    return y * y * ratio;
}
