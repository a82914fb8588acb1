//! Compares the two distributions of a tile by the element formula itself (see [`Divergence`](crate::Divergence)), each normalised
//! within the tile. For the tiles whose first comparison, by [`pairs`](super::pairs), has too few digits.
//!
//! `y = log q - log p` comes from the logits: subtracted first, scaled after, so what student and teacher have in common cancels
//! exactly.

use super::logits::Pair;
use super::sums::PairwiseSums;
use crate::cpu::gradient::kept::{Kept, TeacherForm};
use crate::cpu::simd::strips::{STRIP, Strip};
use crate::cpu::simd::{SIDE_BY_SIDE, Simd, Store, Task, Vector, phi_over_square, tree_sum};
use crate::divergence::Soft;

/// Compares a tile, of which the exponentials are kept. If its distributions nearly agree, keeps their difference in the place of
/// the teacher's exponentials. The same for every recipe with a soft term, and so compiled once.
pub(super) struct Comparison<'w, 'k> {
    pub(super) pair: &'w Pair<'w>,
    pub(super) kept: &'w mut Kept<'k>,
    /// `1 / Za`.
    pub(super) student_factor: f32,
    /// `1 / Zb`.
    pub(super) teacher_factor: f32,
    /// `log(Zb / Za)`.
    pub(super) log_ratio: f32,
    pub(super) soft: Soft,
}

impl Task for Comparison<'_, '_> {
    /// The divergence over `T²`, and what the teacher's plane holds now.
    type Output = (f32, TeacherForm);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f32, TeacherForm) {
        let (divergence, is_near) = self.divergence(simd);
        if !is_near {
            return (divergence, TeacherForm::Exponential);
        }
        self.keep_differences(simd);
        (divergence, TeacherForm::Difference)
    }
}

impl Comparison<'_, '_> {
    /// The divergence over `T²`, and whether `|y|` is below ½ for every element.
    #[inline(always)]
    fn divergence<S: Simd>(&self, simd: S) -> (f32, bool) {
        let quarter = simd.splat(0.25);
        // In units of the teacher's factor: the sum is multiplied by it in the end.
        let ratio = simd.splat(self.student_factor / self.teacher_factor);
        let zero = simd.splat(0.0);
        let mut pairwise = PairwiseSums::new(zero);
        let mut all_near = zero.less_than(quarter);
        let mut rooms = [[0.0; STRIP]; 2];
        for (index, (student, teacher)) in self.kept_strips().enumerate() {
            let logits = self.pair.strip(simd, index, &mut rooms);
            let mut gains = [zero; SIDE_BY_SIDE];
            for index in 0..S::V::IN_STRIP {
                let y = self.log_of_ratio(simd, logits, index);
                let [phi] = phi_over_square(simd, [y]);
                let (student, teacher) = (simd.load(student, index), simd.load(teacher, index));
                let square = y * y;
                let is_near = square.less_than(quarter);
                let far = student.mul_sub(ratio, teacher.mul_add(y, teacher));
                let gain = &mut gains[index % SIDE_BY_SIDE];
                *gain = *gain + (teacher * square).mul_where(is_near, phi, far);
                all_near = S::V::both(all_near, is_near);
            }
            pairwise.add(index, [tree_sum(gains)]);
        }
        let [divergence] = pairwise.total().map(|sum| sum * self.teacher_factor);
        // The kept numbers are finite. So a difference of logits overflowed, or an overflow was multiplied by 0: the scalar formula
        // takes that product for 0.
        let divergence = if divergence.is_finite() { divergence } else { self.scalar_divergence(simd) };
        (divergence, S::V::all(all_near))
    }

    /// What is kept of each strip: the student's exponentials and the teacher's.
    #[inline(always)]
    fn kept_strips(&self) -> impl Iterator<Item = (&Strip, &Strip)> {
        let strip_count = self.pair.student.strip_count();
        self.kept.student[..strip_count].iter().zip(&self.kept.teacher[..strip_count])
    }

    /// `log q - log p` of vector number `index` of a strip.
    #[inline(always)]
    fn log_of_ratio<S: Simd>(&self, simd: S, [student, teacher]: [&Strip; 2], index: usize) -> S::V {
        let s = simd.load(student, index) - simd.splat(self.pair.student.reference);
        let t = simd.load(teacher, index) - simd.splat(self.pair.teacher.reference);
        (s - t).mul_add(simd.splat(self.soft.temperature.reciprocal), simd.splat(self.log_ratio))
    }

    /// The divergence over `T²`, element by element.
    fn scalar_divergence<S: Simd>(&self, simd: S) -> f32 {
        let mut rooms = [[0.0; STRIP]; 2];
        let mut divergence = 0.0;
        for (index, (r, w)) in self.kept_strips().enumerate() {
            let [student, teacher] = self.pair.strip(simd, index, &mut rooms);
            for ((student, teacher), (r, w)) in student.iter().zip(teacher).zip(r.iter().zip(w)) {
                let (s, t) = (student - self.pair.student.reference, teacher - self.pair.teacher.reference);
                let y = (s - t) * self.soft.temperature.reciprocal + self.log_ratio;
                let element = self.soft.divergence.element(r * self.student_factor, w * self.teacher_factor, y);
                divergence += f64::from(element.gain);
            }
        }
        divergence as f32
    }

    /// Replaces the teacher's exponentials by `q - p`. `|y|` is below ½ for every element.
    #[inline(always)]
    fn keep_differences<S: Simd>(self, simd: S) {
        let factor = simd.splat(self.teacher_factor);
        let mut rooms = [[0.0; STRIP]; 2];
        for index in 0..self.pair.student.strip_count() {
            let logits = self.pair.strip(simd, index, &mut rooms);
            for vector in 0..S::V::IN_STRIP {
                let y = self.log_of_ratio(simd, logits, vector);
                let p = simd.load(&self.kept.teacher[index], vector) * factor;
                let [phi] = phi_over_square(simd, [y]);
                let difference = p * (y * y).mul_add(phi, y);
                difference.store(&mut self.kept.teacher[index], vector, Store::Cached);
            }
        }
    }
}
