//! What is measured: shapes, and whoever computes the loss on them.

use std::fmt;

use crate::Result;

pub(crate) const TEMPERATURE: f64 = 2.0;
pub(crate) const ALPHA: f64 = 0.5;

/// Rows of logits in one storage type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) vocab: usize,
    pub(crate) is_bf16: bool,
}

/// A large vocabulary at few rows, a smaller one at more.
pub(crate) const SHAPES: [Shape; 3] = [
    Shape { rows: 128, vocab: 151_936, is_bf16: false },
    Shape { rows: 256, vocab: 32_000, is_bf16: false },
    Shape { rows: 128, vocab: 151_936, is_bf16: true },
];

/// Whoever takes a turn.
pub(crate) trait Contestant {
    fn name(&self) -> &'static str;

    /// Computes loss and gradient once, and tells how many milliseconds that took.
    fn run(&mut self) -> Result<f64>;
}

impl Shape {
    pub(crate) fn dtype(&self) -> &'static str {
        if self.is_bf16 { "bf16" } else { "f32" }
    }

    /// Numbers between −6 and 6 without a pattern.
    pub(crate) fn logits(&self, seed: usize) -> Vec<f32> {
        let hash = |index: usize| (index ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (0..self.rows * self.vocab).map(|index| hash(index) as f32 / (1 << 24) as f32 * 12.0 - 6.0).collect()
    }

    /// A class for each row.
    pub(crate) fn labels(&self) -> Vec<i64> {
        (0..self.rows as i64).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} x {}", self.dtype(), self.rows, self.vocab)
    }
}
