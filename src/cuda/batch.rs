//! One batch in the memory of a GPU, borrowed from cudarc's slices and views.

use cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceSlice, SyncOnDrop,
};
use half::{bf16, f16};

use super::raw;
use crate::elements::DType;
use crate::error::{Error, Result};

/// Logits in the memory of a GPU, borrowed: from `&CudaSlice<T>` or `CudaView<T>` with `T` one of `f32`, `f16`, `bf16`.
#[derive(Debug)]
pub enum Elements<'a> {
    /// 32-bit floats.
    F32(CudaView<'a, f32>),
    /// IEEE 754 half precision.
    F16(CudaView<'a, f16>),
    /// bfloat16.
    Bf16(CudaView<'a, bf16>),
}

/// Logits or gradient entries in the memory of a GPU, to be written: from `&mut CudaSlice<T>` or `CudaViewMut<T>`.
#[derive(Debug)]
pub enum ElementsMut<'a> {
    /// 32-bit floats.
    F32(CudaViewMut<'a, f32>),
    /// IEEE 754 half precision.
    F16(CudaViewMut<'a, f16>),
    /// bfloat16.
    Bf16(CudaViewMut<'a, bf16>),
}

/// Labels in the memory of a GPU, one per row, borrowed: from `&CudaSlice<T>` or `CudaView<T>` with `T` `i64` or `i32`.
#[derive(Debug)]
pub enum Labels<'a> {
    /// 64-bit labels, as PyTorch has them.
    I64(CudaView<'a, i64>),
    /// 32-bit labels.
    I32(CudaView<'a, i32>),
}

macro_rules! from_view_and_slice {
    ($name:ident::$variant:ident, $view:ty, $slice:ty, $as_view:ident) => {
        impl<'a> From<$view> for $name<'a> {
            fn from(view: $view) -> Self {
                Self::$variant(view)
            }
        }

        impl<'a> From<$slice> for $name<'a> {
            fn from(slice: $slice) -> Self {
                Self::$variant(slice.$as_view())
            }
        }
    };
}

from_view_and_slice!(Elements::F32, CudaView<'a, f32>, &'a CudaSlice<f32>, as_view);
from_view_and_slice!(Elements::F16, CudaView<'a, f16>, &'a CudaSlice<f16>, as_view);
from_view_and_slice!(Elements::Bf16, CudaView<'a, bf16>, &'a CudaSlice<bf16>, as_view);
from_view_and_slice!(ElementsMut::F32, CudaViewMut<'a, f32>, &'a mut CudaSlice<f32>, as_view_mut);
from_view_and_slice!(ElementsMut::F16, CudaViewMut<'a, f16>, &'a mut CudaSlice<f16>, as_view_mut);
from_view_and_slice!(ElementsMut::Bf16, CudaViewMut<'a, bf16>, &'a mut CudaSlice<bf16>, as_view_mut);
from_view_and_slice!(Labels::I64, CudaView<'a, i64>, &'a CudaSlice<i64>, as_view);
from_view_and_slice!(Labels::I32, CudaView<'a, i32>, &'a CudaSlice<i32>, as_view);

/// A matrix of logits in the memory of a GPU: laid out as [`kdloss::Matrix`](crate::Matrix).
#[derive(Debug)]
pub struct Matrix<'a> {
    /// The buffer, from the first row on.
    pub data: Elements<'a>,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

/// A matrix in the memory of a GPU that is written: a gradient, or logits that their gradient overwrites.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The buffer, from the first row on.
    pub data: ElementsMut<'a>,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows follow one another. It is checked when a loss is computed.
    pub fn new(data: impl Into<Elements<'a>>, rows: usize, cols: usize) -> Self {
        Self { data: data.into(), rows, cols, row_stride: cols }
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows follow one another. It is checked when a loss is computed.
    pub fn new(data: impl Into<ElementsMut<'a>>, rows: usize, cols: usize) -> Self {
        Self { data: data.into(), rows, cols, row_stride: cols }
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }
}

/// One batch in the memory of a GPU: the student's logits, and what they are compared with.
///
/// `Student` is [`Matrix`], or [`MatrixMut`] where the gradient overwrites the student's logits.
#[derive(Debug)]
pub struct Batch<'a, Student = Matrix<'a>> {
    pub(super) student: Student,
    pub(super) targets: Targets<'a>,
}

/// All of a batch but the student.
#[derive(Debug, Default)]
pub(super) struct Targets<'a> {
    teacher: Option<Matrix<'a>>,
    labels: Option<Labels<'a>>,
    row_grad_scale: Option<CudaView<'a, f32>>,
    grad_scale: Option<CudaView<'a, f32>>,
    vocab: Option<usize>,
}

impl<'a, Student> Batch<'a, Student> {
    /// A batch of student logits, without teacher or labels yet.
    #[must_use]
    pub fn new(student: Student) -> Self {
        Self { student, targets: Targets::default() }
    }

    /// Adds the teacher's logits, needed unless `alpha` is 1. Type, width and row stride may differ from the student's.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Matrix<'a>) -> Self {
        self.targets.teacher = Some(teacher);
        self
    }

    /// Adds the labels, one per row, needed unless `alpha` is 0: a class in `0..vocab`, or the loss's `ignore_index`.
    #[must_use]
    pub fn with_labels(mut self, labels: impl Into<Labels<'a>>) -> Self {
        self.targets.labels = Some(labels.into());
        self
    }

    /// Sets the vocabulary: how many columns are classes. Default: the narrower of student and teacher.
    #[must_use]
    pub fn with_vocab(mut self, vocab: usize) -> Self {
        self.targets.vocab = Some(vocab);
        self
    }

    /// Adds a factor for the gradient of each row.
    #[must_use]
    pub fn with_row_grad_scale(mut self, row_grad_scale: CudaView<'a, f32>) -> Self {
        self.targets.row_grad_scale = Some(row_grad_scale);
        self
    }

    /// Adds a factor for the whole gradient, beside the loss's `grad_scale`: one number on the GPU, such as the gradient
    /// that arrives from above.
    #[must_use]
    pub fn with_grad_scale(mut self, grad_scale: CudaView<'a, f32>) -> Self {
        self.targets.grad_scale = Some(grad_scale);
        self
    }
}

/// Lends the addresses of buffers to one launch on a stream.
///
/// cudarc makes the stream wait for whatever wrote a buffer before, and on dropping the guard tells others that the stream
/// uses it: the guards must live until the kernel has been launched.
pub(super) struct Lender<'s> {
    stream: &'s CudaStream,
    guards: Vec<SyncOnDrop<'s>>,
}

impl<'s> Lender<'s> {
    pub(super) fn new(stream: &'s CudaStream) -> Self {
        Self { stream, guards: Vec::new() }
    }

    pub(super) fn matrix(&mut self, name: &'static str, matrix: &'s Matrix<'_>) -> Result<raw::Matrix> {
        let Matrix { data, rows, cols, row_stride } = matrix;
        let (dtype, len, address) = match data {
            Elements::F32(view) => (DType::F32, view.len(), self.read(name, view)?),
            Elements::F16(view) => (DType::F16, view.len(), self.read(name, view)?),
            Elements::Bf16(view) => (DType::Bf16, view.len(), self.read(name, view)?),
        };
        Ok(raw::Matrix::new(address, len, dtype, *rows, *cols).with_row_stride(*row_stride))
    }

    pub(super) fn matrix_mut(&mut self, name: &'static str, matrix: &'s mut MatrixMut<'_>) -> Result<raw::Matrix> {
        let MatrixMut { data, rows, cols, row_stride } = matrix;
        let (dtype, len, address) = match data {
            ElementsMut::F32(view) => (DType::F32, view.len(), self.write(name, view)?),
            ElementsMut::F16(view) => (DType::F16, view.len(), self.write(name, view)?),
            ElementsMut::Bf16(view) => (DType::Bf16, view.len(), self.write(name, view)?),
        };
        Ok(raw::Matrix::new(address, len, dtype, *rows, *cols).with_row_stride(*row_stride))
    }

    /// The batch of a student whose address is known.
    pub(super) fn batch(&mut self, student: raw::Matrix, targets: &'s Targets<'_>) -> Result<raw::Batch> {
        let mut batch = raw::Batch::new(student);
        if let Some(teacher) = &targets.teacher {
            batch = batch.with_teacher(self.matrix("teacher", teacher)?);
        }
        if let Some(labels) = &targets.labels {
            let labels = match labels {
                Labels::I64(view) => raw::Labels::i64(self.read("labels", view)?, view.len()),
                Labels::I32(view) => raw::Labels::i32(self.read("labels", view)?, view.len()),
            };
            batch = batch.with_labels(labels);
        }
        if let Some(scale) = &targets.row_grad_scale {
            batch = batch.with_row_grad_scale(self.read("row_grad_scale", scale)?, scale.len());
        }
        if let Some(scale) = &targets.grad_scale {
            if scale.is_empty() {
                return Err(Error::RowCountMismatch { part: "grad_scale", expected: 1, found: 0 });
            }
            batch = batch.with_grad_scale(self.read("grad_scale", scale)?);
        }
        Ok(targets.vocab.map_or(batch, |vocab| batch.with_vocab(vocab)))
    }

    fn read<T>(&mut self, name: &'static str, view: &'s CudaView<'_, T>) -> Result<u64> {
        self.check(name, view.stream().context())?;
        let (address, guard) = view.device_ptr(self.stream);
        self.guards.push(guard);
        Ok(address)
    }

    fn write<T>(&mut self, name: &'static str, view: &'s mut CudaViewMut<'_, T>) -> Result<u64> {
        self.check(name, view.stream().context())?;
        let (address, guard) = view.device_ptr_mut(self.stream);
        self.guards.push(guard);
        Ok(address)
    }

    fn check(&self, name: &'static str, context: &CudaContext) -> Result<()> {
        if *context == **self.stream.context() { Ok(()) } else { Err(Error::OtherContext { part: name }) }
    }
}
