//! The loss of host slices on a GPU: upload, run, read back.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DeviceRepr, ValidAsZeroBits};
use half::{bf16, f16};

use super::batch::{Batch, Elements, Labels, Matrix, MatrixMut};
use super::driver::refused;
use super::{Kernels, Workspace};
use crate::batch::{Batch as HostBatch, Matrix as HostMatrix, MatrixMut as HostMatrixMut, StudentView};
use crate::call::Target;
use crate::elements::{self, DType};
use crate::error::Result;
use crate::loss::DistillationLoss;
use crate::value::LossValue;

/// A slice of the host's, on the GPU.
enum Uploaded {
    F32(CudaSlice<f32>),
    F16(CudaSlice<f16>),
    Bf16(CudaSlice<bf16>),
}

/// Labels of the host's, on the GPU.
enum UploadedLabels {
    I64(CudaSlice<i64>),
    I32(CudaSlice<i32>),
}

impl Kernels {
    /// The loss of a batch of host slices and, where a gradient is given, its gradient: uploads all of it, runs on the
    /// context's default stream and reads back.
    ///
    /// # Errors
    ///
    /// As [`cpu::forward_backward`](crate::cpu::forward_backward), and as [`Kernels::launch_forward`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kdloss::cuda::{Kernels, context};
    /// use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut};
    ///
    /// let kernels = Kernels::new(&context(0)?)?;
    /// let (student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
    /// let batch =
    ///     Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
    /// let mut gradient = [0.0f32; 3];
    /// let value = kernels.evaluate(&DistillationLoss::new(), &batch, Some(&mut MatrixMut::new(&mut gradient, 1, 3)))?;
    /// let same = kernels.evaluate(&DistillationLoss::new(), &batch, None)?; // the loss alone
    /// # Ok::<(), kdloss::Error>(())
    /// ```
    pub fn evaluate(
        &self,
        loss: &DistillationLoss,
        batch: &HostBatch<'_>,
        gradient: Option<&mut HostMatrixMut<'_>>,
    ) -> Result<LossValue> {
        let target = gradient.as_ref().map_or(Target::None, |gradient| Target::Separate(gradient.shape()));
        let (call, _) = batch.check(loss, target)?;
        let stream = &self.context().default_stream();
        let student = Uploaded::new(stream, batch.student.data)?;
        let teacher = batch.teacher.filter(|_| loss.has_soft_term());
        let uploaded_teacher = teacher.map(|teacher| Uploaded::new(stream, teacher.data)).transpose()?;
        let labels = batch.labels.map(|labels| UploadedLabels::new(stream, labels)).transpose()?;
        let row_grad_scale = batch.row_grad_scale.map(|scale| upload(stream, scale)).transpose()?;

        let mut on_gpu = Batch::new(student.matrix(&batch.student)).with_vocab(call.vocab);
        if let (Some(uploaded), Some(teacher)) = (&uploaded_teacher, &teacher) {
            on_gpu = on_gpu.with_teacher(uploaded.matrix(teacher));
        }
        if let Some(labels) = &labels {
            on_gpu = on_gpu.with_labels(labels.view(call.rows));
        }
        if let Some(scale) = &row_grad_scale {
            on_gpu = on_gpu.with_row_grad_scale(scale.slice(..call.rows));
        }
        let mut workspace = Workspace::with_rows(stream, call.rows)?;
        let Some(gradient) = gradient else {
            self.launch_forward(stream, &mut workspace, loss, &on_gpu)?;
            return workspace.read();
        };
        let (rows, cols) = (gradient.rows, gradient.cols);
        macro_rules! compute {
            ($variant:ident, $element:ty) => {{
                let mut entries = room::<$element>(stream, rows * cols)?;
                let mut matrix = MatrixMut::new(&mut entries, rows, cols);
                self.launch_forward_backward(stream, &mut workspace, loss, &on_gpu, &mut matrix)?;
                let entries = stream.clone_dtoh(&entries).map_err(|error| refused("read the gradient", error))?;
                for (row, entries) in gradient.rows_mut().zip(entries.chunks_exact(cols)) {
                    if let elements::ElementsMut::$variant(row) = row {
                        row.copy_from_slice(entries);
                    }
                }
            }};
        }
        match gradient.data.dtype() {
            DType::F32 => compute!(F32, f32),
            DType::F16 => compute!(F16, f16),
            DType::Bf16 => compute!(Bf16, bf16),
        }
        workspace.read()
    }
}

impl Uploaded {
    fn new(stream: &Arc<CudaStream>, data: elements::Elements<'_>) -> Result<Self> {
        Ok(match data {
            elements::Elements::F32(slice) => Self::F32(upload(stream, slice)?),
            elements::Elements::F16(slice) => Self::F16(upload(stream, slice)?),
            elements::Elements::Bf16(slice) => Self::Bf16(upload(stream, slice)?),
        })
    }

    /// The matrix, laid out as it is on the host.
    fn matrix(&self, host: &HostMatrix<'_>) -> Matrix<'_> {
        let data: Elements<'_> = match self {
            Self::F32(slice) => slice.into(),
            Self::F16(slice) => slice.into(),
            Self::Bf16(slice) => slice.into(),
        };
        Matrix::new(data, host.rows, host.cols).with_row_stride(host.row_stride)
    }
}

impl UploadedLabels {
    fn new(stream: &Arc<CudaStream>, labels: elements::Labels<'_>) -> Result<Self> {
        Ok(match labels {
            elements::Labels::I64(slice) => Self::I64(upload(stream, slice)?),
            elements::Labels::I32(slice) => Self::I32(upload(stream, slice)?),
        })
    }

    fn view(&self, rows: usize) -> Labels<'_> {
        match self {
            Self::I64(slice) => slice.slice(..rows).into(),
            Self::I32(slice) => slice.slice(..rows).into(),
        }
    }
}

/// A copy of a slice on the GPU, with room for one element at least: the driver does not allocate nothing.
fn upload<T: DeviceRepr + ValidAsZeroBits>(stream: &Arc<CudaStream>, slice: &[T]) -> Result<CudaSlice<T>> {
    if slice.is_empty() {
        return room(stream, 1);
    }
    stream.clone_htod(slice).map_err(|error| refused("upload the batch", error))
}

fn room<T: DeviceRepr + ValidAsZeroBits>(stream: &Arc<CudaStream>, len: usize) -> Result<CudaSlice<T>> {
    stream.alloc_zeros(len.max(1)).map_err(|error| refused("allocate room for the batch", error))
}
