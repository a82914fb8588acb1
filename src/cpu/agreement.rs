//! How far the two distributions of a tile agree, each normalised within the tile: the soft term's element formula itself (see
//! [`Divergence`](crate::Divergence)). For the tiles that [`pairs`](super::pairs) leaves to it.
//!
//! `y = log q - log p` comes from the logits: subtracted first, scaled after, so that what student and teacher have in common
//! cancels exactly.

use super::exponentials::together;
use super::running::Running;
use super::simd::{SIDE_BY_SIDE, STRIP, Simd, Store, Vector, phi_over_square};
use super::tile::{Pair, Strip};
use crate::divergence::Soft;

/// What the two distributions of a tile are compared by, but for the teacher's exponentials.
pub(super) struct Agreement<'a> {
    /// The logits.
    pub(super) pair: &'a Pair<'a>,
    /// The student's exponentials.
    pub(super) student: &'a [Strip],
    /// `1 / Za`.
    pub(super) student_factor: f32,
    /// `1 / Zb`.
    pub(super) teacher_factor: f32,
    /// `log(Zb / Za)`.
    pub(super) log_ratio: f32,
    pub(super) soft: Soft,
}

impl Agreement<'_> {
    /// The divergence over `T²`, and whether every element's `|y|` is below ½.
    #[inline(always)]
    pub(super) fn divergence<S: Simd>(&self, simd: S, teacher: &[Strip]) -> (f32, bool) {
        let quarter = simd.splat(0.25);
        // Everything in units of the teacher's factor, by which the sum is multiplied at last.
        let ratio = simd.splat(self.student_factor / self.teacher_factor);
        let zero = simd.splat(0.0);
        let mut running = Running::new(zero);
        let mut all_near = zero.less_than(quarter);
        let mut rooms = [[0.0; STRIP]; 2];
        for (index, (student, teacher)) in self.student.iter().zip(teacher).enumerate() {
            let logits = self.pair.strips(simd, index, &mut rooms);
            let mut gains = [zero; SIDE_BY_SIDE];
            for part in 0..STRIP / S::V::LANES {
                let y = self.log_of_ratio(simd, logits, part);
                let [phi] = phi_over_square(simd, [y]);
                let (student, teacher) = (simd.load(student, part), simd.load(teacher, part));
                let square = y * y;
                let is_near = square.less_than(quarter);
                let far = student.mul_sub(ratio, teacher.mul_add(y, teacher));
                let gain = &mut gains[part % SIDE_BY_SIDE];
                *gain = *gain + (teacher * square).mul_where(is_near, phi, far);
                all_near = S::V::both(all_near, is_near);
            }
            running.add(index, [together(gains)]);
        }
        let [divergence] = running.total().map(|sum| sum * self.teacher_factor);
        // The tile's numbers are finite: here a difference of logits overflowed, or 0 met what did, which the element formula takes
        // for 0.
        let divergence = if divergence.is_finite() { divergence } else { self.one_by_one(simd, teacher) };
        (divergence, S::V::all(all_near))
    }

    /// `log q - log p` of one vector of a strip.
    #[inline(always)]
    fn log_of_ratio<S: Simd>(&self, simd: S, [student, teacher]: [&Strip; 2], part: usize) -> S::V {
        let s = simd.load(student, part) - simd.splat(self.pair.student.reference);
        let t = simd.load(teacher, part) - simd.splat(self.pair.teacher.reference);
        (s - t).mul_add(simd.splat(self.soft.temperature.reciprocal), simd.splat(self.log_ratio))
    }

    /// The divergence by the element formula itself.
    fn one_by_one<S: Simd>(&self, simd: S, teacher: &[Strip]) -> f32 {
        let mut rooms = [[0.0; STRIP]; 2];
        let mut divergence = 0.0;
        for (index, (r, w)) in self.student.iter().zip(teacher).enumerate() {
            let [student, teacher] = self.pair.strips(simd, index, &mut rooms);
            for ((student, teacher), (r, w)) in student.iter().zip(teacher).zip(r.iter().zip(w)) {
                let (s, t) = (student - self.pair.student.reference, teacher - self.pair.teacher.reference);
                let y = (s - t) * self.soft.temperature.reciprocal + self.log_ratio;
                let element = self.soft.divergence.element(r * self.student_factor, w * self.teacher_factor, y);
                divergence += f64::from(element.gain);
            }
        }
        divergence as f32
    }

    /// Replaces the teacher's exponentials by `q - p`, where every `|y|` is below ½.
    #[inline(always)]
    pub(super) fn differences<S: Simd>(&self, simd: S, teacher: &mut [Strip]) {
        let factor = simd.splat(self.teacher_factor);
        let mut rooms = [[0.0; STRIP]; 2];
        for (index, kept) in teacher.iter_mut().enumerate() {
            let logits = self.pair.strips(simd, index, &mut rooms);
            for part in 0..STRIP / S::V::LANES {
                let y = self.log_of_ratio(simd, logits, part);
                let p = simd.load(kept, part) * factor;
                let [phi] = phi_over_square(simd, [y]);
                (p * (y * y).mul_add(phi, y)).store(kept, part, Store::Cached);
            }
        }
    }
}
