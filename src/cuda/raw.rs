//! A batch that lies in the memory of a GPU, by device address: for frameworks that have pointers.
//!
//! [`Kernels::launch_raw`](super::Kernels::launch_raw) takes such a batch and trusts its addresses. The borrowed views of
//! [`cuda`](super) become one. Here the places of a call are checked (alignment, overlap), and the kernel's parameters are made.

use std::ops::Range;

use super::params::Params;
use super::plan::Problem;
use crate::batch::Shape;
use crate::call::{Call, Denominators, Shapes, Target};
use crate::elements::DType;
use crate::error::{Error, Result};
use crate::loss::{DistillationLoss, IgnoredRows};

/// A matrix of logits, or of a gradient, in the memory of a GPU: laid out as [`kdloss::Matrix`](crate::Matrix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Matrix {
    /// Device address of the first element.
    pub address: u64,
    /// Elements from there to the end of the buffer.
    pub len: usize,
    /// The storage type.
    pub dtype: DType,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

impl Matrix {
    /// A matrix whose rows follow one another, in a buffer of `len` elements. It is checked when a loss is computed.
    #[must_use]
    pub fn new(address: u64, len: usize, dtype: DType, rows: usize, cols: usize) -> Self {
        Self { address, len, dtype, rows, cols, row_stride: cols }
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }

    fn shape(&self) -> Shape {
        let Self { len, rows, cols, row_stride, .. } = *self;
        Shape { len, rows, cols, row_stride }
    }

    /// The addresses from the first element to the last, of a matrix that has been checked.
    fn extent(&self) -> Range<u64> {
        let elements = if self.rows == 0 { 0 } else { (self.rows - 1) * self.row_stride + self.cols };
        self.address..self.address + (elements * self.dtype.size()) as u64
    }

    /// Whether both matrices are cut into groups of so many elements at the same columns, in every row.
    fn lies_like(&self, other: &Self, elements: u64) -> bool {
        let start = |matrix: &Self| matrix.address / matrix.dtype.size() as u64 % elements;
        let stride = |matrix: &Self| matrix.row_stride as u64 % elements;
        start(self) == start(other) && (self.rows <= 1 || stride(self) == stride(other))
    }
}

/// Labels in the memory of a GPU, one per row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    address: u64,
    len: usize,
    bytes: usize,
}

impl Labels {
    /// `len` 64-bit labels, as PyTorch has them.
    #[must_use]
    pub fn i64(address: u64, len: usize) -> Self {
        Self { address, len, bytes: 8 }
    }

    /// `len` 32-bit labels.
    #[must_use]
    pub fn i32(address: u64, len: usize) -> Self {
        Self { address, len, bytes: 4 }
    }
}

/// Factors in the memory of a GPU, `f32` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Factors {
    /// 0 where there are none.
    address: u64,
    len: usize,
}

/// One batch in the memory of a GPU: the student's logits, and what they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    student: Matrix,
    teacher: Option<Matrix>,
    labels: Option<Labels>,
    row_grad_scale: Option<Factors>,
    grad_scale: Option<Factors>,
    vocab: Option<usize>,
}

impl Batch {
    /// A batch of student logits, without teacher or labels yet.
    #[must_use]
    pub fn new(student: Matrix) -> Self {
        Self { student, teacher: None, labels: None, row_grad_scale: None, grad_scale: None, vocab: None }
    }

    /// Adds the teacher's logits, needed unless `alpha` is 1. Type, width and row stride may differ from the student's.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Matrix) -> Self {
        self.teacher = Some(teacher);
        self
    }

    /// Adds the labels, one per row, needed unless `alpha` is 0: a class in `0..vocab`, or the loss's `ignore_index`.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Sets the vocabulary: how many columns are classes. Default: the narrower of student and teacher.
    #[must_use]
    pub fn with_vocab(mut self, vocab: usize) -> Self {
        self.vocab = Some(vocab);
        self
    }

    /// Adds a factor for the gradient of each row: the address of `len` numbers in `f32`, one per row.
    #[must_use]
    pub fn with_row_grad_scale(mut self, address: u64, len: usize) -> Self {
        self.row_grad_scale = Some(Factors { address, len });
        self
    }

    /// Adds a factor for the whole gradient, beside the loss's `grad_scale`: the address of one `f32`, such as the gradient
    /// that arrives from above.
    #[must_use]
    pub fn with_grad_scale(mut self, address: u64) -> Self {
        self.grad_scale = Some(Factors { address, len: 1 });
        self
    }

    /// The vocabulary: what [`Batch::with_vocab`] set, else the narrower of student and teacher.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.shapes().vocab()
    }

    fn shapes(&self) -> Shapes {
        Shapes {
            student: self.student.shape(),
            teacher: self.teacher.map(|teacher| teacher.shape()),
            labels: self.labels.map(|labels| labels.len),
            row_grad_scale: self.row_grad_scale.map(|factors| factors.len),
            vocab: self.vocab,
        }
    }

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
