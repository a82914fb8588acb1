//! burn: the loss composed of its operations on the Flex backend, differentiated by its autodiff.

use std::time::Instant;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::Result;
use crate::shape::{ALPHA, Contestant, Shape, TEMPERATURE};

pub(crate) struct Burn {
    dtype: DType,
    student: TensorData,
    teacher: Tensor<2>,
    labels: Tensor<2, Int>,
    device: Device,
}

impl Burn {
    pub(crate) fn new(shape: Shape) -> Self {
        let device = Device::flex().autodiff();
        let data = |seed| TensorData::new(shape.logits(seed), [shape.rows, shape.vocab]);
        let labels = TensorData::new(shape.labels(), [shape.rows, 1]);
        let dtype = if shape.is_bf16 { DType::BF16 } else { DType::F32 };
        Self {
            dtype,
            student: data(1),
            teacher: Tensor::<2>::from_data(data(2), &device).cast(dtype),
            labels: Tensor::from_data(labels, &device),
            device,
        }
    }
}

impl Contestant for Burn {
    fn name(&self) -> &'static str {
        "burn 0.22 (Flex)"
    }

    fn run(&mut self) -> Result<f64> {
        let logits = Tensor::<2>::from_data(self.student.clone(), &self.device).cast(self.dtype);
        let logits = logits.detach().require_grad();
        let start = Instant::now();
        // In f32, as one has to for bf16 logits.
        let (student, teacher) = (logits.clone().cast(DType::F32), self.teacher.clone().cast(DType::F32));
        let log_q = log_softmax(student.clone() / TEMPERATURE, 1);
        let log_p = log_softmax(teacher / TEMPERATURE, 1);
        let divergence = (log_p.clone().exp() * (log_p - log_q)).sum_dim(1).mean();
        let hard = -log_softmax(student, 1).gather(1, self.labels.clone()).mean();
        let loss = hard * ALPHA + divergence * ((1.0 - ALPHA) * TEMPERATURE * TEMPERATURE);
        let gradients = loss.backward();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        logits.grad(&gradients).ok_or("burn computed no gradient")?;
        Ok(milliseconds)
    }
}
