//! Vectors of `f32`: the few operations that all loops are written in, once for every instruction set.
//!
//! * [`Simd`] is an instruction set. A value of its type proves that the processor has the instructions: only
//!   [`DetectedInstructions`](instructions::DetectedInstructions) makes one, and it asks the processor first.
//! * [`Vector`] is a vector of that set. Only a [`Simd`] value makes one, so every operation on a vector may use the instructions.
//! * [`Task`] is a piece of work, which [`Simd::run`] compiles for the set.
//!
//! A new instruction set is one file here and one line in [`instructions`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod element;
pub(crate) mod instructions;
mod portable;
pub(crate) mod strips;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use crate::math;
use strips::{STRIP, Strip};

/// Vectors that a loop takes through an exponential together, where it does little else. One exponential is a chain of ten
/// instructions, each of which waits for the one before; a processor finds too few others by itself to fill the gaps.
pub(crate) const SIDE_BY_SIDE: usize = 4;

/// Vectors of each matrix that the loop over pairs takes together. Fewer than [`SIDE_BY_SIDE`]: it has other instructions to fill
/// the gaps, and more numbers to hold in registers.
pub(crate) const PAIRS_SIDE_BY_SIDE: usize = 2;

/// A piece of work that any instruction set can do.
pub(crate) trait Task {
    type Output;
    /// Does the work. This function and all that it calls must be `#[inline(always)]`: a function that is not inlined is compiled
    /// without the instructions. [`Simd::run`] is the exception.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A set of vector instructions.
pub(crate) trait Simd: Copy {
    type V: Vector;
    /// How far [`joined`](Self::joined) goes, in the form that it needs.
    type Shift: Copy;

    /// Runs a task in a function of its own, compiled with the instructions.
    fn run<T: Task>(self, task: T) -> T::Output;

    /// The vector with `value` in every lane.
    fn splat(self, value: f32) -> Self::V;
    /// The vector of these lanes.
    fn vector(self, lanes: &<Self::V as Vector>::Lanes) -> Self::V;
    /// Vector number `index` of a strip.
    #[inline(always)]
    fn load(self, strip: &Strip, index: usize) -> Self::V {
        self.vector(&Self::V::vectors(strip)[index])
    }
    /// Vector number `index` of a strip, widened.
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> Self::V;
    /// Vector number `index` of a strip, widened.
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> Self::V;

    /// The shift for [`joined`](Self::joined) by so many lanes, fewer than a vector has.
    fn shift(self, lanes: usize) -> Self::Shift;
    /// One vector out of two that follow one another: it begins `shift` lanes into the first.
    fn joined(self, first: Self::V, second: Self::V, shift: Self::Shift) -> Self::V;

    /// `2^x` of every lane, with a relative error below 2e-7, for `x` from -126 to 126. Above 126 the result may be anything, and
    /// for NaN it may be a number.
    ///
    /// `x` may be below -126 only if `subnormals` is set. From -127 down the result is then 0; between -127 and -126 it is some
    /// number from 0 to the smallest normal one.
    #[inline(always)]
    fn exp2<const N: usize>(self, x: [Self::V; N], subnormals: bool) -> [Self::V; N] {
        exp2_by_rounding(self, x, subnormals)
    }

    /// Asks for the cache line at an address, which may be any address. Changes nothing.
    fn prefetch<T>(self, address: *const T);
    /// Asks for the cache line that lies `bytes` behind a value, whether memory is there or not.
    #[inline(always)]
    fn prefetch_ahead<T: ?Sized>(self, of: &T, bytes: usize) {
        self.prefetch(std::ptr::from_ref(of).cast::<u8>().wrapping_add(bytes));
    }
    /// Orders all stores past the caches so far before all later stores.
    fn fence(self);
}

/// How a vector is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// Through the caches.
    Cached,
    /// Past the caches, where the address is a multiple of the vector's size; else as [`Cached`](Self::Cached). The processor then
    /// does not read the line before it writes it. Only [`Simd::fence`] orders such stores.
    Streaming,
}

