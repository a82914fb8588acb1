//! The backend cuda in a program that was built without it: there are no GPUs, and the remedy is to build it in.

use comfy_table::Table;
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};
use serde_json::Value;

use super::failure::{Failure, Result};

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum Device {}

/// There is none.
pub(crate) enum Gpu {}

pub(crate) fn usable() -> Result<Vec<Device>> {
    Err(Failure::new("not built in: build kdloss-cli with --features cuda"))
}

pub(crate) fn choose() -> Result<Device> {
    Err(Failure::new(
        "backend cuda is not built into this program: build kdloss-cli with --features cuda, or use --backend cpu or wgpu",
    ))
}

pub(crate) fn note(usable: &Result<Vec<Device>>) -> String {
    usable.as_ref().err().map_or_else(String::new, Failure::to_string)
}

pub(crate) fn as_json(device: &Device) -> Value {
    match *device {}
}

pub(crate) fn as_table(device: &Device) -> Table {
    match *device {}
}

impl Gpu {
    pub(crate) fn open(device: &Device) -> Result<Self> {
        match *device {}
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
