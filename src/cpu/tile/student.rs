//! The loop over the student's logits alone, for rows with a hard term and no soft one.

use super::Work;
use super::logits::{LOGITS_AHEAD, TileLogits};
use super::sums::{PairwiseSums, Sums};
use crate::cpu::gradient::kept::KEPT_AHEAD;
use crate::cpu::gradient::stream::LastRowWriter;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::STRIP;
use crate::cpu::simd::{SIDE_BY_SIDE, Simd, Vector, tree_sum};

/// Takes `2^((s - m_s) · scale)` of a tile, keeps it and adds it up. `SUBNORMALS` is as for [`pairs`](super::pairs::pairs).
///
/// In the place of the soft term's shift stands the sum of the exponents. It is NaN if a logit is; the power of NaN need not be.
#[inline(always)]
pub(crate) fn student<S: Simd, const SUBNORMALS: bool>(
    simd: S,
    tile: &TileLogits<'_>,
    scale: f32,
    work: &mut Work<'_, '_>,
) -> Sums {
    let (reference, scale) = (simd.splat(tile.reference), simd.splat(scale));
    let [mut largest, mut smallest] = [[reference; SIDE_BY_SIDE]; 2];
    let mut pairwise = PairwiseSums::new(simd.splat(0.0));
    let kept = &mut work.kept;
    let mut last_row = LastRowWriter::take(simd, &mut work.stream);
    let mut room = [0.0; STRIP];
    for index in 0..tile.strip_count() {
        let [mut sums, mut of_exponents] = [[simd.splat(0.0); SIDE_BY_SIDE]; 2];
        last_row.write_strip(simd, Recipe::Hard, kept, index);
        let kept = S::V::vectors_mut(&mut kept.hard[index]).as_chunks_mut::<SIDE_BY_SIDE>().0;
        let logits = S::V::vectors(tile.strip(simd, index, &mut room)).as_chunks::<SIDE_BY_SIDE>().0;
        for (logits, kept) in logits.iter().zip(kept) {
            for side in 0..SIDE_BY_SIDE {
                simd.prefetch_ahead(&logits[side], LOGITS_AHEAD);
                simd.prefetch_ahead(&kept[side], KEPT_AHEAD);
            }
            let mut exponents = sums;
            for side in 0..SIDE_BY_SIDE {
                let logits = simd.vector(&logits[side]);
                largest[side] = logits.max_or_second(largest[side]);
                smallest[side] = logits.min_or_second(smallest[side]);
                exponents[side] = (logits - reference) * scale;
                of_exponents[side] = of_exponents[side] + exponents[side];
            }
            let exponentials = simd.exp2(exponents, SUBNORMALS);
            for side in 0..SIDE_BY_SIDE {
                exponentials[side].store_lanes(&mut kept[side]);
                sums[side] = sums[side] + exponentials[side];
            }
        }
        pairwise.add(index, [tree_sum(sums), tree_sum(of_exponents)]);
    }
    last_row.finish(simd);
    for side in 1..SIDE_BY_SIDE {
        largest[0] = largest[side].max_or_second(largest[0]);
        smallest[0] = smallest[side].min_or_second(smallest[0]);
    }
    let [hard, shift] = pairwise.total();
    let (largest, smallest) = ([largest[0].largest(); 2], smallest[0].smallest());
    Sums { hard, shift, largest, smallest, ..Sums::default() }
}
