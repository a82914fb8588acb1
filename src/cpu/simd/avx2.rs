//! AVX2 with fused multiply-add and F16C: 8 lanes.
//!
//! Sixteen registers hold no more than the constants of one loop; the rest come from the first-level cache as operands.

use std::arch::x86_64::*;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use super::{STRIP, Simd, Store, Task, Vector};

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(in crate::cpu) struct Avx2(());

/// Eight lanes. Made by way of an [`Avx2`] only.
#[derive(Debug, Clone, Copy)]
pub(in crate::cpu) struct F32x8(__m256);

impl Avx2 {
    /// The proof, where the processor has what it says.
    pub(in crate::cpu) fn detect() -> Option<Self> {
        let here =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        here.then_some(Self(()))
    }
}

/// Calls an intrinsic of the set.
macro_rules! intrinsic {
    ($($call:tt)*) => {
        // SAFETY: the processor has the instructions: an `Avx2` proves it, and there is no `F32x8` without one. What is
        // read or written through a pointer is a part of a strip, which is borrowed, sliced to the length of the access.
        unsafe { $($call)* }
    };
}

/// The part of a strip that vector `index` takes: eight elements.
#[inline(always)]
fn part<T>(strip: &[T; STRIP], index: usize) -> &[T; 8] {
    &strip.as_chunks::<8>().0[index]
}

#[inline(always)]
fn part_mut<T>(strip: &mut [T; STRIP], index: usize) -> &mut [T; 8] {
    &mut strip.as_chunks_mut::<8>().0[index]
}

#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn run<T: Task>(task: T, simd: Avx2) -> T::Output {
    task.run(simd)
}

impl Simd for Avx2 {
    type V = F32x8;
    /// The lane to take of each vector, and a mask of those that are the second's.
    type Shift = (__m256i, __m256);

    #[inline(always)]
    fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: an `Avx2` is a proof that the processor has these instructions.
        unsafe { run(task, self) }
    }

    #[inline(always)]
    fn vectors(strip: &[f32; STRIP]) -> &[[f32; 8]] {
        strip.as_chunks().0
    }

    #[inline(always)]
    fn vectors_mut(strip: &mut [f32; STRIP]) -> &mut [[f32; 8]] {
        strip.as_chunks_mut().0
    }

    #[inline(always)]
    fn vector(self, lanes: &[f32; 8]) -> F32x8 {
        F32x8(intrinsic!(_mm256_loadu_ps(lanes.as_ptr())))
    }

    #[inline(always)]
    fn shift(self, lanes: usize) -> (__m256i, __m256) {
        let first = intrinsic!(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
        let lanes = intrinsic!(_mm256_add_epi32(first, _mm256_set1_epi32(lanes as i32)));
        let of_second = intrinsic!(_mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(7)));
        (lanes, intrinsic!(_mm256_castsi256_ps(of_second)))
    }

    #[inline(always)]
    fn joined(self, first: F32x8, second: F32x8, (lanes, of_second): (__m256i, __m256)) -> F32x8 {
        // Of a lane's number the instruction uses the low three bits.
        let first = intrinsic!(_mm256_permutevar8x32_ps(first.0, lanes));
        let second = intrinsic!(_mm256_permutevar8x32_ps(second.0, lanes));
        F32x8(intrinsic!(_mm256_blendv_ps(first, second, of_second)))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> F32x8 {
        F32x8(intrinsic!(_mm256_set1_ps(value)))
    }

    #[inline(always)]
    fn load(self, strip: &[f32; STRIP], index: usize) -> F32x8 {
        F32x8(intrinsic!(_mm256_loadu_ps(part(strip, index).as_ptr())))
    }

    #[inline(always)]
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> F32x8 {
        F32x8(intrinsic!(_mm256_cvtph_ps(_mm_loadu_si128(part(strip, index).as_ptr().cast()))))
    }

    #[inline(always)]
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> F32x8 {
        let narrow = intrinsic!(_mm256_cvtepu16_epi32(_mm_loadu_si128(part(strip, index).as_ptr().cast())));
        F32x8(intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(narrow))))
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

impl Add for F32x8 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_add_ps(self.0, other.0)))
    }
}

