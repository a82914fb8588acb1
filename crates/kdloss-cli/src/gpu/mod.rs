//! The backend wgpu: its adapters, and kernels on one of them. `absent` stands in where it is not built in.

mod facts;

use kdloss::wgpu::Kernels;
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};

use super::failure::Result;

pub(crate) use facts::{as_json, as_table};
pub(crate) use kdloss::wgpu::Adapter;

/// Whether this program has the backend.
pub(crate) const BUILT_IN: bool = true;

/// An adapter's device, and kernels for it.
pub(crate) struct Gpu {
    kernels: Kernels,
    device: String,
}

/// All adapters. Loading their drivers takes some 50 ms, so this is not called before it is needed.
pub(crate) fn adapters() -> Vec<Adapter> {
    Adapter::all()
}

/// The adapter that was asked for, else the best one.
pub(crate) fn choose(wish: Option<&str>) -> Result<Adapter> {
    Ok(Adapter::choose(wish)?)
}

impl Gpu {
    pub(crate) fn open(adapter: &Adapter) -> Result<Self> {
        let (device, queue) = adapter.open()?;
        let kernels = Kernels::new(&device, &queue)?;
        Ok(Self { kernels, device: format!("{}, {}", adapter.info().name, facts::driver(adapter)) })
    }

    /// The adapter's name and its driver.
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

/// Keeps Mesa's device-select layer out of this process where nobody has a session, as on a server.
///
/// The layer puts the GPU of the session's screen first. It asks the Wayland compositor for that, because wgpu enables
/// Vulkan's extension for Wayland wherever there is one; without a session, libwayland then prints an error on stderr,
/// which is none: adapters are ranked by what they are. `NODEVICE_SELECT` is the layer's own switch.
///
/// # Safety
///
/// No other thread may read or write the environment meanwhile.
pub(crate) unsafe fn leave_out_device_select_layer() {
    // Whoever has a session, or an order of devices for the layer, is not interfered with.
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT"].iter().all(|name| std::env::var_os(name).is_none()) {
        // SAFETY: the caller vouches that no other thread is at the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
