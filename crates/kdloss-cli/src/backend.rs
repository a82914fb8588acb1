//! What computes a loss: one of the library's backends.

use std::fmt;

use clap::ValueEnum;
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut, cpu, reference};

use super::args::BackendChoice;
use super::failure::{Failure, Result};
use super::gpu::{self, Adapter, Gpu};
use super::{cuda, machine};

/// A backend that is there, and where it has adapters, one of them.
pub(crate) enum Pick {
    Reference,
    Cpu,
    Wgpu(Adapter),
    Cuda(cuda::Device),
}

/// A backend that is ready to compute.
pub(crate) enum Backend {
    Reference,
    Cpu,
    Wgpu(Box<Gpu>),
    Cuda(Box<cuda::Gpu>),
}

impl Pick {
    /// What the options ask for. To wish for an adapter is to ask for wgpu.
    pub(crate) fn new(choice: BackendChoice, adapter: Option<&str>) -> Result<Self> {
        match (choice, adapter) {
            (BackendChoice::Wgpu, _) | (BackendChoice::Auto, Some(_)) => gpu::choose(adapter).map(Self::Wgpu),
            (other, Some(adapter)) => Err(adapter_of_another_backend(other, adapter)),
            (BackendChoice::Auto, None) => Ok(Self::auto(cuda::usable().unwrap_or_default(), gpu::adapters)),
            (BackendChoice::Reference, None) => Ok(Self::Reference),
            (BackendChoice::Cpu, None) => Ok(Self::Cpu),
            (BackendChoice::Cuda, None) => cuda::choose().map(Self::Cuda),
        }
    }

    /// What `auto` picks where these are: the first NVIDIA GPU, else the best real GPU through wgpu, else the processor. A
    /// software adapter runs on the processor as well, slower than the backend that is made for it.
    pub(crate) fn auto(devices: Vec<cuda::Device>, adapters: impl FnOnce() -> Vec<Adapter>) -> Self {
        if let Some(device) = devices.into_iter().next() {
            return Self::Cuda(device);
        }
        let best = adapters().into_iter().filter(|adapter| !adapter.is_software()).min_by_key(Adapter::rank);
        best.map_or(Self::Cpu, Self::Wgpu)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Cpu => "cpu",
            Self::Wgpu(_) => "wgpu",
            Self::Cuda(_) => "cuda",
        }
    }

    pub(crate) fn open(&self) -> Result<Backend> {
        Ok(match self {
            Self::Reference => Backend::Reference,
            Self::Cpu => Backend::Cpu,
            Self::Wgpu(adapter) => Backend::Wgpu(Box::new(Gpu::open(adapter)?)),
            Self::Cuda(device) => Backend::Cuda(Box::new(cuda::Gpu::open(device)?)),
        })
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Wgpu(adapter) => write!(f, ", adapter {}", adapter.index()),
            Self::Reference | Self::Cpu | Self::Cuda(_) => Ok(()),
        }
    }
}

impl Backend {
    /// What it computes on.
    pub(crate) fn device(&self) -> String {
        match self {
            Self::Reference | Self::Cpu => machine::device(),
            Self::Wgpu(gpu) => gpu.device().to_owned(),
            Self::Cuda(gpu) => gpu.device().to_owned(),
        }
    }

    pub(crate) fn forward(&self, loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
        match self {
            Self::Reference => Ok(reference::forward(loss, batch)?),
            Self::Cpu => Ok(cpu::forward(loss, batch)?),
            Self::Wgpu(gpu) => gpu.forward(loss, batch),
            Self::Cuda(gpu) => gpu.forward(loss, batch),
        }
    }

    /// The loss and, in `gradient`, its gradient: `vocab` entries for each row.
    pub(crate) fn forward_backward(
        &self,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: &mut [f32],
    ) -> Result<LossValue> {
        let mut matrix = MatrixMut::new(&mut *gradient, batch.rows(), batch.vocab());
        match self {
            Self::Reference => {
                let (value, exact) = reference::forward_backward(loss, batch)?;
                for (entry, exact) in gradient.iter_mut().zip(exact) {
                    *entry = exact as f32;
                }
                Ok(value)
            }
            Self::Cpu => Ok(cpu::forward_backward(loss, batch, &mut matrix)?),
            Self::Wgpu(gpu) => gpu.forward_backward(loss, batch, &mut matrix),
            Self::Cuda(gpu) => gpu.forward_backward(loss, batch, &mut matrix),
        }
    }
}

fn adapter_of_another_backend(choice: BackendChoice, adapter: &str) -> Failure {
    let backend = choice.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    Failure::new(format!(
        "--adapter {adapter} is for the backend wgpu, but --backend is {backend}: leave out --adapter, \
         or say --backend wgpu"
    ))
}