impl Sub for F32x8 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_sub_ps(self.0, other.0)))
    }
}

impl Mul for F32x8 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_mul_ps(self.0, other.0)))
    }
}

impl F32x8 {
    #[inline(always)]
    fn bits(self) -> __m256i {
        intrinsic!(_mm256_castps_si256(self.0))
    }

    /// Both halves joined lane by lane, then again until one lane is left.
    #[inline(always)]
    fn reduce(self, join: impl Fn(__m128, __m128) -> __m128) -> f32 {
        let four = join(intrinsic!(_mm256_castps256_ps128(self.0)), intrinsic!(_mm256_extractf128_ps::<1>(self.0)));
        let two = join(four, intrinsic!(_mm_movehl_ps(four, four)));
        intrinsic!(_mm_cvtss_f32(join(two, _mm_movehdup_ps(two))))
    }
}

/// Stores eight 16-bit elements.
#[inline(always)]
fn store_halves<T>(to: &mut [T; 8], halves: __m128i, how: Store) {
    const { assert!(size_of::<T>() == 2) };
    let to: *mut __m128i = to.as_mut_ptr().cast();
    match how {
        Store::Streaming if to.is_aligned() => intrinsic!(_mm_stream_si128(to, halves)),
        _ => intrinsic!(_mm_storeu_si128(to, halves)),
    }
}

impl Vector for F32x8 {
    const LANES: usize = 8;
    type Mask = __m256;
    type Lanes = [f32; 8];

    #[inline(always)]
    fn store_lanes(self, lanes: &mut [f32; 8]) {
        intrinsic!(_mm256_storeu_ps(lanes.as_mut_ptr(), self.0));
    }

    #[inline(always)]
    fn stream_lanes(self, lanes: &mut [f32; 8]) {
        let to = lanes.as_mut_ptr();
        match to.cast::<__m256>().is_aligned() {
            true => intrinsic!(_mm256_stream_ps(to, self.0)),
            false => intrinsic!(_mm256_storeu_ps(to, self.0)),
        }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm256_fmadd_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn mul_sub(self, b: Self, c: Self) -> Self {
        Self(intrinsic!(_mm256_fmsub_ps(self.0, b.0, c.0)))
    }

    #[inline(always)]
    fn max_or_second(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn min_or_second(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_min_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn less_than(self, other: Self) -> __m256 {
        intrinsic!(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0))
    }

    #[inline(always)]
    fn both(a: __m256, b: __m256) -> __m256 {
        intrinsic!(_mm256_and_ps(a, b))
    }

    #[inline(always)]
    fn all(mask: __m256) -> bool {
        intrinsic!(_mm256_movemask_ps(mask)) == 0xff
    }

    #[inline(always)]
    fn mul_where(self, mask: __m256, b: Self, otherwise: Self) -> Self {
        Self(intrinsic!(_mm256_blendv_ps(otherwise.0, (self * b).0, mask)))
    }

    #[inline(always)]
    fn scale_by_power(self, exponent: Self) -> Self {
        let power = intrinsic!(_mm256_slli_epi32::<23>(exponent.bits()));
        Self(intrinsic!(_mm256_castsi256_ps(_mm256_add_epi32(self.bits(), power))))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        self.reduce(|a, b| intrinsic!(_mm_add_ps(a, b)))
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self.reduce(|a, b| intrinsic!(_mm_max_ps(a, b)))
    }

    #[inline(always)]
    fn smallest(self) -> f32 {
        self.reduce(|a, b| intrinsic!(_mm_min_ps(a, b)))
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
        let halves = intrinsic!(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
        store_halves(part_mut(strip, index), halves, how);
    }

    #[inline(always)]
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store) {
        let bits = self.bits();
        let high = intrinsic!(_mm256_srli_epi32::<16>(bits));
        let ties_to_even =
            intrinsic!(_mm256_add_epi32(_mm256_and_si256(high, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff)));
        let rounded = intrinsic!(_mm256_srli_epi32::<16>(_mm256_add_epi32(bits, ties_to_even)));
        let [low, high] = intrinsic!([_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded)]);
        let halves = intrinsic!(_mm_packus_epi32(low, high));
        store_halves(part_mut(strip, index), halves, how);
    }
}
