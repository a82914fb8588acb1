//! Whether the numbers that a tile was taken relative to suit it, as its sums tell.
//!
//! A logit above its reference loses digits: its exponential, and its part in comparing the distributions, are off by as much as
//! `s - m` is rounded. Below, that is what the contract allows; above, where the contract counts from the largest, it is not.
//! * The hard term suffers where one logit is most of its tile: then the term is nearly 0, and its error is not.
//! * The soft term, where few logits are most of their tile and student and teacher nearly agree on them. With `y` off by up to `ε`
//!   the divergence `D` is off by `Σ (q - p)·ε`, at most `ε·√(2D)` (Pinsker's inequality): less than `1e-6·D` where
//!   `D > 2·(ε / 1e-6)²`.

use super::pairs::Sums;
use super::recipe::Recipe;
use super::tile::Pair;
use crate::divergence::Temperature;
use crate::math::{LOG2_E, exp2};
use crate::row_part::is_masked;

/// A difference of student and teacher over `T`, squared, at which one of them may be masked.
const WIDE: f32 = 1e6;

/// The lowest exponent of two, but for rounding, whose power is a normal number.
const LOWEST: f32 = -125.0;

/// How far above its reference a logit may be, as an exponent of two, whatever part of the hard term it is.
const SLIGHTLY_ABOVE: f32 = 3.0;

/// How far it may be at most.
const FAR_ABOVE: f32 = 7.0;

/// Parts of a tile's sum that no exponential is larger than, where mass is spread.
const SPREAD: f32 = 32.0;

impl Sums {
    /// Whether no logit was NaN, infinite, or masked in one matrix alone, and, but for a ragged tile, no exponential below normal
    /// numbers.
    #[inline(always)]
    pub(super) fn are_of_plain_logits(&self, recipe: Recipe, temperature: Temperature, pair: &Pair<'_>) -> bool {
        let Pair { student, teacher } = pair;
        // In a ragged tile, what is low was expected.
        let is_normal = |exponent: f32| exponent >= LOWEST || student.is_ragged();
        let below = self.smallest - student.reference;
        // No exponent of the teacher is further below the student's than this.
        let apart = self.widest.sqrt() * LOG2_E;
        let is_finite = (self.student + self.hard + self.teacher + self.gain + self.shift).is_finite();
        is_finite
            && self.widest < WIDE
            && !is_masked(student.reference)
            && !is_masked(teacher.reference)
            && (!recipe.has_hard() || is_normal(below * LOG2_E))
            && (!recipe.has_soft() || is_normal(below * temperature.exponent_scale - apart))
    }

    /// Whether no logit is so far above its reference that digits are missed, given the tile's divergence over `T²`.
    #[inline(always)]
    pub(super) fn are_near(&self, recipe: Recipe, temperature: Temperature, pair: &Pair<'_>, divergence: f64) -> bool {
        let above = [self.largest[0] - pair.student.reference, self.largest[1] - pair.teacher.reference];
        let hard_is_near = || {
            let above = above[0] * LOG2_E;
            above <= SLIGHTLY_ABOVE || (above <= FAR_ABOVE && exp2(above) * 2.0 <= self.hard)
        };
        let soft_is_near = || {
            let exponents = above.map(|above| above * temperature.exponent_scale);
            let is_spread = |exponent: f32, sum: f32| exp2(exponent) * SPREAD <= sum;
            let error = f64::from((above[0] + above[1]) * temperature.reciprocal * f32::EPSILON / 2.0);
            exponents.iter().all(|&exponent| exponent <= FAR_ABOVE)
                && (is_spread(exponents[0], self.student) && is_spread(exponents[1], self.teacher)
                    || divergence.max(0.0) >= 2.0 * (error / 1e-6).powi(2))
        };
        (!recipe.has_hard() || hard_is_near()) && (!recipe.has_soft() || soft_is_near())
    }
}
