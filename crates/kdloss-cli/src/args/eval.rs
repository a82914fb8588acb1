//! The options of `kdloss eval`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use kdloss::{DistillationLoss, IgnoredRows, Reduction};

use super::shared::{BackendChoice, LogitsArgs};

/// The options of `kdloss eval`.
#[derive(Debug, Args)]
#[command(after_help = EVAL_HELP)]
pub struct EvalArgs {
    /// Where the logits are.
    #[command(flatten)]
    pub logits: LogitsArgs,

    /// File with the labels, if it is another one
    #[arg(long, value_name = "FILE")]
    pub labels_file: Option<PathBuf>,

    /// Name of the labels' tensor: a whole number for each row [default: labels]
    ///
    /// [N] or [B, S], also with an axis of 1 behind: [N, 1], [B, S, 1]. I64 or I32; I16, I8, U32, U16 and U8 are
    /// converted.
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
    /// when it is complete, where a symbolic link leads. A pipe or a device is written to directly; where it is
    /// /dev/stdout, the result goes to stderr.
    #[arg(long, value_name = "FILE")]
    pub grad_out: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const EVAL_HELP: &str = "\
Per row, with student logits s, teacher logits t and label y:
  hard = logsumexp(s) - s[y]
  soft = T² · KL(softmax(t / T) ‖ softmax(s / T))
  loss = alpha · hard + (1 - alpha) · soft

JSON: loss, hard, soft, rows, vocab, dropped_teacher_columns (those that are no classes, as the student has fewer or
--vocab says), counted_rows (rows whose label is a class; all, without labels), nonfinite_rows (rows that count for a
term and hold NaN or +inf or are masked throughout), backend, device, milliseconds (of the
computation; on a GPU, of compiling the kernels and of transfers too); with --reduction none also row_losses, and loss,
hard and soft are sums. A term that is not computed is null; infinities and NaN are the strings \"inf\", \"-inf\" and
\"nan\".

Examples:
  kdloss eval batch.safetensors --temperature 2 --alpha 0.1
  kdloss eval student.safetensors --teacher-file teacher.safetensors --teacher logits --student logits
  kdloss eval lm.safetensors --shift --denominator 4096       a language model, under gradient accumulation
  kdloss eval batch.safetensors --alpha 0 --grad-out grad.safetensors --json
  kdloss eval batch.safetensors --backend wgpu --adapter nvidia
  kdloss eval batch.safetensors --strict --grad-out grad.safetensors      no gradient of a mistake";

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
