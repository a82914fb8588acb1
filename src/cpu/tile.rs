//! One tile of a row: its logits in, its sums and its divergence out.
//!
//! A tile is at most [`TILE`] elements of a row. [`visit`](super::visit) takes one after another through these, the only loops
//! whose speed matters:
//!
//! | loop | reads | writes | vector instructions per vector of AVX-512 |
//! |---|---|---|---|
//! | [`pairs`] | logits of both | two kept numbers, or three | 44, and 10 for a third exponential |
//! | and what it does beside, for `f32` | what was kept a row ago | the gradient | 4 or 5 |
//! | [`exponentials`], where there is no soft term | logits of the student | a kept number | 13 |
//! | [`Agreement`], of tiles that nearly agree | logits, what is kept | a kept number | 24 |

use super::agreement::Agreement;
use super::exponentials::exponentials;
use super::kept::Kept;
use super::pairs::{Sums, pairs};
use super::recipe::Recipe;
use super::relative::{Clean, Relative, TileBuffer};
use super::simd::{STRIP, Simd, Task};
use super::stream::Stream;
use crate::divergence::{Divergence, Soft};
use crate::elements::Elements;
use crate::math::LOG2_E;
use crate::row_part::{RowFlags, RowPart};

/// Elements of a tile: enough that what a tile costs beside its elements does not count.
pub(super) const TILE: usize = 4096;

/// Consecutive elements of a row.
pub(super) type Strip = [f32; STRIP];

/// The logits of one tile, of student and teacher; the student's twice, where no teacher is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) student: Relative<'a>,
    pub(super) teacher: Relative<'a>,
}

impl<'a> Pair<'a> {
    /// The logits relative to the largest of a sample.
    #[inline(always)]
    pub(super) fn sampled<S: Simd>(simd: S, recipe: Recipe, [student, teacher]: [Elements<'a>; 2]) -> Self {
        let student = Relative::sampled(simd, student);
        Self { student, teacher: if recipe.has_soft() { Relative::sampled(simd, teacher) } else { student } }
    }

    /// One strip of each.
    #[inline(always)]
    pub(super) fn strips<'s, S: Simd>(&'s self, simd: S, index: usize, rooms: &'s mut [Strip; 2]) -> [&'s Strip; 2] {
        let [student, teacher] = rooms;
        [self.student.strip(simd, index, student), self.teacher.strip(simd, index, teacher)]
    }
}

/// What the loops over one tile use beside its logits.
pub(super) struct Work<'k, 'g> {
    pub(super) kept: Kept<'k>,
    /// What is still to be written of the last row's gradient. Not to be moved: a copy would wait for all stores before.
    pub(super) stream: Option<Stream<'g>>,
}

/// What is kept beside `e^((s - m_s) / T)` of each element of a tile, so that the gradient keeps its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `e^((t - m_t) / T)`.
    Exponential,
    /// `q - p` within the tile, where all of its elements nearly agree: their difference by the polynomial, not by subtraction.
    Difference,
}

/// What a tile adds to its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    /// What is known of the tile.
    pub(super) part: RowPart,
    pub(super) form: Form,
}

/// Takes the exponentials of a tile, as its recipe asks for, adds them up and compares them: once more where they were taken
/// relative to what is far below the largest. `None` if it must be done [carefully](Carefully): some logit is no plain number.
#[inline(always)]
pub(super) fn summarise<S: Simd>(
    simd: S,
    recipe: Recipe,
    soft: Soft,
    pair: &Pair<'_>,
    work: &mut Work<'_, '_>,
) -> Option<Summary> {
    let sums = match pair.student.is_ragged() {
        true => simd.run(Low { recipe, soft, pair, work }),
        false => Sums::of_tile::<S, false>(simd, recipe, soft, pair, work),
    };
    if !sums.are_of_plain_logits(recipe, soft.temperature, pair) {
        return None;
    }
    let summary = Summary::new(recipe, pair, sums);
    if sums.are_near(recipe, soft.temperature, pair, summary.part.divergence) {
        return Some(compared(simd, recipe, soft, pair, work, sums, summary));
    }
    let [student, teacher] = sums.largest;
    let pair = &Pair { student: pair.student.relative_to(student), teacher: pair.teacher.relative_to(teacher) };
    let sums = simd.run(Low { recipe, soft, pair, work });
    Some(compared(simd, recipe, soft, pair, work, sums, Summary::new(recipe, pair, sums)))
}

/// Takes the exponentials of a tile that may be below normal numbers: padding is. Few tiles have any, so it is compiled once for all
/// recipes.
struct Low<'w, 'k, 'g> {
    recipe: Recipe,
    soft: Soft,
    pair: &'w Pair<'w>,
    work: &'w mut Work<'k, 'g>,
}

