//! The loop over pairs of logits, student and teacher: all that a tile with a soft term costs.
//!
//! It writes the last row's gradient, takes the exponentials of this one, and compares the two, each pair once and in one loop:
//! whatever waits for a cache then finds arithmetic beside it, and no number is stored to be read again in a moment.
//!
//! The comparison is the soft term's element formula (see [`Divergence::ForwardKl`](crate::Divergence::ForwardKl)), of exponentials that are not normalised
//! yet. With `r = e^((s - m_s) / T)`, `w = e^((t - m_t) / T)`, `y = log(r / w)` and `Z = Σ w`, `m` being references, let
//!
//! ```text
//! F = Σ w·φ(y) / Z     every term at least 0: by the polynomial where |y| < ½, else r - w - w·y
//! Y = Σ w·y / Z
//! u = F + Y            = Σ (r - w) / Z, with the digits that a difference of sums has not
//! ```
//!
//! The divergence over `T²` of the two distributions is `F - (u - log(1 + u))`, and that of their sums `log(1 + u)`. Where the
//! subtraction would cost digits, and where the distributions nearly agree, [`Agreement`](super::agreement::Agreement) compares
//! them again, normalised.

use super::exponentials::together;
use super::kept::KEPT_AHEAD;
use super::recipe::Recipe;
use super::relative::LOGITS_AHEAD;
use super::running::Running;
use super::simd::{PAIRS_SIDE_BY_SIDE, STRIP, Simd, Vector, phi_over_square};
use super::tile::{Pair, Work};
use crate::divergence::Temperature;
use crate::math::LOG2_E;

/// What the pairs of a tile come to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// `Σ e^((s - m_s) / T)`.
    pub(super) student: f32,
    /// `Σ e^(s - m_s)`, where the recipe has a hard term.
    pub(super) hard: f32,
    /// `Σ e^((t - m_t) / T)`.
    pub(super) teacher: f32,
    /// `Σ w·φ(y)`.
    pub(super) gain: f32,
    /// `Σ w·y`.
    pub(super) shift: f32,
    /// The largest `y²`.
    pub(super) widest: f32,
    /// The largest logits of student and teacher.
    pub(super) largest: [f32; 2],
    /// The student's smallest logit.
    pub(super) smallest: f32,
}

/// Takes and keeps the exponentials of a tile, and compares them; `LOW` says whether exponents may be below those of normal
/// numbers. Some sum is NaN where a logit is, and not finite where one is infinite.
#[inline(always)]
pub(super) fn pairs<S: Simd, const LOW: bool>(
    simd: S,
    recipe: Recipe,
    temperature: Temperature,
    pair: &Pair<'_>,
    work: &mut Work<'_, '_>,
) -> Sums {
    const N: usize = PAIRS_SIDE_BY_SIDE;
    let references = [simd.splat(pair.student.reference), simd.splat(pair.teacher.reference)];
    let [scale, reciprocal] = [temperature.exponent_scale, temperature.reciprocal].map(|factor| simd.splat(factor));
    let (zero, quarter) = (simd.splat(0.0), simd.splat(0.25));
    let (mut largest, mut smallest) = (references, references[0]);
    let mut widest = zero;
    let mut running = Running::new(zero);
    let kept = &mut work.kept;
    let mut lines = match &mut work.stream {
        Some(stream) => stream.lines(simd),
        None => None,
    };
    let mut rooms = [[0.0; STRIP]; 2];
    for index in 0..pair.student.strips() {
        // Student and teacher in the same order: the sums of identical rows must be the same.
        let [mut students, mut hards, mut teachers] = [[zero; N]; 3];
        let [mut gains, mut shifts] = [zero; 2];
        if let Some(lines) = &mut lines {
            lines.write_strip(simd, recipe, kept, index);
        }
        let [student, teacher] = pair.strips(simd, index, &mut rooms);
        let student = S::vectors(student).as_chunks::<N>().0;
        let teacher = S::vectors(teacher).as_chunks::<N>().0;
        let kept_student = S::vectors_mut(&mut kept.student[index]).as_chunks_mut::<N>().0;
        let kept_teacher = S::vectors_mut(&mut kept.teacher[index]).as_chunks_mut::<N>().0;
        let logits = student.iter().zip(teacher);
        for (group, ((student, teacher), (kept_student, kept_teacher))) in
            logits.zip(kept_student.iter_mut().zip(kept_teacher)).enumerate()
        {
            for side in 0..N {
                simd.prefetch_ahead(&student[side], LOGITS_AHEAD);
                simd.prefetch_ahead(&teacher[side], LOGITS_AHEAD);
                simd.prefetch_ahead(&kept_student[side], KEPT_AHEAD);
                simd.prefetch_ahead(&kept_teacher[side], KEPT_AHEAD);
            }
            let [mut r, mut w, mut hard, mut y] = [[zero; N]; 4];
            for side in 0..N {
                let (s, t) = (simd.vector(&student[side]), simd.vector(&teacher[side]));
                largest = [s.max_or_second(largest[0]), t.max_or_second(largest[1])];
                smallest = s.min_or_second(smallest);
                let (s, t) = (s - references[0], t - references[1]);
                // Subtracted first, scaled after: what student and teacher have in common cancels exactly.
                y[side] = (s - t) * reciprocal;
                r[side] = s * scale;
                w[side] = t * scale;
                hard[side] = s * simd.splat(LOG2_E);
            }
            r = simd.exp2(r, LOW);
            w = simd.exp2(w, LOW);
            if recipe == Recipe::OwnExponential {
                hard = simd.exp2(hard, LOW);
            }
            let phi = phi_over_square(simd, y);
            for side in 0..N {
                let (r, w, y) = (r[side], w[side], y[side]);
                r.store_lanes(&mut kept_student[side]);
                w.store_lanes(&mut kept_teacher[side]);
                students[side] = students[side] + r;
                teachers[side] = teachers[side] + w;
                hards[side] = match recipe {
                    Recipe::Square => r.mul_add(r, hards[side]),
                    Recipe::FourthPower => (r * r).mul_add(r * r, hards[side]),
                    Recipe::OwnExponential => {
                        hard[side].store_lanes(&mut S::vectors_mut(&mut kept.hard[index])[group * N + side]);
                        hards[side] + hard[side]
                    }
                    _ => hards[side],
                };
                let square = y * y;
                widest = square.max_or_second(widest);
                let far = r - w.mul_add(y, w);
                gains = gains + (w * square).mul_where(square.less_than(quarter), phi[side], far);
                shifts = w.mul_add(y, shifts);
            }
        }
        running.add(index, [together(students), together(hards), together(teachers), gains, shifts]);
    }
    if let Some(lines) = lines {
        lines.finish(simd);
    }
    if let Some(stream) = work.stream.take() {
        stream.write_label();
    }
    let [student, hard, teacher, gain, shift] = running.total();
    Sums {
        student,
        hard: if recipe == Recipe::SameExponential { student } else { hard },
        teacher,
        gain,
        shift,
        widest: widest.largest(),
        largest: [largest[0].largest(), largest[1].largest()],
        smallest: smallest.smallest(),
    }
}
