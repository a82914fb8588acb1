//! `kdloss eval`: the loss of one batch, and its gradient.

use std::io::Write;
use std::time::Instant;

use kdloss::{Batch, DistillationLoss, LossValue};
use serde_json::{Map, Value, json};

use crate::args::{EvalArgs, ReductionChoice};
use crate::backend::{Engine, Pick};
use crate::doubts::{self, Doubts};
use crate::failure::{Failure, Result};
use crate::inputs::{EvalInputs, Files, paths};
use crate::output::{json_number, json_optional, readable_number, readable_optional, sentence, table};
use crate::output_file::OutputFile;

/// Rows of which a person is shown the loss.
const ROWS_SHOWN: usize = 20;

/// What there is to say about a batch.
struct Report<'a> {
    args: &'a EvalArgs,
    loss: DistillationLoss,
    pick: Pick,
    engine: Box<dyn Engine>,
    vocab: usize,
    /// Columns that the teacher has beyond those.
    dropped: usize,
    value: LossValue,
    milliseconds: f64,
}

pub(crate) fn run(args: &EvalArgs, out: &mut dyn Write) -> Result<()> {
    let loss = args.loss();
    loss.validate()?;
    let labels_file = args.labels_file.as_deref();
    let files = Files::open(&args.logits, labels_file)?;
    let inputs = EvalInputs::read(args, &loss, &files)?;
    let (rows, vocab) = (inputs.rows(), inputs.vocab);
    let doubts = Doubts::new(args.logits.strict);
    inputs.raise(&doubts, args.logits.vocab.is_some())?;
    // A GPU's driver takes a while to load: only once there is something to compute.
    let pick = Pick::new(args.backend, args.adapter.as_deref())?;
    let engine = pick.open()?;
    let input_paths = paths(&args.logits, labels_file);
    let output = args.grad_out.as_deref().map(|path| OutputFile::create(path, &input_paths)).transpose()?;

    // A gradient that is read from stdout must not end with a table.
    let report_to_stderr = output.as_ref().is_some_and(OutputFile::is_stdout);
    let batch = inputs.batch();
    let mut gradient = output.as_ref().map(|_| gradient_buffer(&batch)).transpose()?;
    let (value, milliseconds) = timed(|| engine.evaluate(&loss, &batch, gradient.as_deref_mut()))?;
    doubts.raise(doubts::nan_loss(&value))?;
    if let Some((mut output, gradient)) = output.zip(gradient) {
        output.write_gradient(&gradient, rows, vocab)?;
        output.finish()?;
    }
    let dropped = inputs.dropped_teacher_columns();
    let report = Report { args, loss, pick, engine, vocab, dropped, value, milliseconds };
    let mut stderr = std::io::stderr();
    let out = if report_to_stderr { &mut stderr } else { out };
    if args.json { report.write_json(out) } else { report.write_table(out) }
}

fn timed(compute: impl FnOnce() -> Result<LossValue>) -> Result<(LossValue, f64)> {
    let start = Instant::now();
    let value = compute()?;
    Ok((value, start.elapsed().as_secs_f64() * 1e3))
}

/// Room for the gradient; a batch too large for this machine is an error, not an abort.
fn gradient_buffer(batch: &Batch<'_>) -> Result<Vec<f32>> {
    let (rows, vocab) = (batch.rows(), batch.vocab());
    let too_large = || Failure::new(format!("the gradient of {rows} x {vocab} f32 entries does not fit in memory"));
    let len = rows.checked_mul(vocab).ok_or_else(too_large)?;
    let mut gradient = Vec::new();
    gradient.try_reserve_exact(len).map_err(|_| too_large())?;
    gradient.resize(len, 0.0);
    Ok(gradient)
}

