//! How the processor computes: what a caller may choose beside the loss itself, and what all rows of a call have in common.

use super::simd::Store;
use super::simd::instructions::{DetectedInstructions, Instructions, instructions};
use super::tile::TILE;
use crate::batch::MatrixMut;
use crate::call::{Call, Counts, Denominators};
use crate::error::Result;

/// Elements that are worth another thread: some ten microseconds of work.
pub(super) const ELEMENTS_PER_THREAD: usize = 8192;

/// Bytes of a gradient that a last-level cache holds beside the two matrices that are read. Whoever reads a larger gradient next does
/// not find it there.
const LAST_LEVEL_CACHE: usize = 16 << 20;

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
    /// The vector instructions. `None`, the default, stands for what [`instructions`] says.
    pub instructions: Option<Instructions>,
    /// How the gradient is stored.
    pub gradient_stores: GradientStores,
}

/// How the gradient is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GradientStores {
    /// Past the caches if the gradient is larger than 16 MiB: a last-level cache would not hold it beside the logits.
    #[default]
    Auto,
    /// Through the caches: for a gradient that is read again at once, in pieces that fit.
    Cached,
    /// Past the caches, so that memory does not send what is overwritten. On x86-64, by non-temporal stores of the whole cache
    /// lines of each tile.
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

/// What all rows of a call have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) call: Call,
    pub(super) denominators: Denominators,
    pub(super) instructions: DetectedInstructions,
    pub(super) store: Store,
    /// Consecutive tiles of a row that a thread takes at a time.
    pub(super) tiles_of_a_thread: usize,
}

impl Settings {
    /// The settings of a checked call.
    pub(super) fn new(options: &Options, call: Call, counts: Counts, gradient: Option<&MatrixMut<'_>>) -> Result<Self> {
        let wanted = options.instructions.map_or_else(instructions, Ok)?;
        let threads = rayon::current_num_threads();
        // With several rows for each thread, sharing the tiles of a row as well would only cost locality.
        let rows_suffice = call.rows >= 4 * threads;
        // A few turns for each thread, so that none waits long for another.
        let turn = call.vocab.div_ceil(TILE).div_ceil(4 * threads).max(ELEMENTS_PER_THREAD / TILE);
        Ok(Self {
            call,
            denominators: call.denominators(counts),
            instructions: DetectedInstructions::new(wanted)?,
            store: options.gradient_stores.store(&call, gradient),
            tiles_of_a_thread: if rows_suffice { usize::MAX } else { turn },
        })
    }

    /// Tiles of a row.
    pub(super) fn tile_count(&self) -> usize {
        self.call.vocab.div_ceil(TILE)
    }
}

impl GradientStores {
    fn store(self, call: &Call, gradient: Option<&MatrixMut<'_>>) -> Store {
        let bytes = gradient.map_or(0, |gradient| call.rows * call.vocab * gradient.data.dtype().size());
        match self {
            Self::Auto if bytes > LAST_LEVEL_CACHE => Store::Streaming,
            Self::Streaming => Store::Streaming,
            _ => Store::Cached,
        }
    }
}
