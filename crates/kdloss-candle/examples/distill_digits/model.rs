//! Teacher and student: the same kind of network, of different width.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{Linear, Module};

use crate::data::{CLASSES, Digits, PIXELS};

/// A network with one hidden layer.
pub(crate) struct Network {
    hidden: Linear,
    output: Linear,
    /// Its trainable numbers.
    pub variables: Vec<Var>,
}

impl Network {
    /// A network whose weights are drawn from `random`. candle's own initialisation cannot be seeded on the CPU.
    pub(crate) fn new(width: usize, random: &mut fastrand::Rng) -> Result<Self> {
        let mut variables = Vec::new();
        let mut linear = |inputs: usize, outputs: usize| -> Result<Linear> {
            let weight = uniform(&[outputs, inputs], inputs, random)?;
            let bias = uniform(&[outputs], inputs, random)?;
            let layer = Linear::new(weight.as_tensor().clone(), Some(bias.as_tensor().clone()));
            variables.extend([weight, bias]);
            Ok(layer)
        };
        let (hidden, output) = (linear(PIXELS, width)?, linear(width, CLASSES)?);
        Ok(Self { hidden, output, variables })
    }

    /// The logits of some images.
    pub(crate) fn logits(&self, pixels: &Tensor) -> Result<Tensor> {
        self.output.forward(&self.hidden.forward(pixels)?.relu()?)
    }

    /// The share of the images that it names rightly.
    pub(crate) fn accuracy(&self, digits: &Digits) -> Result<f64> {
        let answers = self.logits(&digits.pixels)?.argmax(1)?.to_vec1::<u32>()?;
        let right = answers.iter().zip(&digits.labels).filter(|&(&answer, &label)| i64::from(answer) == label).count();
        Ok(right as f64 / digits.labels.len() as f64)
    }
}

/// A variable of uniform values, small enough that a sum over `inputs` of them stays near 1.
fn uniform(shape: &[usize], inputs: usize, random: &mut fastrand::Rng) -> Result<Var> {
    let bound = (inputs as f32).sqrt().recip();
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| (random.f32() * 2.0 - 1.0) * bound).collect();
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}
