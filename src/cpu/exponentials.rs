//! The loop over the exponentials of the student alone: of rows that have a hard term and no soft one.

use super::kept::KEPT_AHEAD;
use super::pairs::Sums;
use super::recipe::Recipe;
use super::relative::{LOGITS_AHEAD, Relative};
use super::running::Running;
use super::simd::{SIDE_BY_SIDE, STRIP, Simd, Vector};
use super::tile::Work;

/// Takes and keeps `2^((s - m_s) · scale)` of a tile, and adds them up. The sum of their exponents, in the place of the soft term's,
/// is NaN where a logit is: not every set of instructions makes NaN the power of one. `LOW` is that of
/// [`pairs`](super::pairs::pairs).
#[inline(always)]
pub(super) fn exponentials<S: Simd, const LOW: bool>(
    simd: S,
    tile: &Relative<'_>,
    scale: f32,
    work: &mut Work<'_, '_>,
) -> Sums {
    let (reference, scale) = (simd.splat(tile.reference), simd.splat(scale));
    let [mut largest, mut smallest] = [[reference; SIDE_BY_SIDE]; 2];
    let mut running = Running::new(simd.splat(0.0));
    let kept = &mut work.kept;
    let mut lines = match &mut work.stream {
        Some(stream) => stream.lines(simd),
        None => None,
    };
    let mut room = [0.0; STRIP];
    for index in 0..tile.strips() {
        let [mut sums, mut of_exponents] = [[simd.splat(0.0); SIDE_BY_SIDE]; 2];
        if let Some(lines) = &mut lines {
            lines.write_strip(simd, Recipe::Hard, kept, index);
        }
        let kept = S::vectors_mut(&mut kept.hard[index]).as_chunks_mut::<SIDE_BY_SIDE>().0;
        let strip = S::vectors(tile.strip(simd, index, &mut room)).as_chunks::<SIDE_BY_SIDE>().0;
        for (vectors, kept) in strip.iter().zip(kept) {
            for side in 0..SIDE_BY_SIDE {
                simd.prefetch_ahead(&vectors[side], LOGITS_AHEAD);
                simd.prefetch_ahead(&kept[side], KEPT_AHEAD);
            }
            let mut exponents = sums;
            for side in 0..SIDE_BY_SIDE {
                let logits = simd.vector(&vectors[side]);
                largest[side] = logits.max_or_second(largest[side]);
                smallest[side] = logits.min_or_second(smallest[side]);
                exponents[side] = (logits - reference) * scale;
                of_exponents[side] = of_exponents[side] + exponents[side];
            }
            let exponentials = simd.exp2(exponents, LOW);
            for side in 0..SIDE_BY_SIDE {
                exponentials[side].store_lanes(&mut kept[side]);
                sums[side] = sums[side] + exponentials[side];
            }
        }
        running.add(index, [together(sums), together(of_exponents)]);
    }
    if let Some(lines) = lines {
        lines.finish(simd);
    }
    if let Some(stream) = work.stream.take() {
        stream.write_label();
    }
    for side in 1..SIDE_BY_SIDE {
        largest[0] = largest[side].max_or_second(largest[0]);
        smallest[0] = smallest[side].min_or_second(smallest[0]);
    }
    let [hard, shift] = running.total();
    let (largest, smallest) = ([largest[0].largest(); 2], smallest[0].smallest());
    Sums { hard, shift, largest, smallest, ..Sums::default() }
}

/// Vectors added as a balanced tree.
#[inline(always)]
pub(super) fn together<V: Vector, const N: usize>(mut vectors: [V; N]) -> V {
    let mut left = N;
    while left > 1 {
        left /= 2;
        for index in 0..left {
            vectors[index] = vectors[index] + vectors[index + left];
        }
    }
    vectors[0]
}
