//! A batch that lies in the memory of a GPU, by device address: for frameworks that have pointers.
//!
//! [`Kernels::launch_raw`](super::Kernels::launch_raw) takes such a batch and trusts its addresses. The borrowed views of
//! [`cuda`](super) become one.

use std::ops::Range;

use crate::call::Shapes;
use crate::elements::DType;
use crate::shape::Shape;

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

    pub(super) fn shape(&self) -> Shape {
        let Self { len, rows, cols, row_stride, .. } = *self;
        Shape { len, rows, cols, row_stride }
    }

    /// The addresses from the first element to the last, of a matrix that has been checked.
    pub(super) fn extent(&self) -> Range<u64> {
        let elements = if self.rows == 0 { 0 } else { (self.rows - 1) * self.row_stride + self.cols };
        self.address..self.address + (elements * self.dtype.size()) as u64
    }

    /// Whether both matrices are cut into groups of so many elements at the same columns, in every row.
    pub(super) fn lies_like(&self, other: &Self, elements: u64) -> bool {
        let start = |matrix: &Self| matrix.address / matrix.dtype.size() as u64 % elements;
        let stride = |matrix: &Self| matrix.row_stride as u64 % elements;
        start(self) == start(other) && (self.rows <= 1 || stride(self) == stride(other))
    }
}

/// Labels in the memory of a GPU, one per row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    pub(super) address: u64,
    pub(super) len: usize,
    pub(super) bytes: usize,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factors {
    pub(super) address: u64,
    pub(super) len: usize,
}

/// One batch in the memory of a GPU: the student's logits, and what they are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub(super) student: Matrix,
    pub(super) teacher: Option<Matrix>,
    pub(super) labels: Option<Labels>,
    pub(super) row_grad_scale: Option<Factors>,
    pub(super) grad_scale: Option<Factors>,
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

    pub(super) fn shapes(&self) -> Shapes {
        Shapes {
            student: self.student.shape(),
            teacher: self.teacher.map(|teacher| teacher.shape()),
            labels: self.labels.map(|labels| labels.len),
            row_grad_scale: self.row_grad_scale.map(|factors| factors.len),
            vocab: self.vocab,
        }
    }
}
