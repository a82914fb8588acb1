//! Whether the numbers that a tile was taken relative to suit it, as its sums tell.
//!
//! A logit above its reference loses digits: `e^(s - m)` is off by as much as `s - m` is rounded. That counts where the logit is
//! most of its row, for the hard term is then nearly 0, and its error is not.

use super::pairs::Sums;
use super::recipe::Recipe;
use super::relative::Relative;
use super::tile::Pair;
use crate::math::{LOG2_E, exp2};
use crate::row_stats::{Temperature, is_masked};

/// A difference of student and teacher over `T`, squared, at which one of them may be masked.
const WIDE: f32 = 1e6;

/// The lowest exponent of two, but for rounding, whose power is a normal number.
const LOWEST: f32 = -125.0;

/// How far above its reference a logit may be, as an exponent of two, whatever else the tile holds: it loses no more digits there
/// than below.
const SLIGHTLY_ABOVE: f32 = 3.0;

/// How far where it is not most of its tile: then what its exponential is off is little beside the errors of the others.
const FAR_ABOVE: f32 = 12.0;

impl Sums {
    /// Whether no logit was NaN, infinite, or masked in one matrix alone, and all exponentials were normal numbers.
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

    /// Whether no logit is so far above its reference that digits are missed.
    #[inline(always)]
    pub(super) fn are_near(&self, recipe: Recipe, temperature: Temperature, pair: &Pair<'_>) -> bool {
        let is_near = |tile: &Relative<'_>, largest: f32, scale: f32, sum: f32| {
            let above = (largest - tile.reference) * scale;
            above <= SLIGHTLY_ABOVE || (above <= FAR_ABOVE && exp2::<false>(above) * 2.0 <= sum)
        };
        let [student, teacher] = self.largest;
        let scale = temperature.exponent_scale;
        let soft_is_near = || {
            is_near(&pair.student, student, scale, self.student) && is_near(&pair.teacher, teacher, scale, self.teacher)
        };
        (!recipe.has_hard() || is_near(&pair.student, student, LOG2_E, self.hard))
            && (!recipe.has_soft() || soft_is_near())
    }
}
