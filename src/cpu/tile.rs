//! One tile of a row: its logits in, its sums and its divergence out.
//!
//! A tile is at most [`TILE`] elements of a row, all of whose loops find their numbers in a first-level cache. [`visit`](super::visit)
//! takes one after another through these, the only loops whose speed matters:
//!
//! | loop | reads | writes | vector instructions per vector of AVX-512 |
//! |---|---|---|---|
//! | [`Load`], of each matrix | logits | 16-bit logits widened | 2, and 2 to widen |
//! | [`pairs`] | logits of both | two kept numbers, or three | 40, and 10 for a third exponential |
//! | and what it does beside, for `f32` past the caches | what was kept a row ago | the gradient | 4 or 5 |
//! | [`exponentials`], where there is no soft term | logits of the student | a kept number | 10 |
//! | [`Agreement`], of tiles that nearly agree | logits, what is kept | a kept number | 24 |
//!
//! Sums run on in the lanes of a vector for a tile and no further, then all are added pairwise: longer running sums in `f32`
//! lose digits.
//!
//! [`Load`]: super::load::Load

use super::agreement::Agreement;
use super::ahead::Ahead;
use super::exponentials::exponentials;
use super::kept::Kept;
use super::load::{Loaded, masked_apart};
use super::pairs::{LowPairs, Sums, pairs};
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Task};
use super::stream::Stream;
use crate::math::LOG2_E;
use crate::row_stats::{RowFlags, RowStats, Temperature};

/// Elements of a tile: with what is kept of them, what was kept of the next ones, and the next tile's logits they stay in a
/// first-level cache of 32 KiB.
pub(super) const TILE: usize = 1024;

const _: () = assert!(TILE <= 128 * 8, "no lane may take more than 128 addends");

/// Consecutive elements of a row.
pub(super) type Strip = [f32; STRIP];

/// The logits of one tile, of student and teacher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) student: &'a Loaded<'a>,
    pub(super) teacher: &'a Loaded<'a>,
}

impl Pair<'_> {
    /// Whether an exponent may be below those of normal numbers.
    pub(super) fn has_low(&self) -> bool {
        self.student.has_low || self.teacher.has_low
    }
}

/// What the loops over one tile use beside its logits.
pub(super) struct Work<'k, 'g> {
    pub(super) kept: Kept<'k>,
    /// What is still to be written of the last row's gradient. Not to be moved: a copy would wait for all stores before.
    pub(super) stream: Option<Stream<'g>>,
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
    pub(super) divergence: f64,
    /// `log(Zb / Za)` of the tile.
    pub(super) log_ratio: f64,
    pub(super) form: Form,
}

/// Takes the exponentials of a tile, as its recipe asks for, adds them up and compares them. NaN where a logit is, and
/// [`Loaded::cleaned`](super::load::Loaded::cleaned) has not seen to it.
#[inline(always)]
pub(super) fn summarise<S: Simd>(
    simd: S,
    recipe: Recipe,
    temperature: Temperature,
    pair: Pair<'_>,
    work: &mut Work<'_, '_>,
) -> Summary {
    let Pair { student, teacher } = pair;
    let nonfinite = RowFlags::NONFINITE.when(student.nonfinite || teacher.nonfinite);
    let stats = RowStats { student_max: student.largest, flags: nonfinite, ..RowStats::IDENTITY };
    if !recipe.has_soft() {
        let student_sum = exponentials(simd, student, LOG2_E, work);
        return Summary { stats: RowStats { student_sum, ..stats }, ..Summary::OF_NOTHING };
    }
    let sums = match pair.has_low() {
        true => simd.run(LowPairs { recipe, temperature, pair, work }),
        false => pairs::<S, false>(simd, recipe, temperature, pair, work),
    };
    let infinite_soft = student.masked && masked_apart(student, teacher);
    let stats = RowStats {
        student_sum: sums.hard,
        student_tempered_sum: sums.student,
        teacher_max: teacher.largest,
        teacher_tempered_sum: sums.teacher,
        flags: stats.flags.or(RowFlags::INFINITE_SOFT.when(infinite_soft)),
        ..stats
    };
    let summary = Summary::of_sums(stats, sums);
    if summary.is_nan() {
        return summary;
    }
    // The subtraction took a bit at most.
    if f64::from(sums.gain) <= 2.0 * summary.divergence * f64::from(sums.teacher) && sums.widest >= 0.25 {
        return summary;
    }
    simd.run(Compare { temperature, summary, pair, kept: &mut work.kept })
}

/// Compares the two distributions of a tile once more, normalised, and if they nearly agree, keeps their difference instead of the
/// teacher's exponentials. The same for every recipe with a soft term, and so compiled once.
struct Compare<'w, 'k> {
    temperature: Temperature,
    summary: Summary,
    pair: Pair<'w>,
    kept: &'w mut Kept<'k>,
}

impl Task for Compare<'_, '_> {
    type Output = Summary;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Summary {
        let Self { temperature, summary, pair, kept } = self;
        let strips = pair.student.strips.len();
        let agreement = Agreement {
            pair,
            student: &kept.student[..strips],
            student_factor: summary.stats.student_tempered_sum.recip(),
            teacher_factor: summary.stats.teacher_tempered_sum.recip(),
            log_ratio: summary.log_ratio as f32,
            reciprocal: temperature.reciprocal,
        };
        let teacher = &mut kept.teacher[..strips];
        let (divergence, all_near) = agreement.divergence(simd, teacher);
        if all_near {
            agreement.differences(simd, teacher);
        }
        let form = if all_near { Form::Difference } else { Form::Exponential };
        Summary { divergence: f64::from(divergence), form, ..summary }
    }
}

impl Summary {
    /// Of a tile without elements.
    const OF_NOTHING: Self =
        Self { stats: RowStats::IDENTITY, divergence: 0.0, log_ratio: 0.0, form: Form::Exponential };

    /// Whether a logit was NaN.
    #[inline(always)]
    pub(super) fn is_nan(&self) -> bool {
        let stats = &self.stats;
        (stats.student_sum + stats.student_tempered_sum + stats.teacher_tempered_sum).is_nan()
    }

    /// Of sums that keep their digits: see [`pairs`](super::pairs).
    #[inline(always)]
    fn of_sums(stats: RowStats, sums: Sums) -> Self {
        let teacher = f64::from(sums.teacher);
        let (gain, shift) = (f64::from(sums.gain) / teacher, f64::from(sums.shift) / teacher);
        let excess = gain + shift;
        let log_of_sums = match excess.abs() < 0.5 {
            true => excess.ln_1p(),
            false => (f64::from(sums.student) / teacher).ln(),
        };
        Self { stats, divergence: log_of_sums - shift, log_ratio: -log_of_sums, form: Form::Exponential }
    }
}