impl Task for Low<'_, '_, '_> {
    type Output = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sums {
        Sums::of_tile::<S, true>(simd, self.recipe, self.soft, self.pair, self.work)
    }
}

/// Does as [`summarise`] with any logits, when their gradient is written. Few tiles need it, so it is compiled once for all recipes.
pub(super) struct Carefully<'w, 'k, 'g> {
    pub(super) recipe: Recipe,
    pub(super) soft: Soft,
    pub(super) pair: &'w Pair<'w>,
    pub(super) buffers: &'w mut [TileBuffer; 2],
    pub(super) work: &'w mut Work<'k, 'g>,
}

impl Task for Carefully<'_, '_, '_> {
    type Output = Summary;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Summary {
        let Self { recipe, soft, pair, buffers: [student_buffer, teacher_buffer], work } = self;
        let student = simd.run(Clean { tile: pair.student, buffer: student_buffer });
        let teacher = match recipe.has_soft() {
            true => simd.run(Clean { tile: pair.teacher, buffer: teacher_buffer }),
            false => student,
        };
        let pair = Pair { student: student.tile, teacher: teacher.tile };
        let sums = simd.run(Low { recipe, soft, pair: &pair, work });
        let mut summary = compared(simd, recipe, soft, &pair, work, sums, Summary::new(recipe, &pair, sums));
        let infinite_soft = student.is_masked_beside(&teacher);
        summary.part.flags = RowFlags::NONFINITE
            .when(student.nonfinite || teacher.nonfinite)
            .or(RowFlags::INFINITE_SOFT.when(infinite_soft));
        summary
    }
}

/// What the sums of a tile say, compared once more where they have too few digits.
#[inline(always)]
fn compared<S: Simd>(
    simd: S,
    recipe: Recipe,
    soft: Soft,
    pair: &Pair<'_>,
    work: &mut Work<'_, '_>,
    sums: Sums,
    summary: Summary,
) -> Summary {
    if !recipe.has_soft() {
        return summary;
    }
    // The subtraction took a bit at most.
    let keeps_digits = f64::from(sums.gain) <= 2.0 * summary.part.divergence * f64::from(sums.teacher);
    if keeps_digits && sums.widest >= 0.25 && summary.part.divergence.is_finite() {
        return summary;
    }
    simd.run(Compare { soft, summary, pair, kept: &mut work.kept })
}

impl Sums {
    #[inline(always)]
    fn of_tile<S: Simd, const LOW: bool>(
        simd: S,
        recipe: Recipe,
        soft: Soft,
        pair: &Pair<'_>,
        work: &mut Work<'_, '_>,
    ) -> Self {
        if !recipe.has_soft() {
            return exponentials::<S, LOW>(simd, &pair.student, LOG2_E, work);
        }
        match soft.divergence {
            Divergence::ForwardKl => pairs::<S, LOW>(simd, recipe, soft.temperature, pair, work),
        }
    }
}

/// Compares the two distributions of a tile once more, normalised, and if they nearly agree, keeps their difference instead of the
/// teacher's exponentials. The same for every recipe with a soft term, and so compiled once.
struct Compare<'w, 'k> {
    soft: Soft,
    summary: Summary,
    pair: &'w Pair<'w>,
    kept: &'w mut Kept<'k>,
}

impl Task for Compare<'_, '_> {
    type Output = Summary;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Summary {
        let Self { soft, summary, pair, kept } = self;
        let strips = pair.student.strips();
        let agreement = Agreement {
            pair,
            student: &kept.student[..strips],
            student_factor: (summary.part.student_tempered_sum as f32).recip(),
            teacher_factor: (summary.part.teacher_tempered_sum as f32).recip(),
            log_ratio: summary.part.log_ratio as f32,
            soft,
        };
        let teacher = &mut kept.teacher[..strips];
        let (divergence, all_near) = agreement.divergence(simd, teacher);
        if all_near {
            agreement.differences(simd, teacher);
        }
        let form = if all_near { Form::Difference } else { Form::Exponential };
        Summary { part: RowPart { divergence: f64::from(divergence), ..summary.part }, form }
    }
}

impl Summary {
    /// What sums that keep their digits say: see [`pairs`](super::pairs).
    #[inline(always)]
    fn new(recipe: Recipe, pair: &Pair<'_>, sums: Sums) -> Self {
        let part =
            RowPart { student_max: pair.student.reference, student_sum: f64::from(sums.hard), ..RowPart::IDENTITY };
        if !recipe.has_soft() {
            return Self { part, form: Form::Exponential };
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
        Self { part, form: Form::Exponential }
    }
}
