//! AVX-512 (F, DQ and VL): 16 lanes.

use std::arch::x86_64::*;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use super::{STRIP, Simd, Store, Task, Vector, polynomials};

/// How `reduce` rounds what it subtracts.
const TO_LARGEST_INTEGER_BELOW: i32 = 1;

/// Proof that the processor has AVX-512 F, DQ and VL.
#[derive(Debug, Clone, Copy)]
pub(in crate::cpu) struct Avx512(());

/// Sixteen lanes. Made by way of an [`Avx512`] only.
#[derive(Debug, Clone, Copy)]
pub(in crate::cpu) struct F32x16(__m512);

impl Avx512 {
    /// The proof, where the processor has what it says.
    pub(in crate::cpu) fn detect() -> Option<Self> {
        let here = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        here.then_some(Self(()))
    }
}

/// Calls an intrinsic of the set.
macro_rules! intrinsic {
    ($($call:tt)*) => {
        // SAFETY: the processor has the instructions: an `Avx512` proves it, and there is no `F32x16` without one. What is
        // read or written through a pointer is a part of a strip, which is borrowed, sliced to the length of the access.
        unsafe { $($call)* }
    };
}

/// The part of a strip that vector `index` takes: sixteen elements.
#[inline(always)]
fn part<T>(strip: &[T; STRIP], index: usize) -> &[T; 16] {
    &strip.as_chunks::<16>().0[index]
}

#[inline(always)]
fn part_mut<T>(strip: &mut [T; STRIP], index: usize) -> &mut [T; 16] {
    &mut strip.as_chunks_mut::<16>().0[index]
}

/// `2^r` for `r` from 0 to 1: minimax for the relative error, off by 8.3e-8, the constant term held at 1.
const EXP2: [f32; 6] = [1.0, 0.693_151_3, 0.240_164_6, 0.055_799_514, 0.009_017_48, 0.001_866_952_6];

#[inline(never)]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn run<T: Task>(task: T, simd: Avx512) -> T::Output {
    task.run(simd)
}

impl Simd for Avx512 {
    type V = F32x16;
    /// The lane to take, counted through both vectors.
    type Shift = __m512i;

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: an `Avx512` is a proof that the processor has these instructions.
        unsafe { run(task, self) }
    }

    /// In fewer steps than by rounding: one instruction takes what is left of the largest integer below, and another multiplies
    /// by 2 to the power of that integer. It is slow where the result is subnormal, hence the mask.
    #[inline(always)]
    fn exp2<const N: usize>(self, x: [F32x16; N], low: bool) -> [F32x16; N] {
        let mut rest = x;
        for index in 0..N {
            rest[index] = F32x16(intrinsic!(_mm512_reduce_ps::<TO_LARGEST_INTEGER_BELOW>(x[index].0)));
        }
        let mut powers = polynomials(self, rest, EXP2);
        for index in 0..N {
            let (power, x) = (powers[index].0, x[index].0);
            powers[index] = F32x16(if low {
                let normal = intrinsic!(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-126.0)));
                intrinsic!(_mm512_maskz_scalef_ps(normal, power, x))
            } else {
                intrinsic!(_mm512_scalef_ps(power, x))
            });
        }
        powers
    }

    #[inline(always)]
    fn vectors(strip: &[f32; STRIP]) -> &[[f32; 16]] {
        strip.as_chunks().0
    }

    #[inline(always)]
    fn vectors_mut(strip: &mut [f32; STRIP]) -> &mut [[f32; 16]] {
        strip.as_chunks_mut().0
    }

    #[inline(always)]
    fn vector(self, lanes: &[f32; 16]) -> F32x16 {
        F32x16(intrinsic!(_mm512_loadu_ps(lanes.as_ptr())))
    }

    #[inline(always)]
    fn shift(self, lanes: usize) -> __m512i {
        let first = intrinsic!(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
        intrinsic!(_mm512_add_epi32(first, _mm512_set1_epi32(lanes as i32)))
    }

    #[inline(always)]
    fn joined(self, first: F32x16, second: F32x16, shift: __m512i) -> F32x16 {
        F32x16(intrinsic!(_mm512_permutex2var_ps(first.0, shift, second.0)))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> F32x16 {
        F32x16(intrinsic!(_mm512_set1_ps(value)))
    }

    #[inline(always)]
    fn load(self, strip: &[f32; STRIP], index: usize) -> F32x16 {
        F32x16(intrinsic!(_mm512_loadu_ps(part(strip, index).as_ptr())))
    }

    #[inline(always)]
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> F32x16 {
        F32x16(intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(part(strip, index).as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> F32x16 {
        let narrow = intrinsic!(_mm512_cvtepu16_epi32(_mm256_loadu_si256(part(strip, index).as_ptr().cast())));
        F32x16(intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(narrow))))
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        intrinsic!(_mm_prefetch::<_MM_HINT_T0>(address.cast()));
    }

    #[inline(always)]
    fn fence(self) {
        intrinsic!(_mm_sfence());
    }
}

impl Add for F32x16 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_add_ps(self.0, other.0)))
    }
}

