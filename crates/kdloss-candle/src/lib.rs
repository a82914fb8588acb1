//! The loss as an operation on candle's tensors, with its gradient.
//!
//! # How it works
//!
//! [`distillation_loss`] puts one operation on the graph of the student's logits. Its forward pass runs the fused kernel
//! of [`kdloss::cpu`] once, which gives the loss and the gradient together, and keeps the gradient. The backward pass
//! hands it on, multiplied by the gradient that arrives from above; where that is 1 throughout, as under
//! `loss.backward()`, there is nothing to multiply. Logits are read where candle has them: a row offset or a row stride
//! (`narrow`, `i(..)`) costs nothing, a transposed or broadcast tensor is copied first.
//!
//! Beyond its inputs the operation holds one tensor of the student's shape, the gradient, for as long as the graph lives. It
//! holds none if the student depends on no variable.
//!
//! # Shapes and types
//!
//! | tensor | shape | type |
//! |---|---|---|
//! | student | `[rows, vocab]`, `[batch, seq, vocab]`, or any other leading dimensions | `f32`, `f16` or `bf16` |
//! | teacher | the same leading dimensions; the last may be wider or narrower | any of these, whatever the student's is |
//! | labels | the leading dimensions | any integer type; only signed ones can hold an `ignore_index` of −100 |
//! | result | `[]`, or the leading dimensions under [`Reduction::None`] | `f32` |
//! | gradient | the student's | the student's |
//!
//! The result is `f32` whatever the student's type: a loss needs digits that 16 bits do not have, and candle asks only
//! that a gradient has the type of the tensor it belongs to. With a 16-bit student, convert other losses to `f32` before
//! adding them. The gradient of an `f16` student is kept in `f32` until the gradient from above is known: a mean over
//! many rows makes entries too small for `f16`, and a loss scale (`(loss * 65536.0)?.backward()`) brings them back.
//!
//! Where the last dimensions of student and teacher differ, one of them is padded: the narrower is the vocabulary,
//! columns beyond it are not read, and their gradient is 0. All other conventions (ignored rows, infinite logits, what
//! counts for a mean) are those of [`DistillationLoss`].
//!
//! # Limits
//!
//! * Tensors live on the CPU. Anything else is an error that says so.
//! * The gradient is a number to candle, not a function: it cannot be differentiated again.
//! * The gradient belongs to the logits of the forward pass, even if a variable is overwritten before `backward`.

mod operation;
mod rows;

/// The candle whose tensors these are: whoever names it by this path has the right version.
pub use candle_core;
pub use kdloss::{DistillationLoss, Divergence, IgnoredRows, Reduction};

use candle_core::{DType, Device, Result, Tensor, bail};

use operation::DistillationOp;

/// The distillation loss of a batch of logits, differentiable with respect to the student's.
///
/// `teacher` may be `None` where [`alpha`](DistillationLoss::alpha) is 1, `labels` where it is 0. The teacher gets no
/// gradient: detach it where it comes out of a model with variables. Under [`Reduction::None`]
/// the result holds the rows' losses, and each row's gradient is multiplied by what arrives for that row.
///
/// # Errors
///
/// A teacher that is tracked for gradients; tensors of a type, shape or device that the [crate](self) does not list; and
/// any [`Error`](kdloss::Error) of the loss itself, whose text candle's error shows.
///
/// # Examples
///
/// One step of training:
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{AdamW, Module, Optimizer, VarBuilder, VarMap, linear};
/// use kdloss_candle::{DistillationLoss, distillation_loss};
///
/// let variables = VarMap::new();
/// let student = linear(8, 5, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
/// let mut optimizer = AdamW::new_lr(variables.all_vars(), 0.01)?;
///
/// let inputs = Tensor::randn(0f32, 1.0, (4, 8), &Device::Cpu)?;
/// let teacher_logits = Tensor::randn(0f32, 3.0, (4, 5), &Device::Cpu)?;
/// let labels = Tensor::new(&[3i64, 0, -100, 4], &Device::Cpu)?;
///
/// let settings = DistillationLoss::new().with_temperature(2.0).with_alpha(0.3);
/// let student_logits = student.forward(&inputs)?;
/// let loss = distillation_loss(&student_logits, &teacher_logits, &labels, &settings)?;
/// optimizer.backward_step(&loss)?;
/// # assert!(loss.to_scalar::<f32>()?.is_finite());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn distillation_loss<'a>(
    student: &Tensor,
    teacher: impl Into<Option<&'a Tensor>>,
    labels: impl Into<Option<&'a Tensor>>,
    loss: &DistillationLoss,
) -> Result<Tensor> {
    let student = logits("student", student)?;
    let leading = &student.dims()[..student.rank() - 1];
    let teacher = teacher.into().map(|teacher| teacher_logits(teacher, leading)).transpose()?;
    let labels = labels.into().map(|labels| label_values(labels, leading)).transpose()?;
    student.apply_op1(DistillationOp::new(*loss, teacher, labels, student.track_op()))
}

/// Checks a tensor of logits and, where its rows do not lie at even distances, copies it so that they do.
fn logits(name: &str, tensor: &Tensor) -> Result<Tensor> {
    on_cpu(name, tensor.device())?;
    if tensor.rank() == 0 {
        bail!("the {name} is a scalar, but logits have at least one dimension, the vocabulary");
    }
    if !matches!(tensor.dtype(), DType::F32 | DType::F16 | DType::BF16) {
        let dtype = tensor.dtype().as_str();
        bail!("the {name} has dtype {dtype}, but logits are f32, f16 or bf16: convert it with to_dtype");
    }
    if rows::stride(tensor.layout()).is_some() { Ok(tensor.clone()) } else { tensor.contiguous() }
}

fn teacher_logits(teacher: &Tensor, leading: &[usize]) -> Result<Tensor> {
    if teacher.track_op() {
        bail!("the teacher is tracked for gradients, but only the student gets one: pass teacher.detach()");
    }
    let teacher = logits("teacher", teacher)?;
    same_leading("teacher", &teacher.dims()[..teacher.rank() - 1], leading)?;
    Ok(teacher)
}

fn label_values(labels: &Tensor, leading: &[usize]) -> Result<Vec<i64>> {
    on_cpu("labels", labels.device())?;
    if !labels.dtype().is_int() {
        let dtype = labels.dtype().as_str();
        bail!(
            "the labels have dtype {dtype}, but they are the numbers of classes: convert them with to_dtype(DType::I64)"
        );
    }
    same_leading("labels", labels.dims(), leading)?;
    labels.flatten_all()?.to_dtype(DType::I64)?.to_vec1()
}

fn same_leading(name: &str, found: &[usize], leading: &[usize]) -> Result<()> {
    if found != leading {
        bail!("the rows of the {name} have shape {found:?}, but those of the student {leading:?}: reshape one of them");
    }
    Ok(())
}

fn on_cpu(name: &str, device: &Device) -> Result<()> {
    let place = match device {
        Device::Cpu => return Ok(()),
        Device::Cuda(_) => "a CUDA device",
        Device::Metal(_) => "a Metal device",
    };
    bail!("the {name} is on {place}, but this loss runs on the CPU: move it with to_device(&Device::Cpu)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::CudaDevice;

    #[test]
    fn another_device_is_refused_by_name() {
        assert!(on_cpu("student", &Device::Cpu).is_ok());
        let error = on_cpu("student", &Device::Cuda(CudaDevice)).unwrap_err().to_string();
        assert!(error.contains("the student is on a CUDA device") && error.contains("to_device"), "{error}");
    }
}
