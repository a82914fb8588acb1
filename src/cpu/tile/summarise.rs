//! What a tile comes to: decides which loops it needs, and runs them.
//!
//! Most tiles need one loop: [`pairs`](mod@super::pairs) or [`student`](mod@super::student). Three kinds need more:
//!
//! * a tile with a logit far above its reference is taken again, relative to its largest logits;
//! * a tile with an odd logit (NaN, infinite, masked, or so low that its exponential is not normal) is sanitised and taken again;
//! * a tile whose distributions nearly agree, or whose comparison has too few digits, is compared again.

use super::Work;
use super::compare::Comparison;
use super::logits::{Pair, Sanitiser};
use super::pairs::pairs;
use super::student::student;
use super::sums::Sums;
use crate::cpu::gradient::kept::TeacherForm;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::StripBuffer;
use crate::cpu::simd::{Simd, Task};
use crate::divergence::{Divergence, Soft};
use crate::math::LOG2_E;
use crate::row_part::{RowFlags, RowPart};

/// What a tile adds to its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    /// The tile as a part of the row.
    pub(crate) part: RowPart,
    /// What the teacher's plane holds.
    pub(crate) form: TeacherForm,
    /// The largest logit of student and of teacher; that of the student twice, if no teacher is read.
    pub(crate) largest: [f32; 2],
}

/// Summarises a tile, and keeps what its gradient needs. `None` if some logit is odd: then [`OddTile`] does it.
#[inline(always)]
pub(crate) fn summarise<S: Simd>(
    simd: S,
    recipe: Recipe,
    soft: Soft,
    pair: &Pair<'_>,
    work: &mut Work<'_, '_>,
) -> Option<Summary> {
    let sums = match pair.student.is_padded() {
        true => simd.run(WithSubnormals { recipe, soft, pair, work }),
        false => Sums::of_tile::<S, false>(simd, recipe, soft, pair, work),
    };
    if !sums.are_of_plain_logits(recipe, soft.temperature, pair) {
        return None;
    }
    let summary = Summary::new(recipe, pair, sums);
    if sums.are_near(recipe, soft.temperature, pair, summary.part.divergence) {
        return Some(summary.compared(simd, recipe, soft, pair, work, sums));
    }
    let [student, teacher] = sums.largest;
    let pair = &Pair { student: pair.student.relative_to(student), teacher: pair.teacher.relative_to(teacher) };
    let sums = simd.run(WithSubnormals { recipe, soft, pair, work });
    Some(Summary::new(recipe, pair, sums).compared(simd, recipe, soft, pair, work, sums))
}

/// The sums of a tile whose exponentials may be below the smallest normal number, as those of padding are. Few tiles are such, so
/// this is compiled once for all recipes.
struct WithSubnormals<'w, 'k, 'g> {
    recipe: Recipe,
    soft: Soft,
    pair: &'w Pair<'w>,
    work: &'w mut Work<'k, 'g>,
}

impl Task for WithSubnormals<'_, '_, '_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        Sums::of_tile::<S, true>(simd, self.recipe, self.soft, self.pair, self.work)
    }
}

/// The summary of a tile with any logits. Few tiles need it, so it is compiled once for all recipes.
pub(crate) struct OddTile<'w, 'k, 'g> {
    pub(crate) recipe: Recipe,
    pub(crate) soft: Soft,
    pub(crate) pair: &'w Pair<'w>,
    /// Room for the sanitised logits of student and teacher.
    pub(crate) buffers: &'w mut [StripBuffer; 2],
    pub(crate) work: &'w mut Work<'k, 'g>,
}

impl Task for OddTile<'_, '_, '_> {
    type Output = Summary;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Summary {
        let Self { recipe, soft, pair, buffers: [student_buffer, teacher_buffer], work } = self;
        let student = simd.run(Sanitiser { tile: pair.student, buffer: student_buffer });
        let teacher = match recipe.has_soft() {
            true => simd.run(Sanitiser { tile: pair.teacher, buffer: teacher_buffer }),
            false => student,
        };
        let pair = &Pair { student: student.tile, teacher: teacher.tile };
        let sums = simd.run(WithSubnormals { recipe, soft, pair, work });
        let mut summary = Summary::new(recipe, pair, sums).compared(simd, recipe, soft, pair, work, sums);
        let infinite_soft = student.is_masked_beside(&teacher);
        summary.part.flags = RowFlags::NONFINITE
            .when(student.nonfinite || teacher.nonfinite)
            .or(RowFlags::INFINITE_SOFT.when(infinite_soft));
        summary
    }
}

impl Sums {
    /// Runs the loop that the recipe needs.
    #[inline(always)]
    fn of_tile<S: Simd, const SUBNORMALS: bool>(
        simd: S,
        recipe: Recipe,
        soft: Soft,
        pair: &Pair<'_>,
        work: &mut Work<'_, '_>,
    ) -> Self {
        if !recipe.has_soft() {
            return student::<S, SUBNORMALS>(simd, &pair.student, LOG2_E, work);
        }
        match soft.divergence {
            Divergence::ForwardKl => pairs::<S, SUBNORMALS>(simd, recipe, soft.temperature, pair, work),
        }
    }
}

impl Summary {
    /// What the sums say, if they have digits enough. [`pairs`](mod@super::pairs) says how.
    #[inline(always)]
    fn new(recipe: Recipe, pair: &Pair<'_>, sums: Sums) -> Self {
        let part =
            RowPart { student_max: pair.student.reference, student_sum: f64::from(sums.hard), ..RowPart::IDENTITY };
        if !recipe.has_soft() {
            return Self { part, form: TeacherForm::Exponential, largest: sums.largest };
        }
        let (student, teacher) = (f64::from(sums.student), f64::from(sums.teacher));
        let (gain, shift) = (f64::from(sums.gain) / teacher, f64::from(sums.shift) / teacher);
        let excess = gain + shift;
        let log_of_sums = match excess.abs() < 0.5 {
            true => excess.ln_1p(),
            false => (student / teacher).ln(),
        };
        let part = RowPart {
            teacher_max: pair.teacher.reference,
            student_tempered_sum: student,
            teacher_tempered_sum: teacher,
            log_ratio: -log_of_sums,
            divergence: log_of_sums - shift,
            ..part
        };
        Self { part, form: TeacherForm::Exponential, largest: sums.largest }
    }

    /// The same tile, compared once more if its sums have too few digits, or if its distributions may nearly agree.
    #[inline(always)]
    fn compared<S: Simd>(
        self,
        simd: S,
        recipe: Recipe,
        soft: Soft,
        pair: &Pair<'_>,
        work: &mut Work<'_, '_>,
        sums: Sums,
    ) -> Self {
        if !recipe.has_soft() {
            return self;
        }
        // The divergence is at least half of the gain, from which it was subtracted: that cost one bit at most.
        let keeps_digits = f64::from(sums.gain) <= 2.0 * self.part.divergence * f64::from(sums.teacher);
        if keeps_digits && sums.widest >= 0.25 && self.part.divergence.is_finite() {
            return self;
        }
        let (divergence, form) = simd.run(Comparison {
            pair,
            kept: &mut work.kept,
            student_factor: (self.part.student_tempered_sum as f32).recip(),
            teacher_factor: (self.part.teacher_tempered_sum as f32).recip(),
            log_ratio: self.part.log_ratio as f32,
            soft,
        });
        Self { part: RowPart { divergence: f64::from(divergence), ..self.part }, form, ..self }
    }
}