impl Report<'_> {
    fn shows_rows(&self) -> bool {
        self.args.denominator.is_none() && self.args.reduction == ReductionChoice::None
    }

    fn write_json(&self, out: &mut dyn Write) -> Result<()> {
        let value = &self.value;
        let mut object = Map::new();
        object.insert("loss".into(), json_number(value.loss));
        object.insert("hard".into(), json_optional(value.hard));
        object.insert("soft".into(), json_optional(value.soft));
        object.insert("rows".into(), json!(value.rows.len()));
        object.insert("vocab".into(), json!(self.vocab));
        object.insert("dropped_teacher_columns".into(), json!(self.dropped));
        object.insert("counted_rows".into(), json!(value.counted_rows));
        object.insert("nonfinite_rows".into(), json!(value.nonfinite_rows));
        object.insert("backend".into(), json!(self.pick.name()));
        object.insert("device".into(), json!(self.engine.device()));
        object.insert("milliseconds".into(), json_number(self.milliseconds));
        if self.shows_rows() {
            object.insert("row_losses".into(), value.rows.iter().map(|row| json_number(row.total)).collect());
        }
        writeln!(out, "{}", Value::Object(object))?;
        Ok(())
    }

    fn write_table(&self, out: &mut dyn Write) -> Result<()> {
        let (value, loss) = (&self.value, &self.loss);
        let mut table = table(&["", "value", "meaning"], 1..2);
        let mut row = |name: &str, value: String, meaning: &str| {
            table.add_row([name, &value, meaning]);
        };
        row("loss", readable_number(value.loss), &format!("alpha · hard + (1 - alpha) · soft, {}", self.reduction()));
        row("hard", readable_optional(value.hard), "cross-entropy with the labels");
        row("soft", readable_optional(value.soft), "T² · KL(teacher ‖ student)");
        row("rows", value.rows.len().to_string(), if self.args.shift { "positions that predict a label" } else { "" });
        row("counted rows", value.counted_rows.to_string(), "rows whose label is a class; all, without labels");
        row(
            "nonfinite rows",
            value.nonfinite_rows.to_string(),
            "of the rows that count: with NaN or +inf, or masked throughout",
        );
        row("vocabulary", self.vocab.to_string(), &self.what_columns_are());
        row("temperature", loss.temperature.to_string(), "");
        row("alpha", loss.alpha.to_string(), "weight of the hard term");
        row("backend", self.pick.to_string(), &self.engine.device());
        row("milliseconds", format!("{:.3}", self.milliseconds), self.what_takes_time());
        writeln!(out, "{table}")?;
        if self.shows_rows() {
            self.write_rows(out)?;
        }
        if let Some(path) = &self.args.grad_out {
            let written = format!("gradient [{}, {}] written to {}", value.rows.len(), self.vocab, path.display());
            writeln!(out, "{}", sentence(&written))?;
        }
        Ok(())
    }

    fn what_columns_are(&self) -> String {
        match self.dropped {
            0 => "columns that are classes".into(),
            dropped => format!("columns that are classes; {dropped} more of the teacher's are dropped"),
        }
    }

    fn what_takes_time(&self) -> &'static str {
        if self.engine.compiles_and_transfers() {
            "the computation, with the file's first reading, compilation and transfers"
        } else {
            "the computation, first reading of the file included"
        }
    }

    fn reduction(&self) -> String {
        match (self.args.denominator, self.args.reduction) {
            (Some(denominator), _) => format!("sum over rows / {denominator}"),
            (None, ReductionChoice::Mean) => "mean over rows".into(),
            (None, ReductionChoice::Sum | ReductionChoice::None) => "sum over rows".into(),
        }
    }

    fn write_rows(&self, out: &mut dyn Write) -> Result<()> {
        let rows = &self.value.rows;
        let mut table = table(&["row", "loss", "hard", "soft"], 0..4);
        for (index, row) in rows.iter().take(ROWS_SHOWN).enumerate() {
            let terms = [readable_number(row.total), readable_optional(row.hard), readable_optional(row.soft)];
            table.add_row([vec![index.to_string()], terms.to_vec()].concat());
        }
        writeln!(out, "{table}")?;
        if let Some(more @ 1..) = rows.len().checked_sub(ROWS_SHOWN) {
            writeln!(out, "and {more} more rows: --json shows all")?;
        }
        Ok(())
    }
}
