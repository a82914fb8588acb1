//! Which backend computes, and on which device: what the options ask for.

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;

use crate::args::BackendChoice;
use crate::failure::{Failure, Result};

use super::contest::Contest;
use super::cpu::{Cpu, CpuContest};
use super::device::Device;
use super::engine::Engine;
use super::problem::Problem;
use super::providers::{CUDA, PROVIDERS, WGPU};
use super::reference::Reference;

/// A backend that is there.
pub(crate) enum Pick {
    Reference,
    Cpu,
    Gpu(Arc<dyn Device>),
}

impl Pick {
    /// What the options ask for. To wish for an adapter is to ask for wgpu.
    pub(crate) fn new(choice: BackendChoice, adapter: Option<&str>) -> Result<Self> {
        match (choice, adapter) {
            (BackendChoice::Wgpu, _) | (BackendChoice::Auto, Some(_)) => WGPU.choose(adapter).map(Self::Gpu),
            (other, Some(adapter)) => Err(adapter_of_another_backend(other, adapter)),
            (BackendChoice::Auto, None) => {
                Ok(Self::auto(PROVIDERS.into_iter().map(|provider| provider.devices().unwrap_or_default())))
            }
            (BackendChoice::Reference, None) => Ok(Self::Reference),
            (BackendChoice::Cpu, None) => Ok(Self::Cpu),
            (BackendChoice::Cuda, None) => CUDA.choose(None).map(Self::Gpu),
        }
    }

    /// What `auto` picks where these are the devices of [`PROVIDERS`], in that order: the best of the first that has any, else
    /// the processor. A software device runs on the processor as well, slower than the backend that is made for it.
    pub(crate) fn auto(mut devices: impl Iterator<Item = Vec<Arc<dyn Device>>>) -> Self {
        let best = devices.find_map(|devices| {
            devices.into_iter().filter(|device| !device.is_software()).min_by_key(|device| device.rank())
        });
        best.map_or(Self::Cpu, Self::Gpu)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Cpu => "cpu",
            Self::Gpu(device) => device.backend(),
        }
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Engine>> {
        match self {
            Self::Reference => Ok(Box::new(Reference)),
            Self::Cpu => Ok(Box::new(Cpu)),
            Self::Gpu(device) => device.open(),
        }
    }

    /// At multiples of how many elements rows begin that are measured: on the processor they follow one another, as most
    /// programs have them; GPUs are given rows that begin at vectors.
    pub(crate) fn row_multiple(&self) -> usize {
        if matches!(self, Self::Gpu(_)) { 8 } else { 1 }
    }

    pub(crate) fn contest(&self, problem: Problem) -> Result<Box<dyn Contest>> {
        match self {
            Self::Reference => {
                Err(Failure::new("--backend reference: it is written to be read, not timed; use cpu, wgpu or cuda"))
            }
            Self::Cpu => Ok(Box::new(CpuContest::new(problem))),
            Self::Gpu(device) => device.contest(problem),
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference | Self::Cpu => f.write_str(self.name()),
            Self::Gpu(device) => f.write_str(&device.label()),
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