/// A vector of `f32` lanes.
pub(crate) trait Vector: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Lanes of a vector, a divisor of [`STRIP`].
    const LANES: usize;
    /// Vectors of a strip.
    const IN_STRIP: usize = STRIP / Self::LANES;
    /// One bit of truth for each lane.
    type Mask: Copy;
    /// The lanes in memory: an array of `f32`.
    type Lanes;

    /// A strip as the lanes of its vectors, for a loop that takes one after another.
    fn vectors(strip: &Strip) -> &[Self::Lanes];
    /// As [`vectors`](Self::vectors), to be written.
    fn vectors_mut(strip: &mut Strip) -> &mut [Self::Lanes];

    /// Stores the lanes.
    fn store_lanes(self, lanes: &mut Self::Lanes);
    /// Stores the lanes past the caches if their address is a multiple of the vector's size, else through them.
    #[inline(always)]
    fn stream_lanes(self, lanes: &mut Self::Lanes) {
        self.store_lanes(lanes);
    }
    /// Stores vector number `index` of a strip.
    #[inline(always)]
    fn store(self, strip: &mut Strip, index: usize, how: Store) {
        let lanes = &mut Self::vectors_mut(strip)[index];
        match how {
            Store::Streaming => self.stream_lanes(lanes),
            Store::Cached => self.store_lanes(lanes),
        }
    }
    /// Stores vector number `index` of a strip, rounded to nearest, ties to even.
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, how: Store);
    /// Stores vector number `index` of a strip, rounded to nearest, ties to even. The NaN that arithmetic makes stays NaN; another
    /// NaN may become a number, because rounding carries its digits into its sign.
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store);

    /// `self · b + c`, rounded once where the instruction exists.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// `self · b - c`, rounded once where the instruction exists.
    fn mul_sub(self, b: Self, c: Self) -> Self;
    /// The larger number of each lane; `other` where either is NaN.
    fn max_or_second(self, other: Self) -> Self;
    /// The smaller number of each lane; `other` where either is NaN.
    fn min_or_second(self, other: Self) -> Self;
    /// `self` times 2 to the power of the integer in the low bits of `exponent`, as [`exp2_by_rounding`] makes it. The result must be
    /// normal; where `self` is 1 and the integer -127, it is 0.
    fn scale_by_power(self, exponent: Self) -> Self;

    /// Where `self < other`; nowhere for NaN.
    fn less_than(self, other: Self) -> Self::Mask;
    /// Where both masks are set.
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Whether the mask is set in every lane.
    fn all(mask: Self::Mask) -> bool;
    /// `self · b` where the mask is set, `otherwise` elsewhere.
    fn mul_where(self, mask: Self::Mask, b: Self, otherwise: Self) -> Self;

    /// The sum of all lanes, added as a balanced tree.
    fn sum(self) -> f32;
    /// The largest lane, if none is NaN.
    fn largest(self) -> f32;
    /// The smallest lane, if none is NaN.
    fn smallest(self) -> f32;
}

/// The sum of several vectors, lane by lane, added as a balanced tree. `N` is a power of two.
#[inline(always)]
pub(crate) fn tree_sum<V: Vector, const N: usize>(mut vectors: [V; N]) -> V {
    let mut left = N;
    while left > 1 {
        left /= 2;
        for index in 0..left {
            vectors[index] = vectors[index] + vectors[index + left];
        }
    }
    vectors[0]
}

/// `1.5 · 2^23`. Added to an `f32` of magnitude below `2^22` and subtracted again, it rounds that number to an integer. The low bits
/// of the sum are that integer in two's complement.
const ROUND: f32 = 12_582_912.0;

/// `2^r` for `r` in `[-½, ½]`: minimax for the relative error, off by 1.05e-7, the constant term held at 1. One term more, as
/// [`math::EXP2`] has it, would halve the error of the exponential (below 2e-7) and cost one instruction more for each.
const EXP2: [f32; 6] = [1.0, std::f32::consts::LN_2, 0.240_222_83, 0.055_505_585, 0.009_669_661, 0.001_330_053_2];

/// [`Simd::exp2`] by the steps of [`math::exp2`], with a polynomial of one degree less.
#[inline(always)]
fn exp2_by_rounding<S: Simd, const N: usize>(simd: S, mut x: [S::V; N], subnormals: bool) -> [S::V; N] {
    let round = simd.splat(ROUND);
    let mut shifted = x;
    for index in 0..N {
        if subnormals {
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

/// `φ(y) / y²` for `|y| < ½`: see [`math::phi`].
#[inline(always)]
pub(crate) fn phi_over_square<S: Simd, const N: usize>(simd: S, y: [S::V; N]) -> [S::V; N] {
    polynomials(simd, y, math::PHI)
}

/// A polynomial of several vectors by Horner's rule, each step for all of them; `coefficients` begin with the constant.
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
