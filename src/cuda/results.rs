//! Reading what a launch leaves behind.

use super::params::{RowRecord, Totals};
use super::placed::Placed;
use crate::call::{Call, Counts};
use crate::error::{Error, Result};
use crate::value::{LossValue, RowLoss};

/// The loss of a call, from the totals and the records that its launch has written.
///
/// # Errors
///
/// [`Error::LabelOutOfRange`] with the first row whose label is neither a class nor the ignored value.
pub(super) fn read(call: &Call, totals: &Totals, records: &[RowRecord]) -> Result<LossValue> {
    if totals.bad_label_row != Totals::NO_ROW {
        return Err(Error::LabelOutOfRange {
            row: totals.bad_label_row as usize,
            label: totals.bad_label,
            vocab: call.vocab,
            ignore_index: call.loss.ignore_index,
        });
    }
    let rows =
        records.iter().map(|record| RowLoss::new(&call.loss, f64::from(record.hard), f64::from(record.soft))).collect();
    let counts = Counts { labelled_rows: totals.labelled_rows as usize, soft_rows: totals.soft_rows as usize };
    Ok(LossValue::reduce(call, counts, rows, totals.nonfinite_rows as usize))
}

impl Placed {
    /// The loss, for those who launch the kernel otherwise.
    #[doc(hidden)]
    pub fn read(&self, totals: &Totals, records: &[RowRecord]) -> Result<LossValue> {
        read(&self.call, totals, records)
    }
}
