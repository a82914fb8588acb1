//! What computes a loss: one of the library's backends.

use std::fmt;

use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut, cpu, reference};

use super::args::BackendChoice;
use super::failure::{Failure, Result};

/// A backend that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Reference,
    Cpu,
}

impl Backend {
    /// What `auto` picks: the fastest backend that is there.
    pub(crate) const AUTO: Self = Self::Cpu;

    pub(crate) fn choose(choice: BackendChoice) -> Result<Self> {
        match choice {
            BackendChoice::Auto => Ok(Self::AUTO),
            BackendChoice::Reference => Ok(Self::Reference),
            BackendChoice::Cpu => Ok(Self::Cpu),
            BackendChoice::Wgpu => Err(not_built_in("wgpu")),
            BackendChoice::Cuda => Err(not_built_in("cuda")),
        }
    }

    pub(crate) fn forward(self, loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
        Ok(match self {
            Self::Reference => reference::forward(loss, batch)?,
            Self::Cpu => cpu::forward(loss, batch)?,
        })
    }

    /// The loss and, in `gradient`, its gradient: `vocab` entries for each row.
    pub(crate) fn forward_backward(
        self,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: &mut [f32],
    ) -> Result<LossValue> {
        Ok(match self {
            Self::Reference => {
                let (value, exact) = reference::forward_backward(loss, batch)?;
                for (entry, exact) in gradient.iter_mut().zip(exact) {
                    *entry = exact as f32;
                }
                value
            }
            Self::Cpu => {
                let mut gradient = MatrixMut::new(gradient, batch.rows(), batch.vocab());
                cpu::forward_backward(loss, batch, &mut gradient)?
            }
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Cpu => "cpu",
        })
    }
}

fn not_built_in(name: &str) -> Failure {
    let version = env!("CARGO_PKG_VERSION");
    Failure::new(format!("backend {name} is not built into this version of kdloss ({version}): use --backend cpu"))
}
