//! What can be computed, but is hardly what was meant: said on stderr, and an error where `--strict` asks for it.

use std::io::Write;

use kdloss::LossValue;

use crate::failure::{Failure, Result};
use crate::logits::LogitsRows;

/// Rows that are looked at: those of real logits are told from probabilities by the first entry below 0.
const ROWS_ASKED: usize = 16;

/// How far from 1 probabilities may sum to: bfloat16 keeps eight bits of each.
const ROUNDING: f64 = 1e-2;

/// One column in so many may be padding of the teacher's; more, and another tokenizer is likely.
const PADDING: usize = 20;

/// What there is to say on stderr.
pub(crate) struct Doubts {
    strict: bool,
}

impl Doubts {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict }
    }

    /// Says the doubt, if there is one; strictly, it is an error.
    pub(crate) fn raise(&self, doubt: Option<String>) -> Result<()> {
        match doubt.map(Failure::new) {
            Some(doubt) if self.strict => Err(doubt),
            Some(doubt) => {
                // Who closes stderr wants no warnings.
                let _ = writeln!(std::io::stderr(), "warning: {doubt}");
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Logits that are probabilities: no entry is below 0, and each row sums to 1. Rows of zeros are padding.
pub(crate) fn probabilities(whose: &str, logits: &LogitsRows<'_>) -> Option<String> {
    let (mut row, mut asked) = (Vec::new(), 0);
    for index in 0..logits.rows {
        logits.read_row(index, logits.cols, &mut row);
        if !row.iter().all(|&entry| entry >= 0.0) {
            return None;
        }
        let sum: f64 = row.iter().copied().map(f64::from).sum();
        match sum {
            0.0 => continue,
            sum if (sum - 1.0).abs() <= ROUNDING => asked += 1,
            _ => return None,
        }
        if asked == ROWS_ASKED {
            break;
        }
    }
    (asked > 0 && logits.cols > 1).then(|| {
        format!(
            "the {whose}'s rows look like probabilities (none is below 0, each row sums to 1), but the loss takes logits \
             and applies softmax itself: save the logits, or the logarithms of the probabilities"
        )
    })
}

/// A student so much narrower than the teacher that padding does not explain it; `vocab` classes were not asked for.
pub(crate) fn dropped_columns(teacher: usize, vocab: usize) -> Option<String> {
    let dropped = teacher - vocab;
    (dropped > teacher / PADDING).then(|| {
        format!(
            "{dropped} of the teacher's {teacher} columns are dropped, since the student has {vocab}: has it another \
             tokenizer? --vocab {vocab} says that this is meant"
        )
    })
}

/// A loss that is NaN.
pub(crate) fn nan_loss(value: &LossValue) -> Option<String> {
    let is_nan = |row: &kdloss::RowLoss| row.total.is_nan();
    let first = value.rows.iter().position(is_nan).filter(|_| value.loss.is_nan())?;
    let (nan, rows) = (value.rows.iter().filter(|row| is_nan(row)).count(), value.rows.len());
    Some(format!(
        "the loss is NaN, as that of {nan} of {rows} rows is, row {first} first: they hold NaN or +inf or are masked \
         throughout; check what wrote the file"
    ))
}
