//! Whether the sums of a tile can be trusted: whether its logits were numbers, and its references near enough to the largest.
//!
//! A logit `s` above its reference `m` costs digits: the rounding of `s - m` enters its exponential, and the comparison of the
//! distributions. Below the reference the contract allows for that. Above it does not, because it counts from the largest logit.
//!
//! * The hard term suffers where one logit holds most of its tile's sum: then the term is nearly 0, and its error is not.
//! * The soft term suffers where few logits hold most of it and student and teacher nearly agree on them. If `y` is off by at most
//!   `ε`, the divergence `D` is off by `Σ (q - p)·ε`, which is at most `ε·√(2D)` (Pinsker's inequality). That is less than `1e-6·D`
//!   if `D > 2·(ε / 1e-6)²`.

use super::logits::Pair;
use super::sums::Sums;
use crate::cpu::recipe::Recipe;
use crate::divergence::Temperature;
use crate::math::{LOG2_E, exp2};
use crate::row_part::is_masked;

/// From this `y²` on, one of the two logits may be masked.
const WIDE: f32 = 1e6;

/// The lowest exponent of two whose power is surely normal, whatever was rounded.
const LOWEST: f32 = -125.0;

/// How far above its reference a logit may be, as an exponent of two, whatever it holds of the sum.
const SLIGHTLY_ABOVE: f32 = 3.0;

/// How far above its reference a logit may be at most, as an exponent of two.
const FAR_ABOVE: f32 = 7.0;

/// A sum is spread if it is at least so many times each of its exponentials.
const SPREAD: f32 = 32.0;

impl Sums {
    /// Whether every logit was a plain number: not NaN, not infinite, not masked in one matrix alone. And whether every exponential
    /// was normal, unless the tile is padded.
    #[inline(always)]
    pub(super) fn are_of_plain_logits(&self, recipe: Recipe, temperature: Temperature, pair: &Pair<'_>) -> bool {
        let Pair { student, teacher } = pair;
        // A padded tile was taken with subnormal numbers in mind.
        let is_normal = |exponent: f32| exponent >= LOWEST || student.is_padded();
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

    /// Whether no logit is so far above its reference that digits are lost. `divergence` is the tile's, over `T²`.
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
