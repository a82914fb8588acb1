//! Vectors of `f32`: the few operations that the loops of [`tile`](super::tile) are written in, once for all instruction sets.
//!
//! A value of a type that implements [`Simd`] is a proof that the processor has its instructions: it is made in
//! [`Detected`](super::instructions::Detected) alone, where that was found out. Vectors are made from such a
//! proof only, so every operation on a vector may use the instructions.
//!
//! The loops go by strips of [`STRIP`] elements, whose number is known when the program is compiled: bounds are checked
//! there, and no check is left inside.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod portable;

use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use crate::math;

/// Vectors that a loop over exponentials takes at a time, step by step side by side: one exponential is a chain of ten
/// instructions that wait for one another, and a processor looks only so far ahead for others.
pub(super) const SIDE_BY_SIDE: usize = 4;

/// Vectors of each matrix that the loop over pairs takes at a time: it has more to do beside, and more numbers to hold in registers.
pub(super) const PAIRS_SIDE_BY_SIDE: usize = 2;

/// Elements of a strip, the step of every loop: eight vectors of AVX-512, sixteen of AVX2, and eight cache lines of `f32`.
pub(super) const STRIP: usize = 128;

/// Something that is computed with whatever instructions there are.
pub(super) trait Task {
    type Output;
    /// To be inlined whole: what is not is compiled without the instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A set of vector instructions.
pub(super) trait Simd: Copy {
    type V: Vector;
    /// See [`joined`](Self::joined).
    type Shift: Copy;

    /// Runs a task as a function of its own, compiled with the instructions.
    fn run<T: Task>(self, task: T) -> T::Output;

    /// A strip as the lanes of vectors, for a loop that goes vector by vector.
    fn vectors(strip: &[f32; STRIP]) -> &[<Self::V as Vector>::Lanes];
    /// As [`vectors`](Self::vectors).
    fn vectors_mut(strip: &mut [f32; STRIP]) -> &mut [<Self::V as Vector>::Lanes];
    /// The vector of some lanes.
    fn vector(self, lanes: &<Self::V as Vector>::Lanes) -> Self::V;

    /// How far [`joined`](Self::joined) goes: by less than the lanes of a vector.
    fn shift(self, lanes: usize) -> Self::Shift;
    /// The vector that begins so many lanes into the first of two that follow one another.
    fn joined(self, first: Self::V, second: Self::V, shift: Self::Shift) -> Self::V;

    /// The same number in every lane.
    fn splat(self, value: f32) -> Self::V;
    /// Vector number `index` of a strip.
    fn load(self, strip: &[f32; STRIP], index: usize) -> Self::V;
    /// As [`load`](Self::load), widened.
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> Self::V;
    /// As [`load`](Self::load), widened.
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> Self::V;
    /// `2^x` for each number, below 2e-7 off, where all are from -126 to 126. If some may be `low`, what is below the smallest
    /// normal number is 0 or that number; from -127 on 0. Above 126, and of NaN, any number or NaN.
    #[inline(always)]
    fn exp2<const N: usize>(self, x: [Self::V; N], low: bool) -> [Self::V; N] {
        exp2_by_rounding(self, x, low)
    }
    /// Asks for the cache line that holds an address, which need not be one of this process. Changes nothing.
    fn prefetch<T>(self, address: *const T);
    /// Asks for what lies so many bytes behind a value, whether there is any or not.
    #[inline(always)]
    fn prefetch_ahead<T: ?Sized>(self, of: &T, bytes: usize) {
        self.prefetch(std::ptr::from_ref(of).cast::<u8>().wrapping_add(bytes));
    }
    /// Orders the stores past the caches before all that follow.
    fn fence(self);
}

/// How a vector is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Through the caches.
    Cached,
    /// Past the caches, where the destination begins at a multiple of the vector's size: for what does not fit them. The line is
    /// then not read before it is written. Such stores are ordered by [`Simd::fence`] only.
    Streaming,
}

