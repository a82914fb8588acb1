//! A batch that lies in the memory of a GPU, by device address: for frameworks that have pointers, and the one place where
//! such a batch is checked.
//!
//! [`Kernels::launch`](super::Kernels::launch) takes it, and trusts the addresses; the borrowed views of
//! [`cuda`](super) are turned into it.

use std::ops::Range;

use super::params::Params;
use super::plan::Problem;
use super::specialisation::Terms;
use crate::batch::Shape;
use crate::elements::DType;
use crate::error::{Error, Result};
use crate::loss::{DistillationLoss, IgnoredRows, Reduction};
use crate::row_stats::Temperature;

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

    /// Checks shape and address.
    fn check(&self, matrix: &'static str, rows: usize, vocab: usize) -> Result<()> {
        let Self { len, rows: found, cols, row_stride, .. } = *self;
        Shape { len, rows: found, cols, row_stride }.check(matrix, rows, vocab)?;
        aligned(matrix, self.address, self.dtype.size())
    }

    /// The addresses from the first element to the last, of a matrix that has been checked.
    fn extent(&self) -> Range<u64> {
        let elements = if self.rows == 0 { 0 } else { (self.rows - 1) * self.row_stride + self.cols };
        self.address..self.address + (elements * self.dtype.size()) as u64
    }

    /// Whether in every row the two matrices lie alike towards groups of so many elements.
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
    bytes: usize,
}

impl Labels {
    /// 64-bit labels, as PyTorch has them.
    #[must_use]
    pub fn i64(address: u64) -> Self {
        Self { address, bytes: 8 }
    }

    /// 32-bit labels.
    #[must_use]
    pub fn i32(address: u64) -> Self {
        Self { address, bytes: 4 }
    }
}

/// One batch in the memory of a GPU: the student's logits, and what they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    student: Matrix,
    teacher: Option<Matrix>,
    labels: Option<Labels>,
    row_grad_scale: u64,
    grad_scale: u64,
    vocab: Option<usize>,
}

