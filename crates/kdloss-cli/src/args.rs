//! The command line: its options and the help that teaches them.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

/// The knowledge-distillation loss of logits that lie in a file
#[derive(Debug, Parser)]
#[command(name = "kdloss", version, after_help = EXAMPLES)]
pub(crate) struct Program {
    #[command(subcommand)]
    pub(crate) command: Command,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The loss of one batch, and its gradient
    Eval(EvalArgs),
    /// How soft the teacher becomes, and how far the student is from it, at each temperature
    Temperature(TemperatureArgs),
    /// How fast this machine computes the loss, against the least that its memory takes
    Bench(BenchArgs),
    /// What this machine has, and what `--backend auto` picks
    Doctor(DoctorArgs),
}

/// Where the logits are.
#[derive(Debug, Args)]
pub(crate) struct LogitsArgs {
    /// File with the tensors, in the safetensors format
    ///
    /// Logits are [N, V] or [B, S, V], which is B·S rows; F32, F16 or BF16. Student and teacher may differ in type
    /// and width. The file is mapped, not read as a whole: leave it unchanged while the program runs.
    pub(crate) file: PathBuf,

    /// File with the teacher's logits, if it is another one
    #[arg(long, value_name = "FILE")]
    pub(crate) teacher_file: Option<PathBuf>,

    /// Name of the student's tensor [default: student]
    #[arg(long, value_name = "NAME")]
    pub(crate) student: Option<String>,

    /// Name of the teacher's tensor [default: teacher]
    #[arg(long, value_name = "NAME")]
    pub(crate) teacher: Option<String>,

    /// How many columns are classes; the others are padding [default: the smaller width]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) vocab: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = EVAL_HELP)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) logits: LogitsArgs,

    /// File with the labels, if it is another one
    #[arg(long, value_name = "FILE")]
    pub(crate) labels_file: Option<PathBuf>,

    /// Name of the labels' tensor: an I64 or I32 for each row [default: labels]
    #[arg(long, value_name = "NAME")]
    pub(crate) labels: Option<String>,

    /// Temperature T of the soft term
    #[arg(long, value_name = "T", default_value_t = 4.0, allow_negative_numbers = true)]
    pub(crate) temperature: f64,

    /// Weight of the hard (cross-entropy) term, from 0 to 1; the soft term has 1 - alpha
    ///
    /// At 1 no teacher is needed, at 0 no labels. Where labels are there all the same, they decide which rows count.
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    pub(crate) alpha: f64,

    /// How the losses of the rows become one number; with `none`, each row's is shown beside their sum
    #[arg(long, value_enum, default_value_t = ReductionChoice::Mean)]
    pub(crate) reduction: ReductionChoice,

    /// Divide the sum over rows by N, instead of a reduction: the items of a whole step, say
    #[arg(long, value_name = "N", conflicts_with = "reduction", allow_negative_numbers = true)]
    pub(crate) denominator: Option<f64>,

    /// What becomes of the soft term of rows labelled with the ignore index
    #[arg(long, value_enum, default_value_t = IgnoredRowsChoice::Skip)]
    pub(crate) ignored_rows: IgnoredRowsChoice,

    /// The label of a row without one
    #[arg(long, value_name = "LABEL", default_value_t = -100, allow_negative_numbers = true)]
    pub(crate) ignore_index: i64,

    /// Position i predicts label i + 1, as in a causal language model; for [B, S, V]
    ///
    /// The last position of each sequence and its first label are left out, whatever --ignored-rows says, as in
    /// `logits[:, :-1]` and `labels[:, 1:]`: B·(S-1) rows remain, in the result and in the gradient.
    #[arg(long)]
    pub(crate) shift: bool,

    /// What computes
    #[arg(long, value_enum, default_value_t = BackendChoice::Auto)]
    pub(crate) backend: BackendChoice,

