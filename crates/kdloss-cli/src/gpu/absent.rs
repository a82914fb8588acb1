//! The backend wgpu in a program that was built without it: there are no adapters, and the remedy is to build it in.

use comfy_table::Table;
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};
use serde_json::Value;

use super::failure::{Failure, Result};

/// Whether this program has the backend.
pub(crate) const BUILT_IN: bool = false;

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum Adapter {}

/// There is none.
pub(crate) enum Gpu {}

pub(crate) fn adapters() -> Vec<Adapter> {
    Vec::new()
}

pub(crate) fn choose(_wish: Option<&str>) -> Result<Adapter> {
    Err(Failure::new(
        "backend wgpu is not built into this program: build kdloss-cli with --features wgpu, or use --backend cpu",
    ))
}

pub(crate) fn as_json(adapter: &Adapter) -> Value {
    match *adapter {}
}

pub(crate) fn as_table(adapter: &Adapter) -> Table {
    match *adapter {}
}

impl Adapter {
    pub(crate) fn index(&self) -> usize {
        match *self {}
    }

    pub(crate) fn is_software(&self) -> bool {
        match *self {}
    }

    pub(crate) fn rank(&self) -> usize {
        match *self {}
    }
}

impl Gpu {
    pub(crate) fn open(adapter: &Adapter) -> Result<Self> {
        match *adapter {}
    }

    pub(crate) fn device(&self) -> &str {
        match *self {}
    }

    pub(crate) fn forward(&self, _: &DistillationLoss, _: &Batch<'_>) -> Result<LossValue> {
        match *self {}
    }

    pub(crate) fn forward_backward(
        &self,
        _: &DistillationLoss,
        _: &Batch<'_>,
        _: &mut MatrixMut<'_>,
    ) -> Result<LossValue> {
        match *self {}
    }
}
