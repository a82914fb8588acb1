//! The loops over logits, on tiles of a row: the only code whose speed matters.
//!
//! A tile is at most [`TILE`] elements of a row. [`begin`] goes over it in the caches: [`load`](super::load) finds the maxima,
//! [`Exponentials`] takes `e^((s - m_s) / T)`, `e^((t - m_t) / T)` and `e^(s - m_s)` relative to them, keeps them and adds them up,
//! and [`divergence`] compares the two distributions *within the tile*, as if it were the row. [`row`](super::row) joins the
//! tiles. What is kept is all that the gradient needs, one to three numbers per element: see [`Kept`].
//!
//! | loop | reads | writes | exponentials per element |
//! |---|---|---|---|
//! | `load`, of each matrix | logits | 16-bit logits widened, in the L1 cache | 0 |
//! | [`Exponentials::take`], of each kind | the same logits, from L1 | one kept number | 1 |
//! | `divergence` | logits and what is kept, from L1 | – | 0 |
//! | `differences`, of tiles that nearly agree | the same | one kept number | 0 |
//! | [`Gradient::write`](super::gradient::Gradient::write), a row later | what is kept | the gradient | 0 |
//!
//! Each loop does one thing, so that its constants and sums stay in registers, of which AVX2 has sixteen: in one loop for
//! both matrices and the last row's gradient they did not. What waits for memory is instead asked for in time: the
//! exponentials of one tile prefetch the logits of the next.
//!
//! Sums run on in the lanes of a vector, eight at least, for a tile and no further: 128 addends, then all are added pairwise.
//! Longer running sums in `f32` lose digits (DESIGN §2).

use std::ops::Range;

use super::gradient::Gradient;
use super::kept::Kept;
use super::load::{Loaded, masked_apart};
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Vector, exp2, phi_over_square};
use crate::math::LOG2_E;
use crate::row_stats::{MASKED, Normalizer, RowFlags, RowStats, Temperature};

/// Elements of a tile: student, teacher and what is kept of them stay in a first-level cache of 32 KiB.
pub(super) const TILE: usize = 1024;

const _: () = assert!(TILE <= 128 * 8, "no lane may take more than 128 addends");

/// Strips that a loop goes over before the next loop has its turn: 256 elements.
const BLOCK: usize = 8;

/// Consecutive elements of a row.
pub(super) type Strip = [f32; STRIP];

/// The logits of one tile, of student and teacher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) student: Loaded<'a>,
    pub(super) teacher: Loaded<'a>,
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
    pub(super) log_ratio: f32,
    pub(super) form: Form,
}

/// First pass over a tile: what it adds to its row, and in `kept` what its gradient will be made of. Meanwhile writes the
/// gradient of `previous`, which `kept` was filled for before.
#[inline(always)]
pub(super) fn begin<S: Simd>(
    simd: S,
    recipe: Recipe,
    temperature: Temperature,
    pair: Pair<'_>,
    kept: &mut Kept<'_>,
    previous: Option<Gradient<'_>>,
) -> Summary {
    let mut stats = statistics(simd, recipe, temperature, pair, kept, previous);
    if !recipe.has_soft() {
        return Summary { stats, divergence: 0.0, log_ratio: 0.0, form: Form::Exponential };
    }
    let infinite_soft = pair.student.masked && masked_apart(pair.student, pair.teacher);
    stats.flags = stats.flags.or(RowFlags::INFINITE_SOFT.when(infinite_soft));
    let normalizer = stats.finish(temperature);
    let (divergence, all_near) = divergence(simd, pair, &normalizer, kept);
    if all_near {
        differences(simd, pair, &normalizer, kept);
    }
    let form = if all_near { Form::Difference } else { Form::Exponential };
    Summary { stats, divergence, log_ratio: normalizer.log_ratio, form }
}

/// The exponentials that the recipe asks for, and their sums, block by block behind the last row's gradient.
#[inline(always)]
fn statistics<S: Simd>(
    simd: S,
    recipe: Recipe,
    temperature: Temperature,
    Pair { student, teacher }: Pair<'_>,
    kept: &mut Kept<'_>,
    mut previous: Option<Gradient<'_>>,
) -> RowStats {
    if let Some(previous) = &mut previous {
        previous.write_special(simd, recipe, kept);
    }
    let mut of_student = Exponentials::new(simd, student, temperature.exponent_scale);
    let mut of_teacher = Exponentials::new(simd, teacher, temperature.exponent_scale);
    let mut of_hard = Exponentials::new(simd, student, LOG2_E);
    let strips = student.strips.len();
    for start in (0..strips).step_by(BLOCK) {
        let block = start..strips.min(start + BLOCK);
        if let Some(previous) = &mut previous {
            previous.write(simd, recipe, block.clone(), kept);
        }
        student.behind.prefetch(simd, block.clone());
        if recipe.has_soft() {
            teacher.behind.prefetch(simd, block.clone());
            match recipe {
                Recipe::Square => of_student.take::<S, 2>(simd, block.clone(), kept.student),
                Recipe::FourthPower => of_student.take::<S, 4>(simd, block.clone(), kept.student),
                _ => of_student.take::<S, 1>(simd, block.clone(), kept.student),
            }
            of_teacher.take::<S, 1>(simd, block.clone(), kept.teacher);
        }
        if recipe.has_own_exponential() {
            of_hard.take::<S, 1>(simd, block, kept.hard);
        }
    }
    RowStats {
        student_max: student.largest,
        student_sum: match recipe {
            Recipe::Hard | Recipe::OwnExponential => of_hard.sum,
            Recipe::SameExponential => of_student.sum,
            _ => of_student.power_sum,
        }
        .sum(),
        student_tempered_sum: of_student.sum.sum(),
        teacher_max: if recipe.has_soft() { teacher.largest } else { MASKED },
        teacher_tempered_sum: of_teacher.sum.sum(),
        flags: RowFlags::NONFINITE.when(student.nonfinite || (recipe.has_soft() && teacher.nonfinite)),
    }
}

