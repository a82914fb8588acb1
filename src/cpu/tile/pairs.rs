//! The loop over pairs of logits, student and teacher: the whole cost of a tile with a soft term.
//!
//! One loop writes the last row's gradient, takes the exponentials of this row and compares them. So arithmetic fills the time in
//! which the caches answer, and no number is stored only to be loaded again at once.
//!
//! The comparison is the element formula of [`ForwardKl`](crate::Divergence::ForwardKl), of exponentials that are not yet normalised.
//! With `r = e^((s - m_s) / T)`, `w = e^((t - m_t) / T)`, `y = log(r / w)` and `Z = Σ w`, let
//!
//! ```text
//! F = Σ w·φ(y) / Z     no term is negative: by the polynomial where |y| < ½, else r - w - w·y
//! Y = Σ w·y / Z
//! u = F + Y            which is Σ (r - w) / Z, but keeps the digits that a difference of two sums loses
//! ```
//!
//! The divergence of the two distributions over `T²` is `F - (u - log(1 + u))`, and the logarithm of `Σ r / Σ w` is `log(1 + u)`.
//! Where that subtraction costs digits, and where the distributions nearly agree, [`compare`](super::compare) compares them again,
//! normalised.

use super::Work;
use super::logits::{LOGITS_AHEAD, Pair};
use super::sums::{PairwiseSums, Sums};
use crate::cpu::gradient::kept::KEPT_AHEAD;
use crate::cpu::gradient::stream::LastRowWriter;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::STRIP;
use crate::cpu::simd::{PAIRS_SIDE_BY_SIDE, Simd, Vector, phi_over_square, tree_sum};
use crate::divergence::Temperature;
use crate::math::LOG2_E;

/// Takes the exponentials of a tile, keeps them and compares them. `SUBNORMALS` says whether some may be below the smallest normal
/// number. Some sum is NaN if a logit is, and some sum is not finite if a logit is infinite.
#[inline(always)]
pub(super) fn pairs<S: Simd, const SUBNORMALS: bool>(
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
    let mut pairwise = PairwiseSums::new(zero);
    let kept = &mut work.kept;
    let mut last_row = LastRowWriter::take(simd, &mut work.stream);
    let mut rooms = [[0.0; STRIP]; 2];
    for index in 0..pair.student.strip_count() {
        // Student and teacher are added in the same order: the sums of identical rows must be the same.
        let [mut students, mut hards, mut teachers] = [[zero; N]; 3];
        let [mut gains, mut shifts] = [zero; 2];
        last_row.write_strip(simd, recipe, kept, index);
        let [student, teacher] = pair.strip(simd, index, &mut rooms);
        let student = S::V::vectors(student).as_chunks::<N>().0;
        let teacher = S::V::vectors(teacher).as_chunks::<N>().0;
        let kept_student = S::V::vectors_mut(&mut kept.student[index]).as_chunks_mut::<N>().0;
        let kept_teacher = S::V::vectors_mut(&mut kept.teacher[index]).as_chunks_mut::<N>().0;
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
            r = simd.exp2(r, SUBNORMALS);
            w = simd.exp2(w, SUBNORMALS);
            if recipe == Recipe::OwnExponential {
                hard = simd.exp2(hard, SUBNORMALS);
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
                        hard[side].store_lanes(&mut S::V::vectors_mut(&mut kept.hard[index])[group * N + side]);
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
        pairwise.add(index, [tree_sum(students), tree_sum(hards), tree_sum(teachers), gains, shifts]);
    }
    last_row.finish(simd);
    let [student, hard, teacher, gain, shift] = pairwise.total();
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
