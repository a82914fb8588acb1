//! The backend wgpu: its adapters, and kernels on one of them.

mod contest;
mod facts;

use std::sync::Arc;

use comfy_table::Table;
use kdloss::wgpu::{Adapter, Kernels};
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};
use serde_json::Value;

use crate::failure::{Failure, Result};

use super::contest::Contest;
use super::device::{Device, Provider};
use super::driver;
use super::engine::Engine;
use super::problem::Problem;
use contest::WgpuContest;

pub(crate) struct Wgpu;

impl Provider for Wgpu {
    fn name(&self) -> &'static str {
        "wgpu"
    }

    fn plural(&self) -> &'static str {
        "adapters"
    }

    fn devices(&self) -> Result<Vec<Arc<dyn Device>>> {
        let adapters = Adapter::all();
        if adapters.is_empty() {
            return Err(Failure::new(format!(
                "no adapter; {}: install one (on Debian, mesa-vulkan-drivers has those of many GPUs and a software adapter)",
                driver::VULKAN
            )));
        }
        Ok(adapters.into_iter().map(|adapter| Arc::new(adapter) as Arc<dyn Device>).collect())
    }

    fn choose(&self, wish: Option<&str>) -> Result<Arc<dyn Device>> {
        Ok(Arc::new(Adapter::choose(wish)?))
    }
}

impl Device for Adapter {
    fn backend(&self) -> &'static str {
        "wgpu"
    }

    fn label(&self) -> String {
        format!("wgpu, adapter {}", self.index())
    }

    fn is_software(&self) -> bool {
        Adapter::is_software(self)
    }

    fn rank(&self) -> (u8, bool) {
        Adapter::rank(self)
    }

    fn as_json(&self) -> Value {
        facts::as_json(self)
    }

    fn as_table(&self) -> Table {
        facts::as_table(self)
    }

    fn open(&self) -> Result<Box<dyn Engine>> {
        let (device, queue) = Adapter::open(self)?;
        let kernels = Kernels::new(&device, &queue)?;
        let device = format!("{}, {}", self.info().name, facts::driver(self));
        Ok(Box::new(WgpuEngine { kernels, device }))
    }

    fn contest(&self, problem: Problem) -> Result<Box<dyn Contest>> {
        Ok(Box::new(WgpuContest::new(self, problem)?))
    }
}

/// An adapter's device, and kernels for it.
struct WgpuEngine {
    kernels: Kernels,
    /// The adapter's name and its driver.
    device: String,
}

impl Engine for WgpuEngine {
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

/// Keeps Mesa's device-select layer out of this process where nobody has a session, as on a server.
///
/// The layer puts the GPU of the session's screen first. It asks the Wayland compositor for that, because wgpu enables
/// Vulkan's extension for Wayland wherever there is one; without a session, libwayland then prints an error on stderr,
/// which is none: adapters are ranked by what they are. `NODEVICE_SELECT` is the layer's own switch.
///
/// # Safety
///
/// No other thread may read or write the environment meanwhile.
pub unsafe fn leave_out_device_select_layer() {
    // Whoever has a session, or an order of devices for the layer, is not interfered with.
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT"].iter().all(|name| std::env::var_os(name).is_none()) {
        // SAFETY: the caller vouches that no other thread is at the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
