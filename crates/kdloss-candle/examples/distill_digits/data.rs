//! The handwritten digits, and who sees which of them.

use std::error::Error;

use candle_core::{Device, Result, Tensor};
use flate2::read::GzDecoder;

/// Images of 8 × 8 pixels with values 0 to 16, one a line, the digit in the last column.
const FILE: &[u8] = include_bytes!("../data/digits.csv.gz");
/// Pixels of an image.
pub(crate) const PIXELS: usize = 64;
/// Digits there are.
pub(crate) const CLASSES: usize = 10;
/// The label of an image whose digit the student is not told.
pub(crate) const UNLABELLED: i64 = -100;

/// Images with their digits.
pub(crate) struct Digits {
    /// `[images, 64]`, values 0 to 1.
    pub pixels: Tensor,
    /// The digit each image shows.
    pub labels: Vec<i64>,
}

/// The images, dealt out once and for all.
pub(crate) struct Splits {
    /// What the teacher learns from, and where the student's images come from.
    pub train: Digits,
    /// What settings are chosen by.
    pub validation: Digits,
    /// What results are measured on, and nothing else.
    pub test: Digits,
}

impl Splits {
    /// Reads the digits and deals them out: 497 to test on, 300 to validate, the other 1000 to train on.
    ///
    /// The number of steps and the temperatures to try were once settled with an eye on test accuracies, of the last 497
    /// images in this order. Those are training images now: none of the images tested on here had a part in that.
    pub(crate) fn load() -> std::result::Result<Self, Box<dyn Error>> {
        let digits = Digits::load()?;
        let mut order: Vec<usize> = (0..digits.labels.len()).collect();
        fastrand::Rng::with_seed(0).shuffle(&mut order);
        let (test, others) = order.split_at(497);
        let (validation, train) = others.split_at(300);
        Ok(Self { train: digits.select(train)?, validation: digits.select(validation)?, test: digits.select(test)? })
    }
}

impl Digits {
    fn load() -> std::result::Result<Self, Box<dyn Error>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(GzDecoder::new(FILE));
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for line in reader.deserialize() {
            let (image, label) = split_label(line?)?;
            pixels.extend(image.iter().map(|value| value / 16.0));
            labels.push(label);
        }
        Ok(Self { pixels: Tensor::from_vec(pixels, (labels.len(), PIXELS), &Device::Cpu)?, labels })
    }

    /// Some of the images, in the order given.
    pub(crate) fn select(&self, images: &[usize]) -> Result<Self> {
        Ok(Self {
            pixels: rows(&self.pixels, images)?,
            labels: images.iter().map(|&image| self.labels[image]).collect(),
        })
    }

    /// `per_class` images of every digit, drawn at random: the images the student gets labels for.
    pub(crate) fn draw_per_class(&self, per_class: usize, random: &mut fastrand::Rng) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        random.shuffle(&mut order);
        let mut drawn = [0; CLASSES];
        order.retain(|&image| {
            let count = &mut drawn[self.labels[image] as usize];
            *count += 1;
            *count <= per_class
        });
        order
    }
}

/// The given rows of a matrix.
pub(crate) fn rows(matrix: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    matrix.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
}

fn split_label(mut line: Vec<f32>) -> std::result::Result<(Vec<f32>, i64), String> {
    match line.pop() {
        Some(label) if line.len() == PIXELS => Ok((line, label as i64)),
        _ => Err(format!("a line of the digits has {} pixels and not {PIXELS}", line.len())),
    }
}
