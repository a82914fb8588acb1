//! One checked call: what a loss, the shapes of a batch and a target come to. Every backend starts from it, and adds only
//! where its matrices and labels lie.

use crate::divergence::Soft;
use crate::error::{Error, Result};
use crate::loss::{DistillationLoss, IgnoredRows, Reduction};
use crate::shape::Shape;

/// Where the gradient goes.
///
/// `M` describes a matrix: a borrowed one, one by its address, or a shape alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Target<M> {
    /// Nowhere: the loss alone.
    #[default]
    None,
    /// Over the student's logits.
    InPlace,
    /// To a matrix of its own.
    Separate(M),
}

/// The shapes of a batch, wherever its parts lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shapes {
    pub(crate) student: Shape,
    pub(crate) teacher: Option<Shape>,
    /// How many labels there are.
    pub(crate) labels: Option<usize>,
    /// How many factors of rows there are.
    pub(crate) row_grad_scale: Option<usize>,
    /// The vocabulary that was asked for.
    pub(crate) vocab: Option<usize>,
}

/// A checked call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Call {
    /// What to compute.
    pub(crate) loss: DistillationLoss,
    /// Rows of every matrix.
    pub(crate) rows: usize,
    /// Columns that are classes.
    pub(crate) vocab: usize,
    /// The terms that are computed.
    pub(crate) terms: Terms,
    /// The soft term in the forms that the loops multiply by.
    pub(crate) soft: Soft,
}

/// Which terms are computed, and how one exponential follows from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Terms {
    /// Cross-entropy alone (`alpha = 1`): the teacher is not read.
    Hard,
    /// Divergence alone (`alpha = 0`).
    Soft,
    /// Both, at a temperature of which nothing is known.
    Both,
    /// Both, at temperature `2^n` with `n` 0, 1 or 2: `e^s` is `e^(s/T)` squared `n` times.
    BothBySquaring(u32),
}

/// What one row contributes to the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRole {
    /// The class of the hard term, if the row has one.
    pub(crate) hard_label: Option<usize>,
    /// Whether the soft term counts.
    pub(crate) soft: bool,
}

/// How many rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows whose label is a class; all rows where there are no labels.
    pub(crate) labelled_rows: usize,
    /// Rows whose soft term counts.
    pub(crate) soft_rows: usize,
}

/// What the sums of the terms over rows are divided by; never 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Denominators {
    pub(crate) hard: f64,
    pub(crate) soft: f64,
}

/// Factors of a row's gradient: weight, reduction and scale in one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GradientWeights {
    /// Multiplies `softmax(s) - onehot(y)`.
    pub(crate) hard: f64,
    /// Multiplies the gradient of `soft / T`: for forward KL, `q - p`.
    pub(crate) soft: f64,
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl<M> Target<M> {
    /// The same target, described otherwise.
    pub(crate) fn map<N>(self, describe: impl FnOnce(M) -> N) -> Target<N> {
        match self {
            Self::None => Target::None,
            Self::InPlace => Target::InPlace,
            Self::Separate(matrix) => Target::Separate(describe(matrix)),
        }
    }
}

impl Terms {
    /// What a loss computes.
    #[must_use]
    pub fn of(loss: &DistillationLoss) -> Self {
        match (loss.has_hard_term(), loss.has_soft_term()) {
            (_, false) => Self::Hard,
            (false, true) => Self::Soft,
            (true, true) if loss.temperature == 1.0 => Self::BothBySquaring(0),
            (true, true) if loss.temperature == 2.0 => Self::BothBySquaring(1),
            (true, true) if loss.temperature == 4.0 => Self::BothBySquaring(2),
            (true, true) => Self::Both,
        }
    }

    /// Whether cross-entropy is computed.
    #[must_use]
    pub fn has_hard(self) -> bool {
        self != Self::Soft
    }

    /// Whether the divergence is computed, hence the teacher read.
    #[must_use]
    pub fn has_soft(self) -> bool {
        self != Self::Hard
    }

    /// How many squarings make `e^(s/T)` into `e^s`, where both terms are computed and some do.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    #[must_use]
    pub fn squarings(self) -> Option<u32> {
        match self {
            Self::BothBySquaring(squarings) => Some(squarings),
            Self::Hard | Self::Soft | Self::Both => None,
        }
    }

    /// The terms of one row, of which some may not count; `None` if none does.
    pub(crate) fn of_row(self, role: RowRole) -> Option<Self> {
        match (role.hard_label.is_some(), role.soft) {
            (true, true) => Some(self),
            (true, false) => Some(Self::Hard),
            (false, true) => Some(Self::Soft),
            (false, false) => None,
        }
    }
}

