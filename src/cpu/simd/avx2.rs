//! AVX2 with fused multiply-add and F16C: 8 lanes.
//!
//! Its sixteen registers hold no more than the constants of one loop. All other numbers come from the first-level cache, as operands.

use std::arch::x86_64::*;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use super::strips::{STRIP, Strip};
use super::x86::{intrinsic, simd_methods, vector_methods, vector_types};
use super::{Simd, Store, Task, Vector};

vector_types! {
    /// Proof that the processor has AVX2, FMA and F16C.
    Avx2: ["avx2", "fma", "f16c"];
    /// Eight lanes. Only an [`Avx2`] makes one.
    F32x8: [__m256; 8], add _mm256_add_ps, sub _mm256_sub_ps, mul _mm256_mul_ps;
    halves: __m128i, store _mm_storeu_si128, stream _mm_stream_si128
}

impl Simd for Avx2 {
    simd_methods!(F32x8: [f32; 8], load _mm256_loadu_ps, splat _mm256_set1_ps);

    /// The lane to take of either vector, and a mask of the lanes that are the second's.
    type Shift = (__m256i, __m256);

    #[inline(always)]
    fn shift(self, lanes: usize) -> (__m256i, __m256) {
        let first = intrinsic!(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
        let lanes = intrinsic!(_mm256_add_epi32(first, _mm256_set1_epi32(lanes as i32)));
        let of_second = intrinsic!(_mm256_cmpgt_epi32(lanes, _mm256_set1_epi32(7)));
        (lanes, intrinsic!(_mm256_castsi256_ps(of_second)))
    }

    #[inline(always)]
    fn joined(self, first: F32x8, second: F32x8, (lanes, of_second): (__m256i, __m256)) -> F32x8 {
        // The instruction looks at the low three bits of a lane's number only.
        let first = intrinsic!(_mm256_permutevar8x32_ps(first.0, lanes));
        let second = intrinsic!(_mm256_permutevar8x32_ps(second.0, lanes));
        F32x8(intrinsic!(_mm256_blendv_ps(first, second, of_second)))
    }

    #[inline(always)]
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> F32x8 {
        F32x8(intrinsic!(_mm256_cvtph_ps(_mm_loadu_si128(halves(strip, index)))))
    }

    #[inline(always)]
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> F32x8 {
        let bits = intrinsic!(_mm256_cvtepu16_epi32(_mm_loadu_si128(halves(strip, index))));
        F32x8(intrinsic!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))))
    }
}

impl F32x8 {
    /// Joins the halves of a vector lane by lane, then again until one lane is left.
    #[inline(always)]
    fn reduce(self, join: impl Fn(__m128, __m128) -> __m128) -> f32 {
        let four = join(intrinsic!(_mm256_castps256_ps128(self.0)), intrinsic!(_mm256_extractf128_ps::<1>(self.0)));
        let two = join(four, intrinsic!(_mm_movehl_ps(four, four)));
        intrinsic!(_mm_cvtss_f32(join(two, _mm_movehdup_ps(two))))
    }
}

impl Vector for F32x8 {
    vector_methods!(
        [__m256; 8],
        store _mm256_storeu_ps, stream _mm256_stream_ps,
        mul_add _mm256_fmadd_ps, mul_sub _mm256_fmsub_ps, max _mm256_max_ps, min _mm256_min_ps,
        bits _mm256_castps_si256, from_bits _mm256_castsi256_ps, shift_left _mm256_slli_epi32, add_bits _mm256_add_epi32
    );

    type Mask = __m256;

    #[inline(always)]
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, how: Store) {
        let halves = intrinsic!(_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
        store_halves(strip, index, halves, how);
    }

    #[inline(always)]
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store) {
        let bits = intrinsic!(_mm256_castps_si256(self.0));
        let high = intrinsic!(_mm256_srli_epi32::<16>(bits));
        let ties_to_even =
            intrinsic!(_mm256_add_epi32(_mm256_and_si256(high, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff)));
        let rounded = intrinsic!(_mm256_srli_epi32::<16>(_mm256_add_epi32(bits, ties_to_even)));
        let [low, high] = intrinsic!([_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded)]);
        store_halves(strip, index, intrinsic!(_mm_packus_epi32(low, high)), how);
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
}
