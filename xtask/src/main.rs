//! What is done to kdloss beside building it: `cargo xtask test` proves everything, `cargo xtask fuzz` looks for crashes,
//! `cargo xtask cuda-report` counts what the CUDA kernels do, `cargo xtask avx512` runs the CPU path on an emulated processor.

mod commands;
mod cuda;
mod cuda_report;
mod fuzz;
mod mesa;
mod steps;
mod test;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// Proves kdloss.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Formatting, lints and documentation for each set of features, all tests, the tests again under AddressSanitizer,
    /// and the example. Installs Mesa's software Vulkan and OpenGL drivers with apt where they are missing and it may,
    /// fetches NVIDIA's compilers into target/ with pip, and builds a mock of NVIDIA's driver there. Stops at the first
    /// failure, and says what each step took; with CI set, a step that cannot run is a failure too.
    Test {
        /// Also tries what the usual run leaves to a covering set: every specialisation of the CUDA kernels, and every case
        /// in every place where they keep rows. Takes half an hour longer.
        #[arg(long)]
        all: bool,
    },
    /// Feeds generated files and arguments to `kdloss eval`, under AddressSanitizer. Installs cargo-fuzz into target/ if
    /// it is missing.
    Fuzz {
        /// How long to look for crashes.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Counts what the CUDA kernels move and issue, and what that implies on real cards, into `docs/cuda-report.md`. Fetches
    /// NVIDIA's compilers into target/ with pip; needs no GPU.
    CudaReport {
        /// Compares instead of writing, and fails where the document says something else.
        #[arg(long)]
        check: bool,
    },
    /// Runs the CPU path's tests on an emulated processor that has AVX-512, for machines whose own has not. Installs the
    /// emulator (Bochs) with apt, as root, and boots a Debian kernel from a memory disk; takes about five minutes.
    Avx512,
}

fn avx512() -> commands::Result<()> {
    commands::run(Command::new(commands::project().join("xtask/avx512/run.sh")).env_remove("KDLOSS_CPU"))
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test { all } => test::run_all(all),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::CudaReport { check } => cuda_report::write(check),
        Task::Avx512 => avx512(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
