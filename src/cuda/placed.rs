//! A checked call's places in the memory of a GPU: alignment, overlap, and what the kernel has to know of it.

use super::params::Params;
use super::plan::Problem;
use super::raw::{Batch, Factors, Matrix};
use crate::call::{Call, Denominators, Target};
use crate::error::{Error, Result};
use crate::loss::{DistillationLoss, IgnoredRows};

/// A call whose places have been checked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Placed {
    pub(super) call: Call,
    /// What there is to compute.
    pub problem: Problem,
    /// The kernel's parameters, without those that the workspace and the plan add.
    #[doc(hidden)]
    pub params: Params,
}

impl Batch {
    /// Checks the batch, and says what there is to compute and which parameters the kernel gets. A separate target that is the
    /// student's matrix counts as [`Target::InPlace`].
    ///
    /// # Errors
    ///
    /// As [`cpu::forward`](crate::cpu::forward), but for the labels, which only the GPU sees;
    /// [`Error::BufferOffset`] for an address that is no multiple of its element's size, [`Error::BufferAliased`] for a
    /// gradient that overlaps what is read, and [`Error::TooManyRows`] or [`Error::TooManyColumns`] for sizes beyond 32 bits.
    pub fn check(&self, loss: &DistillationLoss, target: Target<Matrix>) -> Result<Placed> {
        let target = match target {
            Target::Separate(gradient) if self.is_student(&gradient) => Target::InPlace,
            target => target,
        };
        let call = Call::new(loss, &self.shapes(), target.map(|gradient| gradient.shape()))?;
        let student = self.student;
        let teacher = self.teacher.filter(|_| call.terms.has_soft());
        let (written, gradient) = match target {
            Target::None => ("", None),
            Target::InPlace => ("student", Some(student)),
            Target::Separate(gradient) => ("gradient", Some(gradient)),
        };
        self.check_alignment(teacher, gradient)?;
        if let Some(gradient) = gradient {
            self.check_aliases(written, &gradient, teacher)?;
        }
        let vocab = count_of_columns("student", call.vocab)?;
        let gradient_cols = gradient.map_or(Ok(vocab), |gradient| count_of_columns(written, gradient.cols))?;
        let Some(rows) = u32::try_from(call.rows).ok().filter(|&rows| rows <= MOST) else {
            return Err(Error::TooManyRows { rows: call.rows, limit: MOST.into() });
        };
        let problem = Problem {
            rows,
            vocab,
            student: student.dtype,
            teacher: teacher.map_or(student.dtype, |teacher| teacher.dtype),
            gradient: gradient.map(|gradient| gradient.dtype),
            terms: call.terms,
            divergence: call.loss.divergence,
            wide: are_alike(&student, teacher.as_ref(), gradient.as_ref()),
        };
        let params = self.params(&call, teacher, gradient, &problem, gradient_cols);
        Ok(Placed { call, problem, params })
    }

    fn is_student(&self, gradient: &Matrix) -> bool {
        (gradient.address, gradient.dtype, gradient.row_stride)
            == (self.student.address, self.student.dtype, self.student.row_stride)
    }

    fn check_alignment(&self, teacher: Option<Matrix>, gradient: Option<Matrix>) -> Result<()> {
        let matrix = |matrix: Matrix| (matrix.address, matrix.dtype.size());
        let factors = |factors: Factors| (factors.address, size_of::<f32>());
        for (buffer, part) in [
            ("student", Some(matrix(self.student))),
            ("teacher", teacher.map(matrix)),
            ("gradient", gradient.map(matrix)),
            ("labels", self.labels.map(|labels| (labels.address, labels.bytes))),
            ("row_grad_scale", self.row_grad_scale.map(factors)),
            ("grad_scale", self.grad_scale.map(factors)),
        ] {
            let Some((address, alignment)) = part else { continue };
            if !address.is_multiple_of(alignment as u64) {
                return Err(Error::BufferOffset { buffer, offset: address, alignment: alignment as u64 });
            }
        }
        Ok(())
    }

    /// Checks that what is written overlaps nothing that is read, except the student that a gradient overwrites.
    fn check_aliases(&self, written: &'static str, gradient: &Matrix, teacher: Option<Matrix>) -> Result<()> {
        let list = |address: u64, bytes: usize| address..address + bytes as u64;
        let factors = |factors: Factors| list(factors.address, size_of::<f32>() * factors.len);
        let own = gradient.extent();
        for (other, extent) in [
            ("student", (written != "student").then(|| self.student.extent())),
            ("teacher", teacher.map(|teacher| teacher.extent())),
            ("labels", self.labels.map(|labels| list(labels.address, labels.bytes * labels.len))),
            ("row_grad_scale", self.row_grad_scale.map(factors)),
            ("grad_scale", self.grad_scale.map(factors)),
        ] {
            if extent.is_some_and(|extent| own.start < extent.end && extent.start < own.end) {
                return Err(Error::BufferAliased { written, other });
            }
        }
        Ok(())
    }

