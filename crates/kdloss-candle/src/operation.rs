//! The operation on candle's graph: the kernel runs in the forward pass, its gradient waits for the backward pass.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp1, D, DType, Device, Error, Layout, Result, Shape, Storage, Tensor, WithDType, bail,
};
use half::bf16;

use kdloss::{Batch, DistillationLoss, ElementsMut, LossValue, MatrixMut, Reduction, cpu};

use crate::rows::matrix;

/// One evaluation of the loss; the student is the argument that candle passes.
pub(super) struct DistillationOp {
    loss: DistillationLoss,
    teacher: Option<Tensor>,
    labels: Option<Vec<i64>>,
    wants_gradient: bool,
    /// The gradient of the result (of its sum, where it has several elements), in the student's shape.
    gradient: OnceLock<Tensor>,
}

impl DistillationOp {
    pub(super) fn new(
        loss: DistillationLoss,
        teacher: Option<Tensor>,
        labels: Option<Vec<i64>>,
        wants_gradient: bool,
    ) -> Self {
        Self { loss, teacher, labels, wants_gradient, gradient: OnceLock::new() }
    }

    fn evaluate(&self, batch: &Batch<'_>, dtype: DType, shape: &Shape) -> Result<LossValue> {
        if !self.wants_gradient {
            return cpu::forward(&self.loss, batch).map_err(Error::wrap);
        }
        let (value, gradient) = match dtype {
            DType::BF16 => forward_backward::<bf16>(&self.loss, batch, shape)?,
            // An f16 student's as well: its gradient may be too small for f16 until a loss scale arrives.
            _ => forward_backward::<f32>(&self.loss, batch, shape)?,
        };
        self.gradient.get_or_init(|| gradient);
        Ok(value)
    }
}

impl CustomOp1 for DistillationOp {
    fn name(&self) -> &'static str {
        "distillation_loss"
    }

    fn cpu_fwd(&self, student: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut batch = Batch::new(matrix(student, layout)?);
        let teacher = self.teacher.as_ref().map(Tensor::storage_and_layout);
        if let Some((storage, layout)) = &teacher {
            let Storage::Cpu(storage) = &**storage else { bail!("the teacher is not on the CPU") };
            batch = batch.with_teacher(matrix(storage, layout)?);
        }
        if let Some(labels) = &self.labels {
            batch = batch.with_labels(labels);
        }

        let value = self.evaluate(&batch, student.dtype(), layout.shape())?;
        Ok(match self.loss.reduction {
            Reduction::None => {
                let leading = &layout.dims()[..layout.dims().len() - 1];
                (CpuStorage::F32(value.rows.iter().map(|row| row.total as f32).collect()), leading.into())
            }
            _ => (CpuStorage::F32(vec![value.loss as f32]), ().into()),
        })
    }

    /// A graph may be run backward several times, so the gradient is lent and not given away.
    fn bwd(&self, student: &Tensor, _result: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let Some(gradient) = self.gradient.get() else {
            return Err(Error::BackwardNotSupported { op: self.name() }.bt());
        };
        let is_one = upstream.flatten_all()?.to_vec1::<f32>()?.iter().all(|&factor| factor == 1.0);
        let scaled = if is_one {
            gradient.clone()
        } else {
            // A scalar gains a dimension of size 1 as well, which does for every row.
            gradient.to_dtype(DType::F32)?.broadcast_mul(&upstream.unsqueeze(D::Minus1)?)?
        };
        scaled.to_dtype(student.dtype()).map(Some)
    }
}

fn forward_backward<T: WithDType>(
    loss: &DistillationLoss,
    batch: &Batch<'_>,
    shape: &Shape,
) -> Result<(LossValue, Tensor)>
where
    for<'a> ElementsMut<'a>: From<&'a mut Vec<T>>,
{
    let mut gradient = vec![T::zero(); shape.elem_count()];
    let cols = shape.dims().last().copied().unwrap_or(0);
    let matrix = &mut MatrixMut::new(&mut gradient, batch.rows(), cols);
    let value = cpu::forward_backward(loss, batch, matrix).map_err(Error::wrap)?;
    Ok((value, Tensor::from_vec(gradient, shape, &Device::Cpu)?))
}
