//! The `kdloss` program: what the library says about logits that lie in a file.
//!
//! ```text
//! kdloss eval batch.safetensors           the loss of one batch, and its gradient
//! kdloss temperature batch.safetensors    how soft the teacher becomes at each temperature
//! kdloss bench                            how fast this machine computes the loss
//! kdloss doctor                           what this machine has, and what `auto` picks
//! ```
//!
//! A command reads its arguments (`args`), maps files (`tensors`, `inputs`), asks one of the library's backends
//! (`backend`; `cuda`, and `gpu` for the one that has adapters to choose from), and prints (`output`).
//! What stops a command becomes one line on stderr and exit code 2 (`failure`); wrong arguments have the same code, and
//! clap's words. A file is written whole or not at all (`output_file`).

mod args;
mod backend;
mod bench;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "cuda/absent.rs"]
mod cuda;
mod doctor;
mod eval;
mod failure;
#[cfg(feature = "wgpu")]
mod gpu;
#[cfg(not(feature = "wgpu"))]
#[path = "gpu/absent.rs"]
mod gpu;
mod inputs;
mod logits;
mod machine;
mod output;
mod output_file;
mod panels;
mod plot;
mod remedy;
mod softness;
mod temperature;
mod tensors;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

pub(crate) use args::{Command, Program};
use failure::{Failure, Result};

/// `kdloss bench` tells how much memory the loss takes.
#[global_allocator]
static ALLOCATOR: bench::Counting = bench::Counting;

fn main() -> ExitCode {
    // SAFETY: the program has just started, and has no thread but this one.
    #[cfg(feature = "wgpu")]
    unsafe {
        gpu::leave_out_device_select_layer();
    }
    match run(Program::parse().command, &mut std::io::stdout().lock()) {
        // Whoever closed the pipe, as `head` does, has read what it wanted.
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Runs one command; its result goes to `out`.
pub(crate) fn run(command: Command, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::Eval(args) => eval::run(&args, out),
        Command::Temperature(args) => temperature::run(&args, out),
        Command::Bench(args) => bench::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
    }
}
