//! A backend that is ready to compute.

use kdloss::{Batch, DistillationLoss, LossValue};

use crate::failure::Result;

/// A backend that is ready to compute, from host slices to host slices.
pub(crate) trait Engine {
    /// What it computes on, in one line.
    fn device(&self) -> String;

    /// Whether the time of a call holds more than the computation: compiling kernels, and transfers to a memory of its own.
    fn compiles_and_transfers(&self) -> bool;

    /// The loss and, where there is room for it, its gradient: `vocab` entries for each row.
    fn evaluate(&self, loss: &DistillationLoss, batch: &Batch<'_>, gradient: Option<&mut [f32]>) -> Result<LossValue>;
}
