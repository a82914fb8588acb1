//! The teacher's opinion of one image, at several temperatures.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

use crate::data::{Digits, rows};
use crate::model::Network;

/// Temperatures to show.
pub(crate) const TEMPERATURES: [f64; 4] = [1.0, 2.0, 4.0, 10.0];

/// One image and the probabilities that the teacher gives it.
pub(crate) struct SoftTargets {
    /// The image's pixels, 0 to 1, row by row.
    pub pixels: Vec<f32>,
    /// The digit that it shows.
    pub label: i64,
    /// The probability of each digit, for each of [`TEMPERATURES`].
    pub probabilities: Vec<Vec<f32>>,
}

impl SoftTargets {
    /// Those of an image that the teacher names rightly but hesitates about: its digit's probability is nearest to ⅔.
    pub(crate) fn of_hesitation(teacher: &Network, digits: &Digits) -> Result<Self> {
        let logits = teacher.logits(&digits.pixels)?;
        let probabilities = softmax(&logits, D::Minus1)?.to_vec2::<f32>()?;
        let distance = |image: usize| (probabilities[image][digits.labels[image] as usize] - 2.0 / 3.0).abs();
        let image = (0..digits.labels.len()).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
        let tempered = |temperature: f64| softmax(&(rows(&logits, &[image])? / temperature)?, D::Minus1);
        Ok(Self {
            pixels: to_vec(&rows(&digits.pixels, &[image])?)?,
            label: digits.labels[image],
            probabilities: TEMPERATURES
                .iter()
                .map(|&temperature| to_vec(&tempered(temperature)?))
                .collect::<Result<_>>()?,
        })
    }
}

fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}