/// A vector of `f32` lanes.
pub(super) trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Lanes, a divisor of [`STRIP`].
    const LANES: usize;
    type Mask: Copy;
    /// The lanes in memory: an array of `f32`.
    type Lanes;

    /// Stores the lanes.
    fn store_lanes(self, lanes: &mut Self::Lanes);

    /// Stores the lanes past the caches, if they lie at a multiple of the vector's size.
    fn stream_lanes(self, lanes: &mut Self::Lanes);

    /// `self · b + c`, rounded once where the instruction exists.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self · b - c`, rounded once where the instruction exists.
    fn mul_sub(self, b: Self, c: Self) -> Self;
    /// The larger of two numbers, `other` if either is NaN.
    fn max_or_second(self, other: Self) -> Self;
    /// The smaller of two numbers, `other` if either is NaN.
    fn min_or_second(self, other: Self) -> Self;
    /// Whether `self < other`; false for NaN.
    fn less_than(self, other: Self) -> Self::Mask;
    /// The lanes that are set in both masks.
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Whether all lanes are set.
    fn all(mask: Self::Mask) -> bool;
    /// In each lane `self · b` where the mask is set, else `otherwise`.
    fn mul_where(self, mask: Self::Mask, b: Self, otherwise: Self) -> Self;
    /// `self` times 2 to the power of the integer in the low bits of `exponent`: see [`exp2_by_rounding`]. Only for results that
    /// are normal, or 0 if `self` is 1 and the integer -127.
    fn scale_by_power(self, exponent: Self) -> Self;

    /// The lanes added as a balanced tree.
    fn sum(self) -> f32;
    /// The largest lane, where none is NaN.
    fn largest(self) -> f32;
    /// The smallest lane, where none is NaN.
    fn smallest(self) -> f32;

    /// Stores to vector number `index` of a strip.
    fn store(self, strip: &mut [f32; STRIP], index: usize, how: Store);
    /// As [`store`](Self::store), rounded to nearest, ties to even.
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, how: Store);
    /// As [`store`](Self::store), rounded to nearest, ties to even. Of NaN only what arithmetic makes stays NaN: another's digits may
    /// be carried into its sign.
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store);
}

/// Adding and subtracting `1.5 · 2^23` rounds an `f32` of magnitude below `2^22` to an integer, whose two's complement is
/// left in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// [`Simd::exp2`] by the steps of [`math::exp2`], with a polynomial of one degree less.
#[inline(always)]
fn exp2_by_rounding<S: Simd, const N: usize>(simd: S, mut x: [S::V; N], low: bool) -> [S::V; N] {
    let round = simd.splat(ROUND);
    let mut shifted = x;
    for index in 0..N {
        if low {
            x[index] = simd.splat(-127.0).max_or_second(x[index]);
        }
        shifted[index] = x[index] + round;
        x[index] = x[index] - (shifted[index] - round);
    }
    x = polynomials(simd, x, EXP2);
    for index in 0..N {
        x[index] = x[index].scale_by_power(shifted[index]);
    }
    x
}

/// `2^r` for `r` in `[-½, ½]`: minimax for the relative error, off by 1.05e-7, the constant term held at 1. One term more, as in
/// [`math::EXP2`], would halve the error of the exponential (below 2e-7), and add one instruction to the twenty of a loop.
const EXP2: [f32; 6] = [1.0, std::f32::consts::LN_2, 0.240_222_83, 0.055_505_585, 0.009_669_661, 0.001_330_053_2];

/// `φ(y) / y²` for `|y| < ½`: see [`math::phi`].
#[inline(always)]
pub(super) fn phi_over_square<S: Simd, const N: usize>(simd: S, y: [S::V; N]) -> [S::V; N] {
    polynomials(simd, y, math::PHI)
}

/// Horner's rule for several numbers, step by step side by side; `coefficients` begin with the constant.
#[inline(always)]
fn polynomials<S: Simd, const N: usize, const M: usize>(simd: S, x: [S::V; N], coefficients: [f32; M]) -> [S::V; N] {
    let mut values = [simd.splat(coefficients[M - 1]); N];
    for &next in coefficients[..M - 1].iter().rev() {
        for index in 0..N {
            values[index] = values[index].mul_add(x[index], simd.splat(next));
        }
    }
    values
}
