//! The loop over the exponentials of the student alone: of rows that have a hard term and no soft one.

use super::load::Loaded;
use super::simd::{SIDE_BY_SIDE, Simd, Vector};
use super::tile::Work;

/// Takes and keeps `2^((s - m_s) · scale)` of a tile. Returns their sum.
#[inline(always)]
pub(super) fn exponentials<S: Simd>(simd: S, logits: &Loaded<'_>, scale: f32, work: &mut Work<'_, '_>) -> f32 {
    let (largest, scale) = (simd.splat(logits.largest), simd.splat(scale));
    let mut sums = [simd.splat(0.0); SIDE_BY_SIDE];
    let mut ahead = work.ahead;
    for (index, strip) in logits.strips.iter().enumerate() {
        ahead.strip(simd);
        let kept = S::vectors_mut(&mut work.kept.hard[index]).as_chunks_mut::<SIDE_BY_SIDE>().0;
        let strip = S::vectors(strip).as_chunks::<SIDE_BY_SIDE>().0;
        for (vectors, kept) in strip.iter().zip(kept) {
            let mut exponents = sums;
            for side in 0..SIDE_BY_SIDE {
                exponents[side] = (simd.vector(&vectors[side]) - largest) * scale;
            }
            let exponentials = simd.exp2(exponents, logits.has_low);
            for side in 0..SIDE_BY_SIDE {
                exponentials[side].store_lanes(&mut kept[side]);
                sums[side] = sums[side] + exponentials[side];
            }
        }
    }
    total(sums)
}

/// All lanes of all vectors.
#[inline(always)]
pub(super) fn total<V: Vector, const N: usize>(mut vectors: [V; N]) -> f32 {
    let mut left = N;
    while left > 1 {
        left /= 2;
        for index in 0..left {
            vectors[index] = vectors[index] + vectors[index + left];
        }
    }
    vectors[0].sum()
}
