//! Which vector instructions compute. A call chooses once; from there on, the loops know only [`Simd`].

use super::portable::Portable;
use super::{Simd, Task};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};
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
    /// What the program is compiled for: the compiler makes vector instructions of plain loops.
    Portable,
}

impl Instructions {
    /// All sets, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// Whether this processor has the set.
    #[must_use]
    pub fn is_available(self) -> bool {
        DetectedInstructions::detect(self).is_some()
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

/// A set that this processor has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DetectedInstructions {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl DetectedInstructions {
    /// The set, if this processor has it.
    ///
    /// # Errors
    ///
    /// [`Error::Instructions`] if it has not.
    pub(crate) fn new(instructions: Instructions) -> Result<Self> {
        Self::detect(instructions).ok_or_else(|| unavailable(instructions.name()))
    }

    fn detect(instructions: Instructions) -> Option<Self> {
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

    /// Does a task by this set.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(task),
            Self::Portable(simd) => simd.run(task),
        }
    }
}

/// The set that `KDLOSS_CPU` names; the fastest of this processor if the variable is not set.
///
/// # Errors
///
/// [`Error::Instructions`] if the variable names no set, or one that this processor lacks.
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

fn unavailable(wanted: &str) -> Error {
    let available = Instructions::ALL.into_iter().filter(|set| set.is_available()).map(Instructions::name);
    Error::Instructions { wanted: wanted.to_owned(), available: available.collect::<Vec<_>>().join(", ") }
}
