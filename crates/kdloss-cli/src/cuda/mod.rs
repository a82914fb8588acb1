//! The backend cuda: NVIDIA's GPUs, and kernels on one of them. `absent` stands in where it is not built in.

mod facts;

use kdloss::cuda::{Kernels, context, devices, driver_version, nvrtc};
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};

use super::failure::{Failure, Result};

pub(crate) use facts::{as_json, as_table};
pub(crate) use kdloss::cuda::Device;

/// A GPU's context, and kernels in it.
pub(crate) struct Gpu {
    kernels: Kernels,
    device: String,
}

/// All GPUs that can be computed on, or what is missing for it.
pub(crate) fn usable() -> Result<Vec<Device>> {
    let devices = devices()?;
    nvrtc::version()?;
    Ok(devices)
}

/// The first GPU.
pub(crate) fn choose() -> Result<Device> {
    devices()?.into_iter().next().ok_or_else(|| Failure::new("there is no NVIDIA GPU: use --backend wgpu or cpu"))
}

/// What `doctor` says about the backend.
pub(crate) fn note(usable: &Result<Vec<Device>>) -> String {
    match usable {
        Ok(devices) => format!(
            "GPUs: {}; driver for CUDA {}; NVRTC {} ({}); compiled kernels are kept {}",
            devices.len(),
            driver_version().unwrap_or_default(),
            nvrtc::version().unwrap_or_default(),
            nvrtc::library().unwrap_or_default(),
            match kdloss::cuda::cache_folder() {
                Some(folder) => format!("in {} (KDLOSS_CACHE changes it)", folder.display()),
                None => "in memory only (KDLOSS_CACHE names a folder)".to_owned(),
            }
        ),
        Err(missing) => missing.to_string(),
    }
}

impl Gpu {
    pub(crate) fn open(device: &Device) -> Result<Self> {
        let context = context(device.ordinal)?;
        let kernels = Kernels::new(&context)?;
        let name = format!("{}, driver for CUDA {}", device.name, driver_version()?);
        Ok(Self { kernels, device: name })
    }

    /// The GPU's name and its driver.
    pub(crate) fn device(&self) -> &str {
        &self.device
    }

    pub(crate) fn forward(&self, loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
        Ok(self.kernels.evaluate(loss, batch, None)?)
    }

    pub(crate) fn forward_backward(
        &self,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: &mut MatrixMut<'_>,
    ) -> Result<LossValue> {
        Ok(self.kernels.evaluate(loss, batch, Some(gradient))?)
    }
}
