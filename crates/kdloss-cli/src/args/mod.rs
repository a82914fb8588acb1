//! The command line: its options and the help that teaches them.

mod bench;
mod completions;
mod eval;
mod shared;
mod temperature;

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

pub use bench::BenchArgs;
pub use completions::CompletionsArgs;
pub use eval::EvalArgs;
pub(crate) use eval::ReductionChoice;
pub(crate) use shared::BackendChoice;
pub use shared::LogitsArgs;
pub use temperature::TemperatureArgs;

/// The knowledge-distillation loss of logits that lie in a file
#[derive(Debug, Parser)]
#[command(name = "kdloss", version, after_help = EXAMPLES)]
pub struct Program {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Write a batch from Python:
  from safetensors.torch import save_file
  save_file({\"student\": s, \"teacher\": t, \"labels\": y}, \"batch.safetensors\")

Then:
  kdloss eval batch.safetensors                   the loss, at temperature 4 and alpha 0.5
  kdloss temperature batch.safetensors            how soft the teacher becomes at T = 1, 2, 4, 8, 16
  kdloss bench --plot bench.png                   how fast this machine computes the loss
  kdloss doctor                                   what this machine has

RAYON_NUM_THREADS sets the number of threads. Any mistake gives exit code 2; one in a file, a tensor or a number of the
loss is told in one line on stderr, which says what to do.";

/// What to do, and with which options.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The loss of one batch, and its gradient
    Eval(EvalArgs),
    /// How soft the teacher becomes, and how far the student is from it, at each temperature
    Temperature(TemperatureArgs),
    /// How fast this machine computes the loss, against the least that its memory takes
    Bench(BenchArgs),
    /// What this machine has, and what `--backend auto` picks
    Doctor(DoctorArgs),
    /// What a shell needs to complete these options
    Completions(CompletionsArgs),
}

impl Program {
    /// The process's arguments. Where they are wrong, or ask for help, this prints what there is to say and ends the
    /// process.
    #[must_use]
    pub fn from_arguments() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        let takes_a_file = words.get(1).is_some_and(|command| command == "eval" || command == "temperature");
        Self::try_parse_from(words).unwrap_or_else(|mut error| {
            if takes_a_file && error.kind() == ErrorKind::UnknownArgument {
                suggest_teacher_file(&mut error);
            }
            error.exit()
        })
    }
}

/// A second file is most likely the teacher's.
fn suggest_teacher_file(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    if !word.starts_with('-') {
        let tip = StyledStr::from(format!("the teacher's logits in a file of their own are `--teacher-file {word}`"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
}

/// The options of `kdloss doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
