//! The two transcendental functions of the kernels, as polynomials that a compiler vectorises: no branch, no table.
//!
//! Products and sums are rounded each: without the instruction, `f32::mul_add` is a call into the C library. The loops of
//! `cpu::simd` have the same polynomials in fused multiply-adds where a processor has them.

/// `log2(e)`, to write `e^x` as `2^(x · LOG2_E)`.
pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// Adding and subtracting `1.5 · 2^23` rounds an `f32` of magnitude below `2^22` to an integer, whose two's complement
/// is left in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// `2^r` for `r` in `[-½, ½]`: minimax for the relative error, off by 2e-9, the constant term held at 1.
pub(crate) const EXP2: [f32; 7] =
    [1.0, std::f32::consts::LN_2, 0.240_226_48, 0.055_503_324, 0.009_618_437, 0.001_339_887_5, 0.000_153_533_62];

/// `φ(y) / y²` for `y` in `(-½, ½)`: minimax for the relative error, off by 2.4e-8.
pub(crate) const PHI: [f32; 6] = [0.5, 0.166_666_66, 0.041_665_796, 0.008_333_452, 0.001_398_199_7, 0.000_198_756_29];

/// Evaluates a polynomial by Horner's rule; `coefficients` begin with the constant.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[N - 1];
    for degree in (0..N - 1).rev() {
        value = value * x + coefficients[degree];
    }
    value
}

/// The larger of two numbers; `b` if either is NaN. One instruction, unlike `f32::max`, which has to look for NaN.
#[inline(always)]
pub(crate) fn max_or_second(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `2^x` for `x ≤ 0`, to 2e-7 relative; exactly 1 at 0. Results below the smallest normal number are 0, since
/// subnormal arithmetic is slow on some processors. NaN stays NaN.
///
/// `x` is split into an integer, which becomes the exponent, and a rest in `[-½, ½]`, for the polynomial [`EXP2`].
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    // At -127 the exponent bits below are 0, and so is the result.
    let x = max_or_second(-127.0, x);
    let shifted = x + ROUND;
    let rest = x - (shifted - ROUND);
    let mantissa = polynomial(rest, EXP2);
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * power
}

/// `φ(y) = e^y - 1 - y` for `|y| < ½`, to 1e-7 relative, as `y²` times the polynomial [`PHI`].
/// Outside that range the value means nothing, and the caller takes the other branch.
#[inline(always)]
pub(crate) fn phi(y: f32) -> f32 {
    y * y * polynomial(y, PHI)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `step`-th float between two of the same sign.
    fn floats(from: f32, to: f32, step: usize) -> impl Iterator<Item = f32> {
        let (low, high) = (from.to_bits().min(to.to_bits()), from.to_bits().max(to.to_bits()));
        (low..=high).step_by(step).map(f32::from_bits)
    }

    fn largest_relative_error(points: impl Iterator<Item = f32>, ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        points.map(|x| (f64::from(ours(x)) / exact(f64::from(x)) - 1.0).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn exp2_is_accurate_to_two_units_in_the_last_place() {
        assert!(largest_relative_error(floats(-1e-6, -126.0, 1009), exp2, f64::exp2) < 2e-7);
    }

    #[test]
    fn exp2_is_exact_at_zero_and_flushes_what_is_tiny() {
        assert_eq!(exp2(0.0), 1.0);
        assert_eq!(exp2(-126.0), f32::MIN_POSITIVE);
        for x in [-126.6, -127.0, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp2(x), 0.0);
        }
    }

    #[test]
    fn phi_is_accurate_on_both_sides_of_zero() {
        let exact = |y: f64| (2..30).rev().fold(0.0, |sum, k| (sum + 1.0) * y / f64::from(k)) * y;
        assert!(largest_relative_error(floats(1e-9, 0.5, 1009), phi, exact) < 3e-7);
        assert!(largest_relative_error(floats(-1e-9, -0.5, 1009), phi, exact) < 3e-7);
        assert_eq!(phi(0.0), 0.0);
    }
}
