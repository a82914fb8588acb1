//! candle: the loss composed of its operations, differentiated by its autograd.

use std::time::Instant;

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::ops::log_softmax;

use crate::Result;
use crate::shape::{ALPHA, Contestant, Shape, TEMPERATURE};

pub(crate) struct Candle {
    student: Var,
    teacher: Tensor,
    labels: Tensor,
}

impl Candle {
    pub(crate) fn new(shape: Shape) -> Result<Self> {
        let (device, size) = (Device::Cpu, (shape.rows, shape.vocab));
        let dtype = if shape.is_bf16 { DType::BF16 } else { DType::F32 };
        let logits = |seed| Tensor::from_vec(shape.logits(seed), size, &device)?.to_dtype(dtype);
        Ok(Self {
            student: Var::from_tensor(&logits(1)?)?,
            teacher: logits(2)?,
            labels: Tensor::from_vec(shape.labels(), shape.rows, &device)?,
        })
    }

    /// In f32, as one has to for bf16 logits.
    fn loss(&self) -> candle_core::Result<Tensor> {
        let student = self.student.to_dtype(DType::F32)?;
        let teacher = self.teacher.to_dtype(DType::F32)?;
        let log_q = log_softmax(&(&student / TEMPERATURE)?, D::Minus1)?;
        let log_p = log_softmax(&(teacher / TEMPERATURE)?, D::Minus1)?;
        let divergence = (log_p.exp()? * (log_p - log_q)?)?.sum(D::Minus1)?.mean_all()?;
        let hard = candle_nn::loss::cross_entropy(&student, &self.labels)?;
        (hard * ALPHA)? + (divergence * ((1.0 - ALPHA) * TEMPERATURE * TEMPERATURE))?
    }
}

impl Contestant for Candle {
    fn name(&self) -> &'static str {
        "candle 0.11"
    }

    fn run(&mut self) -> Result<f64> {
        let start = Instant::now();
        let gradients = self.loss()?.backward()?;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        gradients.get(&self.student).ok_or("candle computed no gradient")?;
        Ok(milliseconds)
    }
}
