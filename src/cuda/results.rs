//! Reading what a launch leaves behind.

use super::params::{RowRecord, Totals};
use crate::batch::Checked;
use crate::error::{Error, Result};
use crate::loss::DistillationLoss;
use crate::value::{LossValue, RowLoss};

/// The loss of a batch, from the totals and the records that a launch has written.
///
/// # Errors
///
/// [`Error::LabelOutOfRange`] with the first row whose label is neither a class nor the ignored value.
pub fn read(loss: &DistillationLoss, vocab: usize, totals: &Totals, records: &[RowRecord]) -> Result<LossValue> {
    if totals.bad_label_row != Totals::NO_ROW {
        let (row, label) = (totals.bad_label_row as usize, totals.bad_label);
        return Err(Error::LabelOutOfRange { row, label, vocab, ignore_index: loss.ignore_index });
    }
    let rows =
        records.iter().map(|record| RowLoss::new(loss, f64::from(record.hard), f64::from(record.soft))).collect();
    let checked = Checked {
        rows: records.len(),
        vocab,
        labelled_rows: totals.labelled_rows as usize,
        soft_rows: totals.soft_rows as usize,
    };
    Ok(LossValue::reduce(loss, &checked, rows, totals.nonfinite_rows as usize))
}