impl Shapes {
    /// The vocabulary: what was asked for, else the narrower of student and teacher.
    pub(crate) fn vocab(&self) -> usize {
        let narrower = self.teacher.map_or(usize::MAX, |teacher| teacher.cols).min(self.student.cols);
        self.vocab.unwrap_or(narrower)
    }
}

impl Call {
    /// Checks everything that can be known without looking at a label or an address.
    pub(crate) fn new(loss: &DistillationLoss, shapes: &Shapes, target: Target<Shape>) -> Result<Self> {
        loss.validate()?;
        let (rows, vocab, terms) = (shapes.student.rows, shapes.vocab(), Terms::of(loss));
        if vocab == 0 {
            return Err(Error::EmptyVocab);
        }
        shapes.student.check("student", rows, vocab)?;
        if terms.has_soft() {
            let teacher = shapes.teacher.ok_or(Error::MissingTeacher { alpha: loss.alpha })?;
            teacher.check("teacher", rows, vocab)?;
        }
        if terms.has_hard() && shapes.labels.is_none() {
            return Err(Error::MissingLabels { alpha: loss.alpha });
        }
        for (part, found) in [("labels", shapes.labels), ("row_grad_scale", shapes.row_grad_scale)] {
            if let Some(found) = found {
                same_rows(part, rows, found)?;
            }
        }
        if let Target::Separate(gradient) = target {
            gradient.check("gradient", rows, vocab)?;
        }
        Ok(Self { loss: *loss, rows, vocab, terms, soft: Soft::new(loss.divergence, loss.temperature) })
    }

    /// What a row contributes, given its label if there are labels, which has been checked.
    pub(crate) fn role(&self, label: Option<i64>) -> RowRole {
        let is_labelled = label != Some(self.loss.ignore_index);
        let counts_soft = is_labelled || self.loss.ignored_rows == IgnoredRows::SoftOnly;
        RowRole {
            // A checked label that is not ignored is a class, so the conversion keeps it.
            hard_label: label.filter(|_| is_labelled && self.terms.has_hard()).map(|label| label as usize),
            soft: counts_soft && self.terms.has_soft(),
        }
    }

    /// How many rows count, given how many have a label.
    pub(crate) fn counts(&self, labelled_rows: usize) -> Counts {
        let soft_rows = match self.loss.ignored_rows {
            IgnoredRows::Skip => labelled_rows,
            IgnoredRows::SoftOnly => self.rows,
        };
        Counts { labelled_rows, soft_rows }
    }

    /// What the sums over rows are divided by where so many rows count.
    pub(crate) fn denominators(&self, counts: Counts) -> Denominators {
        // A term that no row counts for has a sum of 0, which any denominator leaves as it is.
        let rows = |count: usize| count.max(1) as f64;
        match self.fixed_denominator() {
            None => Denominators { hard: rows(counts.labelled_rows), soft: rows(counts.soft_rows) },
            Some(denominator) => Denominators { hard: denominator, soft: denominator },
        }
    }

    /// What both sums are divided by; `None` where it is the number of rows that count.
    pub(crate) fn fixed_denominator(&self) -> Option<f64> {
        match self.loss.reduction {
            Reduction::Mean => None,
            Reduction::Sum | Reduction::None => Some(1.0),
            Reduction::DividedBy(denominator) => Some(denominator),
        }
    }

    /// Factors of a row's gradient, given the factor of its own.
    pub(crate) fn gradient_weights(&self, grad_scale: f64, denominators: Denominators) -> GradientWeights {
        let Self { loss, .. } = self;
        GradientWeights {
            hard: grad_scale * loss.alpha / denominators.hard,
            soft: grad_scale * (1.0 - loss.alpha) * loss.temperature / denominators.soft,
        }
    }
}

fn same_rows(part: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::RowCountMismatch { part, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_used_where_the_temperature_is_one() {
        let terms =
            |alpha, temperature| Terms::of(&DistillationLoss::new().with_alpha(alpha).with_temperature(temperature));
        assert_eq!([1.0, 2.0, 4.0].map(|t| terms(0.5, t)), [0, 1, 2].map(Terms::BothBySquaring));
        assert_eq!([0.5, 2.000_001, 8.0].map(|t| terms(0.5, t)), [Terms::Both; 3]);
        assert_eq!((terms(1.0, 2.0), terms(0.0, 2.0)), (Terms::Hard, Terms::Soft));
    }
}
