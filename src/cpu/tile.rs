//! One tile of a row: its logits in, its sums and its divergence out.
//!
//! A tile is at most [`TILE`] elements of a row, all of whose loops find their numbers in a first-level cache. [`visit`](super::visit)
//! takes one after another through these, the only loops whose speed matters:
//!
//! | loop | reads | writes | vector instructions per vector of AVX-512 |
//! |---|---|---|---|
//! | [`Load`], of each matrix | logits | 16-bit logits widened | 2, and 2 to widen |
//! | [`Exponentials::take`], of each kind | the same logits | a kept number, and the distance of student and teacher | 10 to 12 |
//! | [`Agreement::divergence`] | what is kept, and the distance | – | 14 |
//! | [`Agreement::differences`], of tiles that nearly agree | the same | a kept number | 10 |
//! | [`Writing`], a row later | what was kept | the gradient | 3 to 5, and 6 to round to `bf16` |
//!
//! Each loop does one thing, so that its constants and sums stay in registers, of which AVX2 has sixteen. Only the last shares
//! the loop of the first exponentials, which overwrite what it reads: one waits for a cache, the other for arithmetic.
//!
//! Sums run on in the lanes of a vector for a tile and no further, then all are added pairwise: longer running sums in `f32`
//! lose digits.
//!
//! [`Load`]: super::load::Load
//! [`Exponentials::take`]: super::exponentials::Exponentials::take
//! [`Agreement::divergence`]: super::agreement::Agreement::divergence
//! [`Agreement::differences`]: super::agreement::Agreement::differences

use super::agreement::Agreement;
use super::ahead::Ahead;
use super::exponentials::{Exponentials, Role};
use super::gradient::Writing;
use super::kept::Kept;
use super::load::{Loaded, masked_apart};
use super::recipe::Recipe;
use super::simd::{SIDE_BY_SIDE, STRIP, Simd, Task};
use crate::math::LOG2_E;
use crate::row_stats::{RowFlags, RowStats, Temperature};

/// Elements of a tile: with what is kept of them and the next tile's logits they stay in a first-level cache of 32 KiB.
pub(super) const TILE: usize = 1024;

const _: () = assert!(TILE <= 128 * 8 * SIDE_BY_SIDE, "no lane may take more than 128 addends");

/// Consecutive elements of a row.
pub(super) type Strip = [f32; STRIP];

/// The logits of one tile, of student and teacher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) student: Loaded<'a>,
    pub(super) teacher: Loaded<'a>,
}

/// What the loops over one tile use beside its logits.
pub(super) struct Work<'k, 'g> {
    pub(super) kept: Kept<'k>,
    /// Of each element, `(s - m_s) - (t - m_t)`.
    pub(super) distances: &'k mut [Strip],
    /// The last row's gradient, to be written before what it is made of is overwritten.
    pub(super) previous: Option<Writing<'g>>,
    pub(super) ahead: Ahead,
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
    pub(super) stats: RowStats,
    /// The divergence over `T²` of the tile's two distributions, each normalised within the tile.
    pub(super) divergence: f32,
    /// `log(Zb / Za)` of the tile.
    pub(super) log_ratio: f64,
    pub(super) form: Form,
}

/// Takes the exponentials that the recipe asks for, and adds them up: to NaN where a logit is, and [`Loaded::cleaned`] has not
/// seen to it.
#[inline(always)]
pub(super) fn statistics<S: Simd>(
    simd: S,
    recipe: Recipe,
    temperature: Temperature,
    pair: Pair<'_>,
    work: &mut Work<'_, '_>,
) -> RowStats {
    let Pair { student, teacher } = pair;
    let low = student.has_low || teacher.has_low;
    let scale = temperature.exponent_scale;
    let nonfinite = RowFlags::NONFINITE.when(student.nonfinite || teacher.nonfinite);
    let mut stats = RowStats { student_max: student.largest, flags: nonfinite, ..RowStats::IDENTITY };
    if recipe.has_soft() {
        let of_student = Exponentials { logits: student, scale, low, role: Role::Student };
        [stats.student_tempered_sum, stats.student_sum] = match recipe {
            Recipe::Square => of_student.take::<S, 2>(simd, recipe, work),
            Recipe::FourthPower => of_student.take::<S, 4>(simd, recipe, work),
            _ => of_student.take::<S, 1>(simd, recipe, work),
        };
        let of_teacher = Exponentials { logits: teacher, scale, low, role: Role::Teacher };
        [stats.teacher_tempered_sum, _] = of_teacher.take::<S, 1>(simd, recipe, work);
        stats.teacher_max = teacher.largest;
        let infinite_soft = student.masked && masked_apart(student, teacher);
        stats.flags = stats.flags.or(RowFlags::INFINITE_SOFT.when(infinite_soft));
    }
    if recipe.has_own_exponential() {
        let of_hard = Exponentials { logits: student, scale: LOG2_E, low, role: Role::Hard };
        [stats.student_sum, _] = of_hard.take::<S, 1>(simd, recipe, work);
    }
    stats
}

/// Whether a logit was NaN.
pub(super) fn is_nan(stats: &RowStats) -> bool {
    (stats.student_sum + stats.student_tempered_sum + stats.teacher_tempered_sum).is_nan()
}

/// Compares the two distributions of a tile, from what is kept, and if they nearly agree, keeps their difference instead of the
/// teacher's exponentials. The same for every recipe with a soft term, and so compiled once.
pub(super) struct Compare<'w, 'k, 'g> {
    pub(super) temperature: Temperature,
    pub(super) stats: RowStats,
    /// Strips of the tile.
    pub(super) strips: usize,
    pub(super) work: &'w mut Work<'k, 'g>,
}

impl Task for Compare<'_, '_, '_> {
    type Output = Summary;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Summary {
        let Self { temperature, stats, strips, work } = self;
        let log_ratio = (f64::from(stats.teacher_tempered_sum) / f64::from(stats.student_tempered_sum)).ln();
        let agreement = Agreement {
            student: &work.kept.student[..strips],
            distances: &work.distances[..strips],
            student_factor: stats.student_tempered_sum.recip(),
            teacher_factor: stats.teacher_tempered_sum.recip(),
            log_ratio: log_ratio as f32,
            reciprocal: temperature.reciprocal,
        };
        let teacher = &mut work.kept.teacher[..strips];
        let (divergence, all_near) = agreement.divergence(simd, teacher, &mut work.ahead);
        if all_near {
            agreement.differences(simd, teacher);
        }
        let form = if all_near { Form::Difference } else { Form::Exponential };
        Summary { stats, divergence, log_ratio, form }
    }
}

impl Summary {
    /// Of a tile whose distributions are not compared.
    pub(super) fn of_hard_term(stats: RowStats) -> Self {
        Self { stats, divergence: 0.0, log_ratio: 0.0, form: Form::Exponential }
    }
}
