//! AVX-512 (F, DQ and VL): 16 lanes.

use std::arch::x86_64::*;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use super::strips::{STRIP, Strip};
use super::x86::{intrinsic, simd_methods, vector_methods, vector_types};
use super::{Simd, Store, Task, Vector, polynomials};

vector_types! {
    /// Proof that the processor has AVX-512 F, DQ and VL.
    Avx512: ["avx512f", "avx512dq", "avx512vl"];
    /// Sixteen lanes. Only an [`Avx512`] makes one.
    F32x16: [__m512; 16], add _mm512_add_ps, sub _mm512_sub_ps, mul _mm512_mul_ps;
    halves: __m256i, store _mm256_storeu_si256, stream _mm256_stream_si256
}

/// How `_mm512_reduce_ps` rounds the integer that it subtracts.
const TO_LARGEST_INTEGER_BELOW: i32 = 1;

/// `2^r` for `r` from 0 to 1: minimax for the relative error, off by 8.3e-8, the constant term held at 1.
const EXP2: [f32; 6] = [1.0, 0.693_151_3, 0.240_164_6, 0.055_799_514, 0.009_017_48, 0.001_866_952_6];

impl Simd for Avx512 {
    simd_methods!(F32x16: [f32; 16], load _mm512_loadu_ps, splat _mm512_set1_ps);

    /// The lane to take, counted through both vectors.
    type Shift = __m512i;

    /// Takes fewer steps than rounding does: one instruction leaves what `x` is above the largest integer below, and another
    /// multiplies by 2 to the power of that integer. The latter is slow where its result is subnormal, so a mask makes that 0.
    #[inline(always)]
    fn exp2<const N: usize>(self, x: [F32x16; N], subnormals: bool) -> [F32x16; N] {
        let mut rest = x;
        for index in 0..N {
            rest[index] = F32x16(intrinsic!(_mm512_reduce_ps::<TO_LARGEST_INTEGER_BELOW>(x[index].0)));
        }
        let mut powers = polynomials(self, rest, EXP2);
        for index in 0..N {
            let (power, x) = (powers[index].0, x[index].0);
            powers[index] = F32x16(if subnormals {
                let normal = intrinsic!(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(-126.0)));
                intrinsic!(_mm512_maskz_scalef_ps(normal, power, x))
            } else {
                intrinsic!(_mm512_scalef_ps(power, x))
            });
        }
        powers
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
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> F32x16 {
        F32x16(intrinsic!(_mm512_cvtph_ps(_mm256_loadu_si256(halves(strip, index)))))
    }

    #[inline(always)]
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> F32x16 {
        let bits = intrinsic!(_mm512_cvtepu16_epi32(_mm256_loadu_si256(halves(strip, index))));
        F32x16(intrinsic!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))))
    }
}

impl Vector for F32x16 {
    vector_methods!(
        [__m512; 16],
        store _mm512_storeu_ps, stream _mm512_stream_ps,
        mul_add _mm512_fmadd_ps, mul_sub _mm512_fmsub_ps, max _mm512_max_ps, min _mm512_min_ps,
        bits _mm512_castps_si512, from_bits _mm512_castsi512_ps, shift_left _mm512_slli_epi32, add_bits _mm512_add_epi32
    );

    type Mask = __mmask16;

    #[inline(always)]
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, how: Store) {
        let halves = intrinsic!(_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0));
        store_halves(strip, index, halves, how);
    }

    #[inline(always)]
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, how: Store) {
        let bits = intrinsic!(_mm512_castps_si512(self.0));
        let high = intrinsic!(_mm512_srli_epi32::<16>(bits));
        let ties_to_even =
            intrinsic!(_mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff)));
        let rounded = intrinsic!(_mm512_srli_epi32::<16>(_mm512_add_epi32(bits, ties_to_even)));
        store_halves(strip, index, intrinsic!(_mm512_cvtepi32_epi16(rounded)), how);
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
}
