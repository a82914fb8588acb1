//! Finding an adapter, and opening a device on it with what the kernels can use.

use crate::error::{Error, Result};

use super::device::one_line;

/// An adapter: a GPU and its driver, or a software implementation of one.
///
/// Programs with a device of their own need none of this: [`Kernels::new`](super::Kernels::new) takes any device.
#[derive(Debug, Clone)]
pub struct Adapter {
    adapter: wgpu::Adapter,
    index: usize,
}

/// What of an adapter the kernels can use.
const USED_FEATURES: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::TIMESTAMP_QUERY);

impl Adapter {
    /// All adapters of the backends that are built in, in wgpu's order.
    ///
    /// Loading their drivers takes some 50 ms. Where nobody has a session, as on a server, `error: XDG_RUNTIME_DIR is
    /// invalid or not set in the environment.` may appear on stderr, and is none: wgpu enables Vulkan's extension for
    /// Wayland, on which Mesa's device-select layer looks for a compositor. `NODEVICE_SELECT=1` in the environment leaves
    /// the layer out.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let backends = wgpu::Backends::all();
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let adapters = pollster::block_on(instance.enumerate_adapters(backends));
        adapters.into_iter().enumerate().map(|(index, adapter)| Self { adapter, index }).collect()
    }

    /// The adapter with this number, or whose name, driver or backend contains this text; case does not matter. Without a
    /// wish, the one that [`Adapter::rank`] puts first, which is a software adapter only if there is no other. A number that
    /// no adapter has counts as text: `4090` is part of a name.
    ///
    /// # Errors
    ///
    /// [`Error::NoDevice`], with what there is.
    pub fn choose(wish: Option<&str>) -> Result<Self> {
        let mut adapters = Self::all();
        let number = wish.and_then(|wish| wish.parse::<usize>().ok()).filter(|&number| number < adapters.len());
        let found = adapters.iter().map(Self::to_string).collect::<Vec<_>>().join(", ");
        adapters.sort_by_key(Self::rank);
        let chosen = adapters.into_iter().find(|adapter| match (number, wish) {
            (Some(number), _) => adapter.index == number,
            (None, Some(text)) => adapter.mentions(text),
            (None, None) => true,
        });
        chosen.ok_or_else(|| Error::NoDevice {
            wanted: match wish {
                Some(wish) => format!("an adapter with the number or the text `{wish}`"),
                None => "an adapter of wgpu".to_owned(),
            },
            found: if found.is_empty() {
                "none: install a driver (on Debian mesa-vulkan-drivers has those of many GPUs, and a software adapter)"
                    .to_owned()
            } else {
                found
            },
        })
    }

    /// Its number in [`Adapter::all`].
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Name, kind, driver and backend.
    #[must_use]
    pub fn info(&self) -> wgpu::AdapterInfo {
        self.adapter.get_info()
    }

    /// Whether it computes on the processor's cores. [`cpu`](crate::cpu) is faster there.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.info().device_type == wgpu::DeviceType::Cpu
    }

    /// The smaller, the sooner it is chosen: discrete GPUs, then integrated, virtual and unknown ones, then software; within a
    /// kind Vulkan, Metal and Direct3D 12 before OpenGL.
    #[must_use]
    pub fn rank(&self) -> (u8, bool) {
        let info = self.info();
        rank(info.device_type, info.backend)
    }

    /// The features of the adapter that the kernels, or their benchmarks, use.
    #[must_use]
    pub fn features(&self) -> wgpu::Features {
        self.adapter.features() & USED_FEATURES
    }

    /// The adapter's limits.
    #[must_use]
    pub fn limits(&self) -> wgpu::Limits {
        self.adapter.limits()
    }

    /// Opens a device with the adapter's limits and the features that the kernels use.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the adapter refuses.
    pub fn open(&self) -> Result<(wgpu::Device, wgpu::Queue)> {
        self.open_with(self.features(), self.limits())
    }

    /// Opens a device with these features and limits.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the adapter refuses.
    pub fn open_with(&self, features: wgpu::Features, limits: wgpu::Limits) -> Result<(wgpu::Device, wgpu::Queue)> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("kdloss"),
            required_features: features,
            required_limits: limits,
            ..Default::default()
        };
        pollster::block_on(self.adapter.request_device(&descriptor))
            .map_err(|error| Error::Device { operation: "open", message: one_line(&error) })
    }

    /// Whether its name, driver or backend contains this text.
    fn mentions(&self, text: &str) -> bool {
        let (info, text) = (self.info(), text.to_lowercase());
        [info.name, info.driver, info.backend.to_string()].iter().any(|part| part.to_lowercase().contains(&text))
    }
}

fn rank(device_type: wgpu::DeviceType, backend: wgpu::Backend) -> (u8, bool) {
    let kind = match device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, backend == wgpu::Backend::Gl)
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = self.info();
        write!(f, "adapter {}: {} ({}, {:?})", self.index, info.name, info.backend, info.device_type)
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn real_gpus_come_first_and_software_last() {
        use wgpu::Backend::{Gl, Vulkan};
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        let kinds = [DiscreteGpu, IntegratedGpu, VirtualGpu, Other, Cpu];
        let wanted: Vec<_> = kinds.into_iter().flat_map(|kind| [(kind, Vulkan), (kind, Gl)]).collect();
        let mut ranked = wanted.iter().rev().copied().collect::<Vec<_>>();
        ranked.sort_by_key(|&(kind, backend)| rank(kind, backend));
        assert_eq!(ranked, wanted);
    }
}
