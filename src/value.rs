//! The loss of a batch, and how the losses of its rows become it.

use crate::call::{Call, Counts};
use crate::loss::DistillationLoss;

/// The loss of a batch. See [`Reduction`](crate::Reduction) for how rows become these numbers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LossValue {
    /// `alpha · hard + (1 - alpha) · soft`; under [`Reduction::None`](crate::Reduction::None) the sum over rows.
    pub loss: f64,
    /// The reduced hard term; `None` if it is not computed (`alpha = 0`).
    pub hard: Option<f64>,
    /// The reduced soft term, the factor `T²` included; `None` if it is not computed (`alpha = 1`).
    pub soft: Option<f64>,
    /// The terms of each row, before any reduction.
    pub rows: Vec<RowLoss>,
    /// Rows whose label is a class; all rows where there are no labels.
    pub counted_rows: usize,
    /// Rows that count and whose loss is NaN, because they hold NaN or +∞ or are masked throughout. A soft term of +∞,
    /// from a student logit that is masked where the teacher's is not, is not one of them.
    pub nonfinite_rows: usize,
}

/// The terms of one row, before any reduction.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RowLoss {
    /// The hard term; `None` if it is not computed, 0 if the row does not count for it.
    pub hard: Option<f64>,
    /// The soft term, the factor `T²` included; `None` if it is not computed, 0 if the row does not count for it.
    pub soft: Option<f64>,
    /// `alpha · hard + (1 - alpha) · soft`.
    pub total: f64,
}

impl RowLoss {
    /// A row's terms, of which `loss` says which are computed at all.
    pub(crate) fn new(loss: &DistillationLoss, hard: f64, soft: f64) -> Self {
        let hard = loss.has_hard_term().then_some(hard);
        let soft = loss.has_soft_term().then_some(soft);
        Self { hard, soft, total: loss.mix(hard, soft) }
    }
}

impl LossValue {
    /// Reduces the rows of a call, of which so many count.
    pub(crate) fn reduce(call: &Call, counts: Counts, rows: Vec<RowLoss>, nonfinite_rows: usize) -> Self {
        let (loss, denominators) = (&call.loss, call.denominators(counts));
        // Not `sum`, whose sum of nothing is -0.
        let total = |term: fn(&RowLoss) -> Option<f64>| rows.iter().filter_map(term).fold(0.0, |sum, term| sum + term);
        let hard = loss.has_hard_term().then(|| total(|row| row.hard) / denominators.hard);
        let soft = loss.has_soft_term().then(|| total(|row| row.soft) / denominators.soft);
        Self { loss: loss.mix(hard, soft), hard, soft, rows, counted_rows: counts.labelled_rows, nonfinite_rows }
    }
}
