//! The options of `kdloss temperature`.

use std::path::PathBuf;

use clap::Args;

use super::shared::LogitsArgs;

/// The options of `kdloss temperature`.
#[derive(Debug, Args)]
#[command(after_help = TEMPERATURE_HELP)]
pub struct TemperatureArgs {
    #[command(flatten)]
    pub(crate) logits: LogitsArgs,

    /// The temperatures, separated by commas; shown in ascending order
    #[arg(
        long,
        value_name = "T,…",
        value_delimiter = ',',
        default_value = "1,2,4,8,16",
        allow_negative_numbers = true
    )]
    pub(crate) temperatures: Vec<f64>,

    /// Draw the result: a PNG or SVG, by the extension
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const TEMPERATURE_HELP: &str = "\
All figures are means over rows; labels are not read. A row that holds NaN or +inf or is masked throughout is left out
and counted. Without a student, only the teacher is shown.

How to read it: a confident teacher (top-1 near 1, entropy near 0) says little beyond the label; raise T until the other
classes have a say. Where most of the mass lies outside the top 10, T drowns what the teacher knows in its noise.
T²·KL is the soft term: it keeps its scale when T changes.

JSON: rows, vocab, dropped_teacher_columns, left_out_rows, temperatures: [{temperature, entropy (nats),
top1_probability, mass_outside_top10, kl, t2_kl}]; kl and t2_kl are null without a student; infinities are the string \"inf\".

Examples:
  kdloss temperature batch.safetensors --plot temperature.png
  kdloss temperature teacher.safetensors --teacher logits --temperatures 1,1.5,2,3";