/// Exponentials relative to the largest logit of a tile, and their sums so far.
pub(super) struct Exponentials<'a, V> {
    logits: Loaded<'a>,
    scale: f32,
    pub(super) sum: V,
    /// The sum of a power of each.
    power_sum: V,
}

impl<'a, V: Vector> Exponentials<'a, V> {
    #[inline(always)]
    pub(super) fn new<S: Simd<V = V>>(simd: S, logits: Loaded<'a>, scale: f32) -> Self {
        Self { logits, scale, sum: simd.splat(0.0), power_sum: simd.splat(0.0) }
    }

    /// Takes and keeps those of a block, and adds them up, and, if `POWER` is 2 or 4, that power of each.
    #[inline(always)]
    pub(super) fn take<S: Simd<V = V>, const POWER: u32>(&mut self, simd: S, block: Range<usize>, kept: &mut [Strip]) {
        let Self { logits, scale, mut sum, mut power_sum } = *self;
        let largest = simd.splat(logits.largest);
        let kept = S::vectors_mut(&mut kept[block.clone()]);
        for (logits, kept) in S::vectors(&logits.strips[block]).iter().zip(kept) {
            let exponential = exp2(simd, simd.vector(logits) - largest, scale);
            exponential.store_lanes(kept);
            sum = sum + exponential;
            match POWER {
                2 => power_sum = exponential.mul_add(exponential, power_sum),
                4 => power_sum = (exponential * exponential).mul_add(exponential * exponential, power_sum),
                _ => (),
            }
        }
        (self.sum, self.power_sum) = (sum, power_sum);
    }
}

/// The divergence over `T²`, and whether every element's `|y|` is below ½.
#[inline(always)]
fn divergence<S: Simd>(simd: S, pair: Pair<'_>, normalizer: &Normalizer, kept: &Kept<'_>) -> (f32, bool) {
    let quarter = simd.splat(0.25);
    let log_odds = LogOdds::new(simd, pair, normalizer);
    // Everything in units of the teacher's factor, by which the sum is multiplied at last.
    let ratio = simd.splat(normalizer.student_tempered_factor / normalizer.teacher_tempered_factor);
    let mut sum = simd.splat(0.0);
    let mut all_near = sum.less_than(quarter);
    let student = S::vectors(pair.student.strips).iter().zip(S::vectors(kept.student));
    let teacher = S::vectors(pair.teacher.strips).iter().zip(S::vectors(kept.teacher));
    for ((s, student), (t, teacher)) in student.zip(teacher) {
        let y = log_odds.of(simd.vector(s), simd.vector(t));
        let square = y * y;
        let (student, teacher) = (simd.vector(student), simd.vector(teacher));
        let far = student.mul_sub(ratio, teacher.mul_add(y, teacher));
        let near = teacher * square * phi_over_square(simd, y);
        let is_near = square.less_than(quarter);
        sum = sum + S::V::select(is_near, near, far);
        all_near = S::V::both(all_near, is_near);
    }
    let divergence = sum.sum() * normalizer.teacher_tempered_factor;
    // The tile's numbers are finite: here 0 met the overflow of y, which the element formula takes for 0.
    let divergence = if divergence.is_nan() { one_by_one(pair, normalizer) } else { divergence };
    (divergence, S::V::all(all_near))
}

/// The divergence by the element formula itself.
#[cold]
#[inline(never)]
fn one_by_one(pair: Pair<'_>, normalizer: &Normalizer) -> f32 {
    let elements = pair.student.strips.as_flattened().iter().zip(pair.teacher.strips.as_flattened());
    elements.map(|(&s, &t)| f64::from(normalizer.soft_element(s, t).divergence)).sum::<f64>() as f32
}

/// Replaces the teacher's exponentials by `q - p`, where every `|y|` is below ½.
#[inline(always)]
fn differences<S: Simd>(simd: S, pair: Pair<'_>, normalizer: &Normalizer, kept: &mut Kept<'_>) {
    let log_odds = LogOdds::new(simd, pair, normalizer);
    let factor = simd.splat(normalizer.teacher_tempered_factor);
    let logits = S::vectors(pair.student.strips).iter().zip(S::vectors(pair.teacher.strips));
    for ((s, t), kept) in logits.zip(S::vectors_mut(kept.teacher)) {
        let y = log_odds.of(simd.vector(s), simd.vector(t));
        let p = simd.vector(kept) * factor;
        (p * (y * y).mul_add(phi_over_square(simd, y), y)).store_lanes(kept);
    }
}

/// What makes `y = log q - log p` of two logits.
#[derive(Clone, Copy)]
struct LogOdds<V> {
    student_max: V,
    teacher_max: V,
    reciprocal: V,
    log_ratio: V,
}

impl<V: Vector> LogOdds<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(simd: S, pair: Pair<'_>, normalizer: &Normalizer) -> Self {
        Self {
            student_max: simd.splat(pair.student.largest),
            teacher_max: simd.splat(pair.teacher.largest),
            reciprocal: simd.splat(normalizer.temperature.reciprocal),
            log_ratio: simd.splat(normalizer.log_ratio),
        }
    }

    /// The differences first, so that what both logits have in common cancels exactly.
    #[inline(always)]
    fn of(self, student: V, teacher: V) -> V {
        let distance = (student - self.student_max) - (teacher - self.teacher_max);
        distance.mul_add(self.reciprocal, self.log_ratio)
    }
}
