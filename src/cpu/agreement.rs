//! How far the two distributions of a tile agree: the soft term's element formula (see [`row_stats`](crate::row_stats)), each
//! distribution normalised within the tile.
//!
//! `y = log q - log p` comes from the logits, noted when the exponentials were taken: subtracted first, scaled after, so that
//! what student and teacher have in common cancels exactly.

use super::ahead::Ahead;
use super::exponentials::total;
use super::simd::{SIDE_BY_SIDE, Simd, Vector, phi_over_square};
use super::tile::Strip;
use crate::row_stats::SoftElement;

/// What the two distributions of a tile are compared by, but for the teacher's exponentials.
pub(super) struct Agreement<'a> {
    /// The student's exponentials.
    pub(super) student: &'a [Strip],
    /// `(s - m_s) - (t - m_t)`.
    pub(super) distances: &'a [Strip],
    /// `1 / Za`.
    pub(super) student_factor: f32,
    /// `1 / Zb`.
    pub(super) teacher_factor: f32,
    /// `log(Zb / Za)`.
    pub(super) log_ratio: f32,
    /// `1 / T`.
    pub(super) reciprocal: f32,
}

impl Agreement<'_> {
    /// The divergence over `T²`, and whether every element's `|y|` is below ½.
    #[inline(always)]
    pub(super) fn divergence<S: Simd>(&self, simd: S, teacher: &[Strip], ahead: &mut Ahead) -> (f32, bool) {
        let quarter = simd.splat(0.25);
        let (reciprocal, log_ratio) = (simd.splat(self.reciprocal), simd.splat(self.log_ratio));
        // Everything in units of the teacher's factor, by which the sum is multiplied at last.
        let ratio = simd.splat(self.student_factor / self.teacher_factor);
        let mut gains = [simd.splat(0.0); SIDE_BY_SIDE];
        let mut all_near = gains[0].less_than(quarter);
        for ((student, teacher), distances) in self.student.iter().zip(teacher).zip(self.distances) {
            // There is no gradient to wait for here.
            ahead.step(simd);
            ahead.step(simd);
            let student = S::vectors(student).as_chunks::<SIDE_BY_SIDE>().0;
            let teacher = S::vectors(teacher).as_chunks::<SIDE_BY_SIDE>().0;
            let distances = S::vectors(distances).as_chunks::<SIDE_BY_SIDE>().0;
            for ((student, teacher), distances) in student.iter().zip(teacher).zip(distances) {
                let mut y = gains;
                for side in 0..SIDE_BY_SIDE {
                    y[side] = simd.vector(&distances[side]).mul_add(reciprocal, log_ratio);
                }
                let phi = phi_over_square(simd, y);
                for side in 0..SIDE_BY_SIDE {
                    let (student, teacher) = (simd.vector(&student[side]), simd.vector(&teacher[side]));
                    let square = y[side] * y[side];
                    let is_near = square.less_than(quarter);
                    let far = student.mul_sub(ratio, teacher.mul_add(y[side], teacher));
                    gains[side] = gains[side] + (teacher * square).mul_where(is_near, phi[side], far);
                    all_near = S::V::both(all_near, is_near);
                }
            }
        }
        let divergence = total(gains) * self.teacher_factor;
        // The tile's numbers are finite: here 0 met the overflow of y, which the element formula takes for 0.
        let divergence = if divergence.is_nan() { self.one_by_one(teacher) } else { divergence };
        (divergence, S::V::all(all_near))
    }

    /// The divergence by the element formula itself.
    #[cold]
    #[inline(never)]
    fn one_by_one(&self, teacher: &[Strip]) -> f32 {
        let distances = self.distances.as_flattened().iter();
        let elements = self.student.as_flattened().iter().zip(teacher.as_flattened()).zip(distances);
        let gains = elements.map(|((student, teacher), distance)| {
            let (q, p) = (student * self.student_factor, teacher * self.teacher_factor);
            f64::from(SoftElement::new::<false>(q, p, distance * self.reciprocal + self.log_ratio).divergence)
        });
        gains.sum::<f64>() as f32
    }

    /// Replaces the teacher's exponentials by `q - p`, where every `|y|` is below ½.
    #[inline(always)]
    pub(super) fn differences<S: Simd>(&self, simd: S, teacher: &mut [Strip]) {
        let (reciprocal, log_ratio) = (simd.splat(self.reciprocal), simd.splat(self.log_ratio));
        let factor = simd.splat(self.teacher_factor);
        for (distances, kept) in self.distances.iter().zip(teacher) {
            for (distances, kept) in S::vectors(distances).iter().zip(S::vectors_mut(kept)) {
                let y = simd.vector(distances).mul_add(reciprocal, log_ratio);
                let p = simd.vector(kept) * factor;
                let [phi] = phi_over_square(simd, [y]);
                (p * (y * y).mul_add(phi, y)).store_lanes(kept);
            }
        }
    }
}
