//! The backend cuda: NVIDIA's GPUs, and kernels on one of them.

mod contest;
mod facts;

use std::sync::Arc;

use comfy_table::Table;
use kdloss::cuda::{Device as Gpu, Kernels, cache_folder, context, devices, driver_version, nvrtc};
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};
use serde_json::Value;

use crate::failure::{Failure, Result};

use super::contest::Contest;
use super::device::{Device, Provider};
use super::driver;
use super::engine::Engine;
use super::problem::Problem;
use contest::CudaContest;

pub(crate) struct Cuda;

impl Provider for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn plural(&self) -> &'static str {
        "devices"
    }

    fn devices(&self) -> Result<Vec<Arc<dyn Device>>> {
        let usable = devices().and_then(|devices| nvrtc::version().map(|_| devices)).map_err(Failure::from);
        let devices = usable.map_err(|missing| Failure::new(format!("{missing}; {}", driver::NVIDIA)))?;
        Ok(devices.into_iter().map(|device| Arc::new(device) as Arc<dyn Device>).collect())
    }

    fn choose(&self, _wish: Option<&str>) -> Result<Arc<dyn Device>> {
        match devices()?.into_iter().next() {
            Some(device) => Ok(Arc::new(device)),
            None => Err(Failure::new("there is no NVIDIA GPU: use --backend wgpu or cpu")),
        }
    }

    fn note(&self, devices: &[Arc<dyn Device>]) -> String {
        format!(
            "GPUs: {}; driver for CUDA {}; NVRTC {} ({}); compiled kernels are kept {}",
            devices.len(),
            driver_version().unwrap_or_default(),
            nvrtc::version().unwrap_or_default(),
            nvrtc::library().unwrap_or_default(),
            match cache_folder() {
                Some(folder) => format!("in {} (KDLOSS_CACHE changes it)", folder.display()),
                None => "in memory only (KDLOSS_CACHE names a folder)".to_owned(),
            }
        )
    }
}

impl Device for Gpu {
    fn backend(&self) -> &'static str {
        "cuda"
    }

    fn as_json(&self) -> Value {
        facts::as_json(self)
    }

    fn as_table(&self) -> Table {
        facts::as_table(self)
    }

    fn open(&self) -> Result<Box<dyn Engine>> {
        let context = context(self.ordinal)?;
        let kernels = Kernels::new(&context)?;
        let device = format!("{}, driver for CUDA {}", self.name, driver_version()?);
        Ok(Box::new(CudaEngine { kernels, device }))
    }

    fn contest(&self, problem: Problem) -> Result<Box<dyn Contest>> {
        Ok(Box::new(CudaContest::new(self, problem)?))
    }
}

/// A GPU's context, and kernels in it.
struct CudaEngine {
    kernels: Kernels,
    /// The GPU's name and its driver.
    device: String,
}

impl Engine for CudaEngine {
    fn device(&self) -> String {
        self.device.clone()
    }

    fn compiles_and_transfers(&self) -> bool {
        true
    }

    fn evaluate(&self, loss: &DistillationLoss, batch: &Batch<'_>, gradient: Option<&mut [f32]>) -> Result<LossValue> {
        let mut gradient = gradient.map(|gradient| MatrixMut::new(gradient, batch.rows(), batch.vocab()));
        Ok(self.kernels.evaluate(loss, batch, gradient.as_mut())?)
    }
}
