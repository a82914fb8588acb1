//! The report on the CUDA kernels, which has a program of its own: it needs the crate, and this one stays small.

use crate::commands::{Result, cargo, run};
use crate::cuda;

/// Writes `docs/cuda-report.md`, or compares it.
pub(crate) fn write(check: bool) -> Result<()> {
    cuda::provide()?;
    let mut command = cargo(&["run", "--quiet", "--package", "cuda-report", "--features", "cuda", "--"]);
    if check {
        command.arg("--check");
    }
    // The versions decide what is counted: those that were fetched, unless the environment names others.
    for (variable, path) in cuda::provided() {
        if std::env::var_os(variable).is_none() {
            command.env(variable, path);
        }
    }
    run(&mut command)
}