impl Sub for F32x16 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_sub_ps(self.0, other.0)))
    }
}

impl Mul for F32x16 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_mul_ps(self.0, other.0)))
    }
}

impl F32x16 {
    #[inline(always)]
    fn bits(self) -> __m512i {
        intrinsic!(_mm512_castps_si512(self.0))
    }
}

/// Stores sixteen 16-bit elements.
#[inline(always)]
fn store_halves<T>(to: &mut [T; 16], halves: __m256i, how: Store) {
    const { assert!(size_of::<T>() == 2) };
    let to: *mut __m256i = to.as_mut_ptr().cast();
    match how {
        Store::Streaming if to.is_aligned() => intrinsic!(_mm256_stream_si256(to, halves)),
        _ => intrinsic!(_mm256_storeu_si256(to, halves)),
    }
}

impl Vector for F32x16 {
    const LANES: usize = 16;
    type Mask = __mmask16;
    type Lanes = [f32; 16];

    #[inline(always)]
    fn store_lanes(self, lanes: &mut [f32; 16]) {
        intrinsic!(_mm512_storeu_ps(lanes.as_mut_ptr(), self.0));
    }

    #[inline(always)]
    fn stream_lanes(self, lanes: &mut [f32; 16]) {
        let to = lanes.as_mut_ptr();
        match to.cast::<__m512>().is_aligned() {
            true => intrinsic!(_mm512_stream_ps(to, self.0)),
            false => intrinsic!(_mm512_storeu_ps(to, self.0)),
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm512_fmadd_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn mul_sub(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm512_fmsub_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn max_or_second(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn min_or_second(self, other: Self) -> Self {
        Self(intrinsic!(_mm512_min_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn less_than(self, other: Self) -> __mmask16 {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0))
    }

    #[inline(always)]
    fn both(a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }

    #[inline(always)]
    fn all(mask: __mmask16) -> bool {
        mask == 0xffff
    }

    #[inline(always)]
    fn mul_where(self, mask: __mmask16, b: Self, otherwise: Self) -> Self {
        Self(intrinsic!(_mm512_mask_mul_ps(otherwise.0, mask, self.0, b.0)))
    }

    #[inline(always)]
    fn scale_by_power(self, exponent: Self) -> Self {
        let power = intrinsic!(_mm512_slli_epi32::<23>(exponent.bits()));
        Self(intrinsic!(_mm512_castsi512_ps(_mm512_add_epi32(self.bits(), power))))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        intrinsic!(_mm512_reduce_add_ps(self.0))
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        intrinsic!(_mm512_reduce_max_ps(self.0))
    }

    #[inline(always)]
    fn smallest(self) -> f32 {
        intrinsic!(_mm512_reduce_min_ps(self.0))
    }

    #[inline(always)]
    fn store(self, strip: &mut [f32; STRIP], index: usize, how: Store) {
        match how {
            Store::Streaming => self.stream_lanes(part_mut(strip, index)),
            Store::Cached => self.store_lanes(part_mut(strip, index)),
        }
    }

    #[inline(always)]
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, how: Store) {
        let halves = intrinsic!(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
        store_halves(part_mut(strip, index), halves, how);
    }

    #[inline(always)]
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store) {
        let bits = self.bits();
        let high = intrinsic!(_mm512_srli_epi32::<16>(bits));
        let ties_to_even =
            intrinsic!(_mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff)));
        let rounded = intrinsic!(_mm512_srli_epi32::<16>(_mm512_add_epi32(bits, ties_to_even)));
        store_halves(part_mut(strip, index), intrinsic!(_mm512_cvtepi32_epi16(rounded)), how);
    }
}
