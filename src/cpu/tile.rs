//! The two loops over logits, on tiles of a row: the only code whose speed matters.
//!
//! A tile is at most [`TILE`] elements of a row, as `f32`, its length rounded up to a multiple of [`LANES`] with
//! [`MASKED`] entries, which add nothing to any sum. Both loops keep [`LANES`] independent accumulators, so the compiler
//! turns a step of the loop into vector instructions, and no accumulator takes more than `TILE / LANES = 128` addends
//! before all are added pairwise: longer running sums in `f32` lose digits (DESIGN §2).
//!
//! | loop | reads | writes | exponentials per element |
//! |---|---|---|---|
//! | [`stats`] | student, teacher, twice (the second time from the L1 cache) | – | 3 (1 without the soft term, 2 without the hard one) |
//! | [`gradient`] | student, teacher | gradient | the same |
//!
//! [`Instructions`](super::instructions::Instructions) compiles each loop once per instruction set and chooses at run time.

use crate::math::{LOG2_E, exp2, max_or_second};
use crate::row_stats::{MASKED, Normalizer, RowFlags, RowStats, Temperature};

/// Elements of a tile: three tiles of `f32` (student, teacher, gradient) stay in a first-level cache of 32 KiB.
pub(super) const TILE: usize = 2048;

/// Independent accumulators: the `f32` lanes of one AVX-512 register.
pub(super) const LANES: usize = 16;

/// Which terms a row contributes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Terms {
    Hard,
    Soft,
    Both,
}

/// The student's logits of one tile and, unless the terms are [`Terms::Hard`], the teacher's: slices of one length, a
/// multiple of [`LANES`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub(super) student: &'a [f32],
    pub(super) teacher: &'a [f32],
}

/// Factors of the gradient of one row: weight, reduction and scale in one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GradientWeights {
    /// Multiplies `softmax(s) - onehot(y)`.
    pub(super) hard: f32,
    /// Multiplies `q - p`.
    pub(super) soft: f32,
}

/// First pass: the statistics of a tile.
#[inline(always)]
pub(super) fn stats<const FUSED: bool>(terms: Terms, tile: Tile<'_>, temperature: Temperature) -> RowStats {
    match terms {
        Terms::Hard => stats_of_terms::<FUSED, true, false>(tile, temperature),
        Terms::Soft => stats_of_terms::<FUSED, false, true>(tile, temperature),
        Terms::Both => stats_of_terms::<FUSED, true, true>(tile, temperature),
    }
}

/// Second pass: writes the tile's gradient, without the label's `-1`, to `gradient` (as long as the tile), and returns the
/// tile's part of `soft / T²`, 0 without the soft term.
#[inline(always)]
pub(super) fn gradient<const FUSED: bool>(
    terms: Terms,
    tile: Tile<'_>,
    normalizer: &Normalizer,
    weights: GradientWeights,
    gradient: &mut [f32],
) -> f32 {
    match terms {
        Terms::Hard => gradient_of_terms::<FUSED, true, false>(tile, normalizer, weights, gradient),
        Terms::Soft => gradient_of_terms::<FUSED, false, true>(tile, normalizer, weights, gradient),
        Terms::Both => gradient_of_terms::<FUSED, true, true>(tile, normalizer, weights, gradient),
    }
}

#[inline(always)]
fn stats_of_terms<const FUSED: bool, const HARD: bool, const SOFT: bool>(
    tile: Tile<'_>,
    temperature: Temperature,
) -> RowStats {
    let student = tile.student.as_chunks::<LANES>().0;
    let teacher = tile.teacher.as_chunks::<LANES>().0;

    let student_max = largest(student.iter().copied());
    let teacher_max = if SOFT { largest(teacher.iter().copied()) } else { MASKED };
    // A teacher logit that is not masked, where the student's is, makes the divergence infinite.
    let infinite_soft = SOFT && largest(student.iter().zip(teacher).map(only_where_masked)) > MASKED;

    let mut student_sum = [0.0; LANES];
    let mut student_tempered_sum = [0.0; LANES];
    let mut teacher_tempered_sum = [0.0; LANES];
    for (index, s) in student.iter().enumerate() {
        for lane in 0..LANES {
            let shifted = max_or_second(MASKED, s[lane]) - student_max;
            if HARD {
                student_sum[lane] += exp2::<FUSED>(shifted * LOG2_E);
            }
            if SOFT {
                student_tempered_sum[lane] += exp2::<FUSED>(shifted * temperature.exponent_scale);
                let shifted = max_or_second(MASKED, teacher[index][lane]) - teacher_max;
                teacher_tempered_sum[lane] += exp2::<FUSED>(shifted * temperature.exponent_scale);
            }
        }
    }
    let [student_sum, student_tempered_sum, teacher_tempered_sum] =
        [student_sum, student_tempered_sum, teacher_tempered_sum].map(|lanes| pairwise(lanes, |a, b| a + b));
    // NaN and +∞ (less itself) run through the exponentials into the sums; nothing else makes them NaN.
    let nonfinite = (student_sum + student_tempered_sum + teacher_tempered_sum).is_nan();
    RowStats {
        student_max,
        student_sum,
        student_tempered_sum,
        teacher_max,
        teacher_tempered_sum,
        flags: RowFlags::NONFINITE.when(nonfinite).or(RowFlags::INFINITE_SOFT.when(infinite_soft)),
    }
}

#[inline(always)]
fn gradient_of_terms<const FUSED: bool, const HARD: bool, const SOFT: bool>(
    tile: Tile<'_>,
    normalizer: &Normalizer,
    weights: GradientWeights,
    gradient: &mut [f32],
) -> f32 {
    let student = tile.student.as_chunks::<LANES>().0;
    let teacher = tile.teacher.as_chunks::<LANES>().0;
    let gradient = gradient.as_chunks_mut::<LANES>().0;
    let mut divergence = [0.0; LANES];
    for (index, (s, out)) in student.iter().zip(gradient).enumerate() {
        for lane in 0..LANES {
            let mut value = 0.0;
            if HARD {
                value = weights.hard * normalizer.hard_element_with::<FUSED>(s[lane]);
            }
            if SOFT {
                let element = normalizer.soft_element_with::<FUSED>(s[lane], teacher[index][lane]);
                value += weights.soft * element.difference;
                divergence[lane] += element.divergence;
            }
            out[lane] = value;
        }
    }
    pairwise(divergence, |a, b| a + b)
}

/// The largest of all lanes, at least [`MASKED`]. NaN is passed over.
#[inline(always)]
fn largest(values: impl Iterator<Item = [f32; LANES]>) -> f32 {
    let mut largest = [MASKED; LANES];
    for value in values {
        for lane in 0..LANES {
            largest[lane] = max_or_second(value[lane], largest[lane]);
        }
    }
    pairwise(largest, max_or_second)
}

/// The teacher's logits where the student's are masked, [`MASKED`] elsewhere.
#[inline(always)]
fn only_where_masked((student, teacher): (&[f32; LANES], &[f32; LANES])) -> [f32; LANES] {
    std::array::from_fn(|lane| if student[lane] <= MASKED { teacher[lane] } else { MASKED })
}

/// Joins the lanes as a balanced tree.
#[inline(always)]
fn pairwise(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = join(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}