    /// The adapter that wgpu computes on: its number in `kdloss doctor`, or a part of its name, driver or backend
    ///
    /// Case does not matter. Of several that match, and without this option, a discrete GPU comes before an integrated
    /// one, and a software adapter last. With `--backend auto`, this option asks for wgpu.
    #[arg(long, value_name = "ADAPTER", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) adapter: Option<String>,

    /// Write the gradient with respect to the student's logits to this file
    ///
    /// It becomes the tensor `grad`, F32, [rows, vocab], also where the logits have three dimensions. The file appears
    /// when it is complete.
    #[arg(long, value_name = "FILE")]
    pub(crate) grad_out: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const EVAL_HELP: &str = "\
Per row, with student logits s, teacher logits t and label y:
  hard = logsumexp(s) - s[y]
  soft = T² · KL(softmax(t / T) ‖ softmax(s / T))
  loss = alpha · hard + (1 - alpha) · soft

JSON: loss, hard, soft, rows, vocab, counted_rows (rows whose label is a class; all, without labels), nonfinite_rows
(rows that count for a term and hold NaN or +inf or are masked throughout), backend, device, milliseconds (of the
computation; on a GPU, of compiling the kernels and of transfers too); with --reduction none also row_losses, and loss,
hard and soft are sums. A term that is not computed is null; infinities and NaN are the strings \"inf\", \"-inf\" and
\"nan\".

Examples:
  kdloss eval batch.safetensors --temperature 2 --alpha 0.1
  kdloss eval student.safetensors --teacher-file teacher.safetensors --teacher logits --student logits
  kdloss eval lm.safetensors --shift --denominator 4096       a language model, under gradient accumulation
  kdloss eval batch.safetensors --alpha 0 --grad-out grad.safetensors --json
  kdloss eval batch.safetensors --backend wgpu --adapter nvidia";

#[derive(Debug, Args)]
#[command(after_help = TEMPERATURE_HELP)]
pub(crate) struct TemperatureArgs {
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

JSON: rows, vocab, left_out_rows, temperatures: [{temperature, entropy (nats), top1_probability,
mass_outside_top10, kl, t2_kl}]; kl and t2_kl are null without a student; infinities are the string \"inf\".

Examples:
  kdloss temperature batch.safetensors --plot temperature.png
  kdloss temperature teacher.safetensors --teacher logits --temperatures 1,1.5,2,3";

#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct BenchArgs {
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

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReductionChoice {
    /// Each term divided by the rows that count for it
    Mean,
    /// The sum over rows
    Sum,
    /// The loss of each row, and their sum
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IgnoredRowsChoice {
    /// It is 0: the row does not count
    Skip,
    /// It counts: the teacher knows something about the row
    SoftOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    /// The first that is built in and has a GPU: cuda, wgpu; else cpu. Never a software adapter
    Auto,
    /// The scalar f64 oracle: slow, and right
    Reference,
    /// The processor's cores
    Cpu,
    /// Any GPU, through WGSL kernels; a software adapter where there is no other
    Wgpu,
    /// NVIDIA GPUs, through CUDA kernels; CUDA_VISIBLE_DEVICES decides which of several
    Cuda,
}

impl EvalArgs {
    /// The loss that the options describe.
    pub(crate) fn loss(&self) -> DistillationLoss {
        let reduction = match (self.denominator, self.reduction) {
            (Some(denominator), _) => Reduction::DividedBy(denominator),
            (None, ReductionChoice::Mean) => Reduction::Mean,
            (None, ReductionChoice::Sum) => Reduction::Sum,
            (None, ReductionChoice::None) => Reduction::None,
        };
        let ignored_rows = match self.ignored_rows {
            IgnoredRowsChoice::Skip => IgnoredRows::Skip,
            IgnoredRowsChoice::SoftOnly => IgnoredRows::SoftOnly,
        };
        DistillationLoss::new()
            .with_temperature(self.temperature)
            .with_alpha(self.alpha)
            .with_reduction(reduction)
            .with_ignored_rows(ignored_rows)
            .with_ignore_index(self.ignore_index)
    }
}
