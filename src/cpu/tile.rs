//! The loops over logits, on tiles of a row: the only code whose speed matters.
//!
//! A tile is at most [`TILE`] elements of a row. [`begin`] visits it three times, in the first-level cache: [`load`](super::load)
//! finds the maxima, [`exponentials`] takes `e^((s - m_s) / T)`, `e^((t - m_t) / T)` and `e^(s - m_s)` relative to them, keeps them
//! and adds them up, and [`divergence`] compares the two distributions *within the tile*, as if it were the row. [`row`](super::row)
//! joins the tiles. What is kept is all that the gradient needs, two or three numbers per element: see [`Gradient`].
//!
//! The gradient of one row is written while the exponentials of the next are taken ([`exponentials`] does both, strip by
//! strip), since one waits for memory and the other for arithmetic, and since the kept numbers of the one are in the
//! cache lines that those of the other go to.
//!
//! | loop | reads | writes | exponentials per element |
//! |---|---|---|---|
//! | `load` | student, teacher | 16-bit logits widened, in the L1 cache | 0 |
//! | `exponentials` | the same from L1; what is kept of the row before | what is kept of this row; `s - t` in L1; gradient of the row before | 2 at T = 1, 2, 4, where the third is a power, else 3; 2 of the soft term alone, 1 of the hard |
//! | `divergence` | `s - t` and what is kept, from L1 | – | 0 |
//! | `differences`, of tiles that nearly agree | the same | what is kept | 0 |
//!
//! No lane of an accumulator takes more than [`RUN`]` · `[`STRIP`]` / 8 = 128` addends before all are added pairwise: longer
//! running sums in `f32` lose digits (DESIGN §2).

use super::gradient::Gradient;
use super::load::{Behind, Loaded, masked_apart};
use super::rule::Rule;
use super::simd::{STRIP, Simd, Store, Vector, exp2, phi_over_y};
use crate::math::LOG2_E;
use crate::row_stats::{MASKED, Normalizer, RowFlags, RowStats, Temperature};

/// Elements of a tile: student, teacher, their distances and what is kept of them stay in a first-level cache of 32 KiB.
pub(super) const TILE: usize = 1024;

/// Strips whose sums run on in the lanes of one vector: 1024 elements, hence at most 128 addends to a lane.
const RUN: usize = 1024 / STRIP;

/// Consecutive elements of a row.
pub(super) type Strip = [f32; STRIP];

/// The logits of one tile, of student and teacher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) student: Loaded<'a>,
    pub(super) teacher: Loaded<'a>,
    /// What lies behind the student's and the teacher's logits.
    pub(super) behind: [Behind; 2],
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
pub(super) fn begin<S: Simd, R: Rule>(
    simd: S,
    pair: Pair<'_>,
    temperature: Temperature,
    kept: &mut [R::Kept],
    distances: &mut [Strip],
    previous: Option<Gradient<'_>>,
) -> Summary {
    let Pair { student, teacher, .. } = pair;
    let sums = exponentials::<S, R>(simd, pair, temperature, kept, distances, previous);
    let infinite_soft = R::SOFT && student.masked && masked_apart(student, teacher);
    let stats = RowStats {
        student_max: student.largest,
        student_sum: sums.hard,
        student_tempered_sum: sums.student,
        teacher_max: if R::SOFT { teacher.largest } else { MASKED },
        teacher_tempered_sum: sums.teacher,
        flags: RowFlags::NONFINITE
            .when(student.nonfinite || (R::SOFT && teacher.nonfinite))
            .or(RowFlags::INFINITE_SOFT.when(infinite_soft)),
    };
    if !R::SOFT {
        return Summary { stats, divergence: 0.0, log_ratio: 0.0, form: Form::Exponential };
    }
    let normalizer = stats.finish(temperature);
    let (divergence, all_near) = divergence::<S, R>(simd, pair, &normalizer, kept, distances);
    if all_near {
        differences::<S, R>(simd, &normalizer, kept, distances);
    }
    let form = if all_near { Form::Difference } else { Form::Exponential };
    Summary { stats, divergence, log_ratio: normalizer.log_ratio, form }
}

/// `Z1`, `Za` and `Zb` of a tile.
struct Sums {
    hard: f32,
    student: f32,
    teacher: f32,
}

