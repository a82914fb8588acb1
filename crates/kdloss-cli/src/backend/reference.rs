//! The scalar oracle as an engine.

use kdloss::{Batch, DistillationLoss, LossValue, reference};

use crate::failure::Result;
use crate::machine;

use super::engine::Engine;

pub(crate) struct Reference;

impl Engine for Reference {
    fn device(&self) -> String {
        machine::device()
    }

    fn compiles_and_transfers(&self) -> bool {
        false
    }

    fn evaluate(&self, loss: &DistillationLoss, batch: &Batch<'_>, gradient: Option<&mut [f32]>) -> Result<LossValue> {
        let Some(gradient) = gradient else {
            return Ok(reference::forward(loss, batch)?);
        };
        let (value, exact) = reference::forward_backward(loss, batch)?;
        for (entry, exact) in gradient.iter_mut().zip(exact) {
            *entry = exact as f32;
        }
        Ok(value)
    }
}
