//! How the processor computes: what a caller may choose beside the loss itself.

use super::Instructions;

/// How the processor computes the loss: nothing here changes what it is.
///
/// ```
/// use kdloss::cpu::{GradientStores, Instructions, Options};
/// use kdloss::{Batch, DistillationLoss, Matrix};
///
/// let logits = [2.0f32, 0.0, -1.0];
/// let batch = Batch::new(Matrix::new(&logits, 1, 3)).with_teacher(Matrix::new(&logits, 1, 3)).with_labels(&[0i64]);
/// let options = Options::new().with_instructions(Instructions::Portable).with_gradient_stores(GradientStores::Cached);
/// let value = options.forward(&DistillationLoss::new(), &batch)?;
/// assert_eq!(value.soft, Some(0.0));
/// # Ok::<(), kdloss::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// The vector instructions; `None`, the default, for what [`instructions`](super::instructions) says.
    pub instructions: Option<Instructions>,
    /// How the gradient is stored.
    pub gradient_stores: GradientStores,
}

/// How the gradient is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GradientStores {
    /// Past the caches where the gradient is larger than 16 MiB, and so, beside the logits, would not be found in a last-level cache.
    #[default]
    Auto,
    /// Through the caches: for a gradient that is read again at once, in parts that fit.
    Cached,
    /// Past the caches (non-temporal stores, on x86-64, of the cache lines that lie within a tile): the memory's bandwidth
    /// is not spent on reading what is overwritten.
    Streaming,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the vector instructions, whatever the environment says.
    #[must_use]
    pub fn with_instructions(mut self, instructions: Instructions) -> Self {
        self.instructions = Some(instructions);
        self
    }

    /// Sets how the gradient is stored.
    #[must_use]
    pub fn with_gradient_stores(mut self, gradient_stores: GradientStores) -> Self {
        self.gradient_stores = gradient_stores;
        self
    }
}
