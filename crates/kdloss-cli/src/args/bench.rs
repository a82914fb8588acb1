//! The options of `kdloss bench`.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use kdloss::DType;

use super::shared::BackendChoice;

/// The options of `kdloss bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub struct BenchArgs {
    /// What computes
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub(crate) backend: BackendChoice,

    /// The adapter that wgpu computes on, as for `kdloss eval`
    #[arg(long, value_name = "ADAPTER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) adapter: Option<String>,

    /// Rows of a batch: tokens of a language model
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = positive())]
    pub(crate) rows: usize,

    /// The vocabularies, separated by commas
    #[arg(
        long,
        value_name = "V,…",
        value_delimiter = ',',
        default_value = "32000,50257,128256,151936,262144",
        value_parser = positive()
    )]
    pub(crate) vocab: Vec<usize>,

    /// The storage types of logits and gradient, separated by commas
    #[arg(long, value_enum, value_name = "TYPE,…", value_delimiter = ',', default_value = "f32,bf16")]
    pub(crate) dtype: Vec<DTypeChoice>,

    /// Threads of the processor; all, unless said
    #[arg(long, value_name = "N", value_parser = positive())]
    pub(crate) threads: Option<usize>,

    /// The temperature: at 1, 2 and 4 one exponential is had from another
    #[arg(long, value_name = "T", default_value_t = 2.0)]
    pub(crate) temperature: f64,

    /// Measure the loss alone, without its gradient
    #[arg(long)]
    pub(crate) forward_only: bool,

    /// Rounds, of which the medians are shown
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = positive())]
    pub(crate) rounds: usize,

    /// Draw the result: a PNG or SVG, by the extension
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// Print a JSON object for each line
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_HELP: &str = "\
The floor is what memory takes for the same logits with nothing computed: on the processor, two matrices read and one
written past the caches (with --forward-only, two read) by as many threads; on a GPU, a copy of one matrix, times 1.5
where there is a gradient. The floor and the loss take turns, and each loss is held against the floors before and after
it, since other programs slow both. Ideal bytes are those that must be moved: three matrices, or two.

JSON lines: backend, dtype, rows, vocab, median_ms, spread_ms (between the quartiles), floor_ms, ratio_to_floor.

Examples:
  kdloss bench --plot bench.png
  kdloss bench --vocab 151936 --dtype bf16 --rows 1024 --threads 1
  kdloss bench --backend wgpu --forward-only --json";

/// A number of things of which there must be one at least.
fn positive() -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(1..=u64::from(u32::MAX)).map(|number| number as usize)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DTypeChoice {
    /// 32-bit floats
    F32,
    /// IEEE 754 half precision
    F16,
    /// bfloat16
    Bf16,
}

impl BenchArgs {
    /// The storage types asked for.
    pub(crate) fn dtypes(&self) -> Vec<DType> {
        let dtype = |choice: &DTypeChoice| match choice {
            DTypeChoice::F32 => DType::F32,
            DTypeChoice::F16 => DType::F16,
            DTypeChoice::Bf16 => DType::Bf16,
        };
        self.dtype.iter().map(dtype).collect()
    }
}
