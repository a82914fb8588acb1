//! What the loops over a tile add up, and how the sums keep their digits.
//!
//! Each addition to a running sum loses up to half of the sum's last digit. Where many small addends follow a large one, all of these
//! losses have the same direction; such are the exponentials of a row whose largest logit is far above the others. So a running sum
//! ends with its strip. The sums of strips are added pairwise, as a binary counter carries, so at most five more additions meet the
//! large addend.

use super::TILE;
use crate::cpu::simd::Vector;
use crate::cpu::simd::strips::STRIP;

/// What the loops find of a tile. With `r = e^((s - m_s) / T)`, `w = e^((t - m_t) / T)` and `y = log(r / w)`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// `Σ r`.
    pub(super) student: f32,
    /// `Σ e^(s - m_s)`, where the recipe has a hard term.
    pub(crate) hard: f32,
    /// `Σ w`.
    pub(super) teacher: f32,
    /// `Σ w·φ(y)`.
    pub(super) gain: f32,
    /// `Σ w·y`.
    pub(super) shift: f32,
    /// The largest `y²`.
    pub(super) widest: f32,
    /// The largest logit of student and of teacher.
    pub(super) largest: [f32; 2],
    /// The smallest logit of the student.
    pub(super) smallest: f32,
}

/// Levels of the binary counter: one for each power of two that the strips of a tile can make.
const LEVELS: usize = (TILE / STRIP).ilog2() as usize + 1;

/// `N` sums over the strips of a tile, added pairwise.
pub(super) struct PairwiseSums<V, const N: usize> {
    /// `levels[k]` is the sum of 2ᵏ consecutive strips, or zero.
    levels: [[V; N]; LEVELS],
    zero: V,
}

impl<V: Vector, const N: usize> PairwiseSums<V, N> {
    #[inline(always)]
    pub(super) fn new(zero: V) -> Self {
        Self { levels: [[zero; N]; LEVELS], zero }
    }

    /// Adds the sums of strip number `index` of the tile. Strips come in order.
    #[inline(always)]
    pub(super) fn add(&mut self, index: usize, mut strip: [V; N]) {
        let carries = (index.trailing_ones() as usize).min(LEVELS - 1);
        for level in &mut self.levels[..carries] {
            strip = added(strip, *level);
            *level = [self.zero; N];
        }
        self.levels[carries] = strip;
    }

    /// The sums over all strips and lanes.
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