    fn params(
        &self,
        call: &Call,
        teacher: Option<Matrix>,
        gradient: Option<Matrix>,
        problem: &Problem,
        gradient_cols: u32,
    ) -> Params {
        let (loss, temperature) = (&call.loss, call.soft.temperature);
        // If the rows are yet to be counted, the kernel divides.
        let denominator = call.fixed_denominator().unwrap_or(1.0);
        let weights = call.gradient_weights(loss.grad_scale, Denominators { hard: denominator, soft: denominator });
        let address = |matrix: Option<Matrix>| matrix.map_or(0, |matrix| matrix.address);
        let stride = |matrix: Option<Matrix>| matrix.map_or(0, |matrix| matrix.row_stride as i64);
        Params {
            student: self.student.address,
            teacher: address(teacher),
            gradient: address(gradient),
            labels: self.labels.map_or(0, |labels| labels.address),
            row_grad_scale: self.row_grad_scale.map_or(0, |factors| factors.address),
            grad_scale: self.grad_scale.map_or(0, |factors| factors.address),
            student_stride: stride(Some(self.student)),
            teacher_stride: stride(teacher),
            gradient_stride: stride(gradient),
            ignore_index: loss.ignore_index,
            rows: problem.rows,
            vocab: problem.vocab,
            gradient_cols,
            label_bytes: self.labels.map_or(0, |labels| labels.bytes as u32),
            soft_only: u32::from(loss.ignored_rows == IgnoredRows::SoftOnly),
            is_mean: u32::from(call.fixed_denominator().is_none()),
            temperature_reciprocal: temperature.reciprocal,
            temperature_exponent_scale: temperature.exponent_scale,
            temperature_squared: (loss.temperature * loss.temperature) as f32,
            hard_weight: loss.alpha as f32,
            soft_weight: (1.0 - loss.alpha) as f32,
            hard_gradient: weights.hard as f32,
            soft_gradient: weights.soft as f32,
            denominator,
            ..Params::default()
        }
    }
}

/// The most rows, and the most columns: the kernel computes with them in `int`, which is signed.
const MOST: u32 = 1 << 30;

fn count_of_columns(matrix: &'static str, cols: usize) -> Result<u32> {
    let count = u32::try_from(cols).ok().filter(|&cols| cols <= MOST);
    count.ok_or(Error::TooManyColumns { matrix, cols, limit: MOST as usize })
}

/// Whether all matrices are cut into vectors at the same columns, in every row. Then they are moved in vectors.
fn are_alike(student: &Matrix, teacher: Option<&Matrix>, gradient: Option<&Matrix>) -> bool {
    // Groups are cut by the narrower of student and teacher.
    let cut_by = teacher.filter(|teacher| teacher.dtype.size() < student.dtype.size()).unwrap_or(student);
    let group = 16 / cut_by.dtype.size() as u64;
    [Some(student), teacher, gradient]
        .into_iter()
        .flatten()
        .all(|matrix| matrix.lies_like(cut_by, group.min(16 / matrix.dtype.size() as u64)))
}

#[cfg(test)]
mod tests {
    use super::super::raw::Labels;
    use super::*;
    use crate::elements::DType::F32;

    const WIDE: usize = (1 << 30) + 1;

    fn check(loss: &DistillationLoss, student_cols: usize, target: Target<Matrix>) -> Result<Placed> {
        Batch::new(Matrix::new(1 << 40, WIDE, F32, 1, student_cols)).with_labels(Labels::i64(64, 1)).check(loss, target)
    }

    #[test]
    fn a_matrix_too_wide_to_count_is_named_whichever_it_is() {
        let hard = DistillationLoss::new().with_alpha(1.0);
        let too_many = |matrix| Some(Error::TooManyColumns { matrix, cols: WIDE, limit: 1 << 30 });
        let gradient = Matrix::new(1 << 42, WIDE, F32, 1, WIDE);
        assert_eq!(check(&hard, WIDE, Target::None).err(), too_many("student"));
        assert_eq!(check(&hard, 8, Target::Separate(gradient)).err(), too_many("gradient"));
        assert!(check(&hard, 1 << 30, Target::InPlace).is_ok());
    }

    #[test]
    fn a_separate_target_that_is_the_student_is_in_place() {
        let hard = DistillationLoss::new().with_alpha(1.0);
        let student = Matrix::new(1 << 40, WIDE, F32, 1, 8);
        let params = |target| check(&hard, 8, target).unwrap().params;
        assert_eq!(params(Target::Separate(student)), params(Target::InPlace));
    }
}
