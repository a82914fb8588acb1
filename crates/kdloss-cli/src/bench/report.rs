//! What is said about the measurements: a table for people, JSON lines for programs.

use std::io::Write;

use kdloss::DType;
use kdloss::cpu::bracket::{Spread, spread};
use serde_json::{Value, json};

use crate::args::BenchArgs;
use crate::failure::Result;
use crate::output::{readable_bytes, sentence, table};

/// Seconds of one turn: the loss, and the mean of the floors before and after it.
pub(super) struct Round {
    pub(super) loss: f64,
    pub(super) floor: f64,
}

/// One vocabulary in one storage type.
pub(super) struct Line {
    pub(super) backend: &'static str,
    pub(super) dtype: DType,
    pub(super) rows: usize,
    pub(super) vocab: usize,
    pub(super) rounds: Vec<Round>,
    pub(super) extra_bytes: Option<u64>,
}

impl Line {
    /// Seconds of the loss.
    pub(super) fn loss(&self) -> Spread {
        spread(self.rounds.iter().map(|round| round.loss))
    }

    pub(super) fn floor(&self) -> Spread {
        spread(self.rounds.iter().map(|round| round.floor))
    }

    /// The loss over the floors beside it.
    pub(super) fn ratio(&self) -> Spread {
        spread(self.rounds.iter().map(|round| round.loss / round.floor))
    }

    /// Bytes that must be read and written.
    pub(super) fn ideal_bytes(&self, args: &BenchArgs) -> f64 {
        let matrices = if args.forward_only { 2 } else { 3 };
        (matrices * self.rows * self.vocab * self.dtype.size()) as f64
    }

    pub(super) fn as_json(&self) -> Value {
        let loss = self.loss();
        json!({
            "backend": self.backend,
            "dtype": self.dtype.to_string(),
            "rows": self.rows,
            "vocab": self.vocab,
            "median_ms": 1e3 * loss.median,
            "spread_ms": 1e3 * (loss.high - loss.low),
            "floor_ms": 1e3 * self.floor().median,
            "ratio_to_floor": self.ratio().median,
        })
    }

    fn cells(&self, args: &BenchArgs) -> [String; 8] {
        let (loss, floor, ratio) = (self.loss(), self.floor(), self.ratio());
        let cell = |statistic: &Spread, scale: f64| {
            let [median, low, high] =
                [statistic.median, statistic.low, statistic.high].map(|value| short(scale * value));
            format!("{median} ({low}–{high})")
        };
        [
            self.dtype.to_string(),
            self.vocab.to_string(),
            cell(&loss, 1e3),
            short(1e3 * floor.median),
            cell(&ratio, 1.0),
            format!("{:.1}", self.ideal_bytes(args) / loss.median / 1e9),
            format!("{:.0}", self.rows as f64 / loss.median),
            self.extra_bytes.map_or("–".to_owned(), readable_bytes),
        ]
    }
}

/// A number in three digits, or more where they stand before the point.
fn short(number: f64) -> String {
    let decimals = match number {
        10.0..100.0 => 1,
        100.0.. => 0,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

pub(super) fn write_table(lines: &[Line], args: &BenchArgs, device: &str, out: &mut dyn Write) -> Result<()> {
    let mut table = table(&["dtype", "vocab", "ms", "floor ms", "× floor", "GB/s", "tokens/s", "extra"], 1..8);
    for line in lines {
        table.add_row(line.cells(args));
    }
    let backend = lines.first().map_or("", |line| line.backend);
    let what = if args.forward_only { "forward" } else { "forward + backward" };
    let heading = format!("{backend} on {device}: {what}, {} rows, T = {}", args.rows, args.temperature);
    let legend = format!(
        "medians of {} rounds (and the quartiles around them); each loss is held against the floors before and after it; \
         GB/s of the bytes that must be moved; extra memory is what is taken beside logits, labels and gradient",
        args.rounds
    );
    writeln!(out, "{}\n{table}\n{}", sentence(&heading), sentence(&legend))?;
    Ok(())
}