impl Batch {
    /// A batch of student logits, without teacher or labels yet.
    #[must_use]
    pub fn new(student: Matrix) -> Self {
        Self { student, teacher: None, labels: None, row_grad_scale: 0, grad_scale: 0, vocab: None }
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

    /// Adds a factor for the gradient of each row: the address of an `f32` per row.
    #[must_use]
    pub fn with_row_grad_scale(mut self, address: u64) -> Self {
        self.row_grad_scale = address;
        self
    }

    /// Adds a factor for the whole gradient, beside the loss's `grad_scale`: the address of one `f32`, such as the gradient
    /// that arrives from above.
    #[must_use]
    pub fn with_grad_scale(mut self, address: u64) -> Self {
        self.grad_scale = address;
        self
    }

    /// The vocabulary: what [`Batch::with_vocab`] set, else the narrower of student and teacher.
    #[must_use]
    pub fn vocab(&self) -> usize {
        let narrower = self.teacher.map_or(usize::MAX, |teacher| teacher.cols).min(self.student.cols);
        self.vocab.unwrap_or(narrower)
    }

    /// Checks the batch, and says what there is to compute and what the kernel has to know.
    ///
    /// # Errors
    ///
    /// As [`cpu::forward`](crate::cpu::forward), but for the labels, which only the GPU sees;
    /// [`Error::BufferOffset`] for an address that is no multiple of its element's size, and
    /// [`Error::TooManyRows`] or [`Error::VocabTooWide`] for sizes beyond 32 bits.
    pub fn check(&self, loss: &DistillationLoss, gradient: Option<Matrix>) -> Result<(Problem, Params)> {
        loss.validate()?;
        let (student, vocab) = (self.student, self.vocab());
        let rows = student.rows;
        if vocab == 0 {
            return Err(Error::EmptyVocab);
        }
        student.check("student", rows, vocab)?;
        let teacher = match self.teacher {
            _ if !loss.has_soft_term() => None,
            None => return Err(Error::MissingTeacher { alpha: loss.alpha }),
            Some(teacher) => Some(teacher),
        };
        if let Some(teacher) = teacher {
            teacher.check("teacher", rows, vocab)?;
        }
        if let Some(gradient) = gradient {
            gradient.check("gradient", rows, vocab)?;
            self.check_aliases(&gradient, teacher.as_ref())?;
        }
        if loss.has_hard_term() && self.labels.is_none() {
            return Err(Error::MissingLabels { alpha: loss.alpha });
        }
        if let Some(labels) = self.labels {
            aligned("labels", labels.address, labels.bytes)?;
        }
        aligned("row_grad_scale", self.row_grad_scale, 4)?;
        aligned("grad_scale", self.grad_scale, 4)?;
        // Numbers of columns are 31-bit in the kernel, where some are negative.
        let widest = gradient.map_or(vocab, |gradient| gradient.cols);
        let columns = |cols: usize| u32::try_from(cols).ok().filter(|&cols| cols <= 1 << 30);
        let (Some(vocab), Some(gradient_cols)) = (columns(vocab), columns(widest)) else {
            return Err(Error::RowTooWide { matrix: "gradient", bytes: 4 * widest as u64, limit: 4 << 30 });
        };
        let Some(row_count) = u32::try_from(rows).ok().filter(|&rows| rows <= 1 << 30) else {
            return Err(Error::TooManyRows { rows, limit: 1 << 30 });
        };
        let problem = Problem {
            rows: row_count,
            vocab,
            student: student.dtype,
            teacher: teacher.map_or(student.dtype, |teacher| teacher.dtype),
            gradient: gradient.map(|gradient| gradient.dtype),
            terms: Terms::of(loss),
            wide: are_alike(&student, teacher.as_ref(), gradient.as_ref()),
        };
        Ok((problem, self.params(loss, teacher, gradient, &problem, gradient_cols)))
    }

    /// A gradient may be the student's matrix, and else overlaps nothing that is read.
    fn check_aliases(&self, gradient: &Matrix, teacher: Option<&Matrix>) -> Result<()> {
        let student = &self.student;
        let in_place = (gradient.address, gradient.dtype, gradient.row_stride)
            == (student.address, student.dtype, student.row_stride);
        let written = if in_place { "student" } else { "gradient" };
        let labels = self.labels.map(|labels| labels.address..labels.address + (labels.bytes * student.rows) as u64);
        let others = [
            ("student", (!in_place).then(|| student.extent())),
            ("teacher", teacher.map(Matrix::extent)),
            ("labels", labels),
        ];
        let own = gradient.extent();
        let overlaps = |other: &Range<u64>| own.start < other.end && other.start < own.end;
        match others.into_iter().find(|(_, other)| other.as_ref().is_some_and(overlaps)) {
            Some((other, _)) => Err(Error::BufferAliased { written, other }),
            None => Ok(()),
        }
    }

    fn params(
        &self,
        loss: &DistillationLoss,
        teacher: Option<Matrix>,
        gradient: Option<Matrix>,
        problem: &Problem,
        gradient_cols: u32,
    ) -> Params {
        let temperature = Temperature::new(loss.temperature);
        let denominator = match loss.reduction {
            Reduction::Mean | Reduction::Sum | Reduction::None => 1.0,
            Reduction::DividedBy(denominator) => denominator,
        };
        let address = |matrix: Option<Matrix>| matrix.map_or(0, |matrix| matrix.address);
        let stride = |matrix: Option<Matrix>| matrix.map_or(0, |matrix| matrix.row_stride as i64);
        Params {
            student: self.student.address,
            teacher: address(teacher),
            gradient: address(gradient),
            labels: self.labels.map_or(0, |labels| labels.address),
            row_grad_scale: self.row_grad_scale,
            grad_scale: self.grad_scale,
            student_stride: stride(Some(self.student)),
            teacher_stride: stride(teacher),
            gradient_stride: stride(gradient),
            ignore_index: loss.ignore_index,
            rows: problem.rows,
            vocab: problem.vocab,
            gradient_cols,
            label_bytes: self.labels.map_or(0, |labels| labels.bytes as u32),
            soft_only: u32::from(loss.ignored_rows == IgnoredRows::SoftOnly),
            is_mean: u32::from(loss.reduction == Reduction::Mean),
            temperature_reciprocal: temperature.reciprocal,
            temperature_exponent_scale: temperature.exponent_scale,
            temperature_squared: (loss.temperature * loss.temperature) as f32,
            hard_weight: loss.alpha as f32,
            soft_weight: (1.0 - loss.alpha) as f32,
            hard_gradient: (loss.grad_scale * loss.alpha / denominator) as f32,
            soft_gradient: (loss.grad_scale * (1.0 - loss.alpha) * loss.temperature / denominator) as f32,
            denominator,
            ..Params::default()
        }
    }
}

/// Whether rows of all matrices lie alike towards the vectors in which they are moved.
fn are_alike(student: &Matrix, teacher: Option<&Matrix>, gradient: Option<&Matrix>) -> bool {
    // Groups are cut by the narrower of student and teacher.
    let cut_by = teacher.filter(|teacher| teacher.dtype.size() < student.dtype.size()).unwrap_or(student);
    let group = 16 / cut_by.dtype.size() as u64;
    [Some(student), teacher, gradient]
        .into_iter()
        .flatten()
        .all(|matrix| matrix.lies_like(cut_by, group.min(16 / matrix.dtype.size() as u64)))
}

fn aligned(buffer: &'static str, address: u64, alignment: usize) -> Result<()> {
    let alignment = alignment as u64;
    if address.is_multiple_of(alignment) {
        Ok(())
    } else {
        Err(Error::BufferOffset { buffer, offset: address, alignment })
    }
}
