//! Which vector instructions compute, chosen once per call: the seam between the loops and the processor.

use super::simd::Simd;
use super::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::simd::{avx2::Avx2, avx512::Avx512};
use crate::error::{Error, Result};

/// The environment variable that chooses the instructions: `avx512`, `avx2` or `portable`.
const VARIABLE: &str = "KDLOSS_CPU";

/// A set of vector instructions.
///
/// The same input gives the same bits on any number of threads; two sets may differ in the last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Instructions {
    /// AVX-512 F, DQ and VL: 16 lanes.
    Avx512,
    /// AVX2, fused multiply-add and F16C: 8 lanes.
    Avx2,
    /// What the program is compiled for, by way of loops that the compiler vectorises.
    Portable,
}

impl Instructions {
    /// All sets, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Whether this processor has the set.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// As `KDLOSS_CPU` spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }
}

impl std::fmt::Display for Instructions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that is computed with whatever instructions there are.
pub(super) trait Task {
    type Output;
    /// To be inlined whole: what is not is compiled without the instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A set that this processor was found to have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Detected {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Detected {
    pub(super) fn new(instructions: Instructions) -> Option<Self> {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(not(target_arch = "x86_64"))]
            Instructions::Avx512 | Instructions::Avx2 => None,
            Instructions::Portable => Some(Self::Portable(Portable)),
        }
    }

    pub(super) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            // SAFETY: an `Avx512` is a proof that the processor has these instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => unsafe { run_avx512(task, simd) },
            // SAFETY: an `Avx2` is a proof that the processor has these instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => unsafe { run_avx2(task, simd) },
            Self::Portable(simd) => task.run(simd),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn run_avx512<T: Task>(task: T, simd: Avx512) -> T::Output {
    task.run(simd)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn run_avx2<T: Task>(task: T, simd: Avx2) -> T::Output {
    task.run(simd)
}

/// What `KDLOSS_CPU` asks for, else the best set of this processor.
///
/// # Errors
///
/// [`Error::Instructions`] where the variable names no set, or one that this processor lacks.
pub fn instructions() -> Result<Instructions> {
    let best = || Instructions::ALL.into_iter().find(|set| set.is_available()).unwrap_or(Instructions::Portable);
    match std::env::var_os(VARIABLE) {
        None => Ok(best()),
        Some(wanted) => {
            let set = Instructions::ALL.into_iter().find(|set| wanted == set.name() && set.is_available());
            set.ok_or_else(|| unavailable(&wanted.to_string_lossy()))
        }
    }
}

pub(super) fn unavailable(wanted: &str) -> Error {
    let available = Instructions::ALL.into_iter().filter(|set| set.is_available()).map(Instructions::name);
    Error::Instructions { wanted: wanted.to_owned(), available: available.collect::<Vec<_>>().join(", ") }
}
