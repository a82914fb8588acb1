//! What the gradient of a strip is made of, and how: three multiplications for each element.

use super::kept::Kept;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::{STRIP, Strip};
use crate::cpu::simd::{Simd, Vector};

/// What the numbers kept of a tile are multiplied by. A factor contains the weight of its term, the reduction, the gradient's scale,
/// and what makes the tile's number one of the row: the tile's share in the row's sum over that sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Factors {
    /// Multiplies `e^((s - m_s) / T)`.
    pub(crate) student: f32,
    /// Multiplies what [`TeacherForm`](super::kept::TeacherForm) says.
    pub(crate) teacher: f32,
    /// Multiplies `e^(s - m_s)`.
    pub(crate) hard: f32,
}

/// Stands for a plane that a recipe does not keep.
const NONE: Strip = [0.0; STRIP];

/// What the gradient of a strip is made of.
pub(super) struct Source<'k> {
    recipe: Recipe,
    factors: Factors,
    student: &'k Strip,
    teacher: &'k Strip,
    hard: &'k Strip,
}

impl<'k> Source<'k> {
    /// What is kept of strip number `index` of the tile.
    #[inline(always)]
    pub(super) fn of_strip(recipe: Recipe, factors: Factors, kept: &'k Kept<'_>, index: usize) -> Self {
        let strip = |plane: &'k [Strip]| plane.get(index).unwrap_or(&NONE);
        Self { recipe, factors, student: strip(kept.student), teacher: strip(kept.teacher), hard: strip(kept.hard) }
    }

    /// What is kept of the [`STRIP`] elements that begin at element `start` of the tile.
    #[inline(always)]
    pub(super) fn of_elements(recipe: Recipe, factors: Factors, kept: &'k Kept<'_>, start: usize) -> Self {
        let strip = |plane: &'k [Strip], is_kept: bool| match is_kept {
            true => plane.as_flattened()[start..].first_chunk().unwrap_or(&NONE),
            false => &NONE,
        };
        Self {
            recipe,
            factors,
            student: strip(kept.student, recipe.has_soft()),
            teacher: strip(kept.teacher, recipe.has_soft()),
            hard: strip(kept.hard, recipe.has_own_exponential()),
        }
    }

    /// Vector number `index` of the gradient.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(&self, simd: S, index: usize) -> S::V {
        let Self { recipe, factors, .. } = *self;
        let hard = simd.splat(factors.hard);
        if recipe == Recipe::Hard {
            return simd.load(self.hard, index) * hard;
        }
        let first = simd.load(self.student, index);
        // Where `e^(s - m_s)` is the power n of the student's number r, the sum of both terms is r · (student + hard · rⁿ⁻¹).
        let student = simd.splat(factors.student);
        let student = match recipe {
            Recipe::SameExponential => student + hard,
            Recipe::Square => first.mul_add(hard, student),
            Recipe::FourthPower => (first * first * first).mul_add(hard, student),
            _ => student,
        };
        let teacher = simd.load(self.teacher, index) * simd.splat(factors.teacher);
        let soft = first.mul_add(student, teacher);
        match recipe {
            Recipe::OwnExponential => simd.load(self.hard, index).mul_add(hard, soft),
            _ => soft,
        }
    }
}