#[inline(always)]
fn exponentials<S: Simd, R: Rule>(
    simd: S,
    Pair { student, teacher, behind }: Pair<'_>,
    temperature: Temperature,
    kept: &mut [R::Kept],
    distances: &mut [Strip],
    mut previous: Option<Gradient<'_>>,
) -> Sums {
    if let Some(previous) = &mut previous {
        previous.write_special::<S, R>(simd, kept);
    }
    let mut sums = Sums { hard: 0.0, student: 0.0, teacher: 0.0 };
    let strips = student.strips.len();
    for start in (0..strips).step_by(RUN) {
        let zero = simd.splat(0.0);
        let [mut hard_sum, mut student_sum, mut teacher_sum] = [zero; 3];
        for index in start..strips.min(start + RUN) {
            let (s, t, kept) = (&student.strips[index], &teacher.strips[index], &mut kept[index]);
            if let Some(previous) = &mut previous {
                previous.write::<S, R>(simd, index, kept);
            }
            behind[0].prefetch(simd, index);
            let kept: &mut [Strip] = kept.as_mut();
            for part in 0..STRIP / S::V::LANES {
                let s = simd.load(s, part) - simd.splat(student.largest);
                if R::SOFT {
                    let t = simd.load(t, part) - simd.splat(teacher.largest);
                    (s - t).store(&mut distances[index], part, Store::Cached);
                    let student = exp2(simd, s, temperature.exponent_scale);
                    student.store(&mut kept[0], part, Store::Cached);
                    student_sum = student_sum + student;
                    match R::POWER {
                        2 => hard_sum = student.mul_add(student, hard_sum),
                        4 => hard_sum = (student * student).mul_add(student * student, hard_sum),
                        _ => (),
                    }
                    let teacher = exp2(simd, t, temperature.exponent_scale);
                    teacher.store(&mut kept[1], part, Store::Cached);
                    teacher_sum = teacher_sum + teacher;
                }
                if R::HARD && R::POWER == 0 {
                    let hard = exp2(simd, s, LOG2_E);
                    hard.store(&mut kept[if R::SOFT { 2 } else { 0 }], part, Store::Cached);
                    hard_sum = hard_sum + hard;
                }
            }
        }
        sums.hard += if R::POWER == 1 { student_sum } else { hard_sum }.sum();
        sums.student += student_sum.sum();
        sums.teacher += teacher_sum.sum();
    }
    sums
}

/// The divergence over `T²`, and whether every element's `|y|` is below ½.
#[inline(always)]
fn divergence<S: Simd, R: Rule>(
    simd: S,
    pair: Pair<'_>,
    normalizer: &Normalizer,
    kept: &[R::Kept],
    distances: &[Strip],
) -> (f32, bool) {
    let half = simd.splat(0.5);
    let reciprocal = simd.splat(normalizer.temperature.reciprocal);
    let log_ratio = simd.splat(normalizer.log_ratio);
    // Everything in units of the teacher's factor, by which the sum is multiplied at last.
    let ratio = simd.splat(normalizer.student_tempered_factor / normalizer.teacher_tempered_factor);
    let (mut sum, mut widest) = (0.0, simd.splat(0.0));
    for start in (0..kept.len()).step_by(RUN) {
        let mut run = simd.splat(0.0);
        for index in start..kept.len().min(start + RUN) {
            pair.behind[1].prefetch(simd, index);
            let kept: &[Strip] = kept[index].as_ref();
            for part in 0..STRIP / S::V::LANES {
                let y = simd.load(&distances[index], part).mul_add(reciprocal, log_ratio);
                let (student, teacher) = (simd.load(&kept[0], part), simd.load(&kept[1], part));
                let product = teacher * y;
                let far = student.mul_sub(ratio, product + teacher);
                let near = product * phi_over_y(simd, y);
                run = run + S::V::select(y.abs_less_than(half), near, far);
                widest = widest.max_magnitude(y);
            }
        }
        sum += run.sum();
    }
    let divergence = sum * normalizer.teacher_tempered_factor;
    // The tile's numbers are finite: here 0 met the overflow of y, which the element formula takes for 0.
    let divergence = if divergence.is_nan() { one_by_one(pair, normalizer) } else { divergence };
    (divergence, widest.all_abs_less_than(0.5))
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
fn differences<S: Simd, R: Rule>(simd: S, normalizer: &Normalizer, kept: &mut [R::Kept], distances: &[Strip]) {
    let reciprocal = simd.splat(normalizer.temperature.reciprocal);
    let log_ratio = simd.splat(normalizer.log_ratio);
    let factor = simd.splat(normalizer.teacher_tempered_factor);
    for (kept, distances) in kept.iter_mut().zip(distances) {
        let kept: &mut [Strip] = kept.as_mut();
        for part in 0..STRIP / S::V::LANES {
            let y = simd.load(distances, part).mul_add(reciprocal, log_ratio);
            let p = simd.load(&kept[1], part) * factor;
            let ratio = phi_over_y(simd, y);
            (p * y.mul_add(ratio, y)).store(&mut kept[1], part, Store::Cached);
        }
    }
}
