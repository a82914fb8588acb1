//! The backends for GPUs: as they are where they are built in, and what stands in for them where they are not.

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
use super::absent::Absent;
use super::device::Provider;

#[cfg(feature = "cuda")]
pub(crate) const CUDA: &dyn Provider = &super::cuda::Cuda;
#[cfg(not(feature = "cuda"))]
pub(crate) const CUDA: &dyn Provider = &Absent { name: "cuda", plural: "devices", driver: super::driver::NVIDIA };

#[cfg(feature = "wgpu")]
pub(crate) const WGPU: &dyn Provider = &super::wgpu::Wgpu;
#[cfg(not(feature = "wgpu"))]
pub(crate) const WGPU: &dyn Provider = &Absent { name: "wgpu", plural: "adapters", driver: super::driver::VULKAN };

/// In the order in which `auto` asks them.
pub(crate) const PROVIDERS: [&dyn Provider; 2] = [CUDA, WGPU];
