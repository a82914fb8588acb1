//! The `kdloss` program: what the library says about logits that lie in a file. This crate is for its process and its fuzzer;
//! programs of your own want the crate `kdloss`.
//!
//! ```text
//! kdloss eval batch.safetensors           the loss of one batch, and its gradient
//! kdloss temperature batch.safetensors    how soft the teacher becomes at each temperature
//! kdloss bench                            how fast this machine computes the loss
//! kdloss doctor                           what this machine has, and what `auto` picks
//! kdloss completions bash                 what a shell needs to complete the options
//! ```
//!
//! A command reads its arguments (`args`), maps files (`tensors`, or what they are instead: `foreign`), takes logits and labels
//! out of them (`inputs`, `logits`, `labels`, `elements`), asks one of the library's backends (`backend`), and prints
//! (`output`) or draws (`plot`). What is hardly meant is a warning on stderr (`doubts`). What stops a command becomes one line on stderr and exit code 2
//! (`failure`); wrong arguments have the same code, and clap's words. A file is written whole or not at all (`output_file`),
//! also where a signal ends the program (`temporary`, `signals`); what a path leads to decides how (`destination`).

mod args;
mod backend;
mod bench;
mod chart;
mod completions;
mod destination;
mod doctor;
mod doubts;
mod elements;
mod eval;
mod failure;
mod foreign;
mod inputs;
mod labels;
mod logits;
mod machine;
mod memory;
mod output;
mod output_file;
mod plot;
mod remedy;
mod signals;
mod temperature;
mod temporary;
mod tensors;

use std::io::Write;

pub use args::{BenchArgs, Command, CompletionsArgs, DoctorArgs, EvalArgs, LogitsArgs, Program, TemperatureArgs};
#[cfg(feature = "wgpu")]
pub use backend::leave_out_device_select_layer;
pub use failure::{Failure, Result};
pub use memory::Counting;

/// Runs one command; its result goes to `out`.
///
/// # Errors
///
/// Why the command stopped.
pub fn run(command: Command, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::Eval(args) => eval::run(&args, out),
        Command::Temperature(args) => temperature::run(&args, out),
        Command::Bench(args) => bench::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Completions(args) => completions::run(&args, out),
    }
}
