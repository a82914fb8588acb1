//! Running sums of vectors that keep their digits.
//!
//! A lane's sum loses up to half of its last digit at each addend, always in the same direction where many small ones follow a
//! large one: the largest logit's exponential, and all others. So few are added one after another: those of a strip. The sums of
//! strips are added pairwise, as a binary counter carries: at most five more additions meet the large one.

use super::simd::{STRIP, Vector};
use super::tile::TILE;

/// Powers of two of strips that a tile has at most.
const LEVELS: usize = (TILE / STRIP).ilog2() as usize + 1;

/// Several sums that run side by side.
pub(super) struct Running<V, const N: usize> {
    /// Of as many consecutive strips as 2 to the power of the place; those of what is in none of them are 0.
    levels: [[V; N]; LEVELS],
    zero: V,
}

impl<V: Vector, const N: usize> Running<V, N> {
    #[inline(always)]
    pub(super) fn new(zero: V) -> Self {
        Self { levels: [[zero; N]; LEVELS], zero }
    }

    /// Adds the sums of strip number `index` of a tile.
    #[inline(always)]
    pub(super) fn add(&mut self, index: usize, mut strip: [V; N]) {
        let carries = (index.trailing_ones() as usize).min(LEVELS - 1);
        for level in &mut self.levels[..carries] {
            strip = added(strip, *level);
            *level = [self.zero; N];
        }
        self.levels[carries] = strip;
    }

    /// The sums of all lanes.
    #[inline(always)]
    pub(super) fn total(self) -> [f32; N] {
        let [mut total, levels @ ..] = self.levels;
        for level in levels {
            total = added(total, level);
        }
        let mut lanes = [0.0; N];
        for (sum, total) in lanes.iter_mut().zip(total) {
            *sum = total.sum();
        }
        lanes
    }
}

#[inline(always)]
fn added<V: Vector, const N: usize>(mut a: [V; N], b: [V; N]) -> [V; N] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = *a + b;
    }
    a
}
