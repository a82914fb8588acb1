//! Running sums of vectors that keep their digits.
//!
//! A lane's sum loses up to half of its last digit at each addend, always in the same direction where many small ones follow a
//! large one: the largest logit's exponential, and all others. So few are added one after another: those of a strip, the sums of
//! a block of strips, those of the blocks of a tile.

use super::simd::{STRIP, Vector};
use super::tile::TILE;

const STRIPS_OF_A_BLOCK: usize = 8;

const _: () = assert!(TILE / STRIP <= STRIPS_OF_A_BLOCK * STRIPS_OF_A_BLOCK, "no more blocks than a block has strips");

/// Several sums that run side by side.
pub(super) struct Running<V, const N: usize> {
    block: [V; N],
    tile: [V; N],
}

impl<V: Vector, const N: usize> Running<V, N> {
    #[inline(always)]
    pub(super) fn new(zero: V) -> Self {
        Self { block: [zero; N], tile: [zero; N] }
    }

    /// Adds the sums of strip number `index` of a tile.
    #[inline(always)]
    pub(super) fn add(&mut self, index: usize, strip: [V; N]) {
        let is_first = index.is_multiple_of(STRIPS_OF_A_BLOCK);
        for ((tile, block), strip) in self.tile.iter_mut().zip(&mut self.block).zip(strip) {
            if is_first {
                *tile = *tile + *block;
                *block = strip;
            } else {
                *block = *block + strip;
            }
        }
    }

    /// The sums of all lanes.
    #[inline(always)]
    pub(super) fn total(self) -> [f32; N] {
        let mut totals = [0.0; N];
        for ((total, tile), block) in totals.iter_mut().zip(self.tile).zip(self.block) {
            *total = (tile + block).sum();
        }
        totals
    }
}
