//! What to compute: the distillation loss, its weights and its conventions.

use crate::divergence::Divergence;
use crate::error::{Error, Result};

/// The knowledge-distillation loss: how to mix it, how to reduce it, what to ignore.
///
/// Per row, with student logits `s`, teacher logits `t`, label `y` and temperature `T`:
///
/// ```text
/// q = softmax(s / T), p = softmax(t / T)
/// hard  = logsumexp(s) - s[y]                cross-entropy, at temperature 1
/// soft  = T² · Σ p · (log p - log q)         KL(teacher ‖ student)
/// total = alpha · hard + (1 - alpha) · soft
/// ```
///
/// This is Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), §2, whose soft targets are
/// equation 1 and whose factor `T²` keeps the two gradients comparable when `T` changes. **`alpha` weighs the hard
/// term**; some projects weigh the soft one.
///
/// The gradient with respect to the student's logits is
///
/// ```text
/// ∂total/∂s[j] = alpha · (softmax(s)[j] - 1[j = y]) + (1 - alpha) · T · (q[j] - p[j])
/// ```
///
/// # Examples
///
/// ```
/// use kdloss::{DistillationLoss, Reduction};
///
/// let loss = DistillationLoss::new()
///     .with_temperature(2.0)
///     .with_alpha(0.1)
///     .with_reduction(Reduction::DividedBy(4096.0));
/// assert_eq!(loss.ignore_index, -100);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DistillationLoss {
    /// Temperature `T` of the soft term, in [`TEMPERATURES`](Self::TEMPERATURES). Default 4.
    pub temperature: f64,
    /// Weight of the hard term, in `0..=1`. Default 0.5. At 1 the teacher is not read; at 0 the labels only decide
    /// which rows count.
    pub alpha: f64,
    /// How far the student is from the teacher. Default [`Divergence::ForwardKl`].
    pub divergence: Divergence,
    /// How rows become one number. Default [`Reduction::Mean`].
    pub reduction: Reduction,
    /// The label of a row without one. Default −100.
    pub ignore_index: i64,
    /// What becomes of the soft term of such a row. Default [`IgnoredRows::Skip`].
    pub ignored_rows: IgnoredRows,
    /// Factor of the gradient alone: the gradient that arrives from above, or a loss scale. Default 1. The factors of a row's
    /// gradient, `grad_scale` over the reduction's denominator, are `f32` numbers: where they overflow, so does the gradient.
    pub grad_scale: f64,
}

/// How the losses of the rows become one number. The gradient is that of this number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Reduction {
    /// Each term divided by the number of rows that count for it, then mixed by `alpha`. A term that no row counts for
    /// is 0 (PyTorch: NaN).
    #[default]
    Mean,
    /// The sum over rows.
    Sum,
    /// No reduction: the per-row losses matter, [`LossValue::loss`](crate::LossValue::loss) is their sum and the
    /// gradient is that of the sum.
    None,
    /// The sum divided by a finite positive number of the caller's: `num_items_in_batch` under gradient accumulation,
    /// where a mean per micro-batch would weigh the tokens of short batches more.
    DividedBy(f64),
}

/// What becomes of the soft term of a row whose label is `ignore_index`. Its hard term is 0 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IgnoredRows {
    /// Both terms and the gradient row are 0, whatever the row holds: padding and prompt tokens of a language model.
    #[default]
    Skip,
    /// The soft term counts: the teacher knows something about an example without a label. With [`Reduction::Mean`]
    /// this is PyTorch's `alpha * CrossEntropyLoss() + (1 - alpha) * T² * KLDivLoss("batchmean")`.
    SoftOnly,
}

impl Default for DistillationLoss {
    fn default() -> Self {
        Self {
            temperature: 4.0,
            alpha: 0.5,
            divergence: Divergence::default(),
            reduction: Reduction::default(),
            ignore_index: -100,
            ignored_rows: IgnoredRows::default(),
            grad_scale: 1.0,
        }
    }
}

impl DistillationLoss {
    /// The temperatures that can be used: 0.0001 to 10 000.
    ///
    /// Far above 20, student and teacher are nearly flat: their probabilities differ by 1 part in `T`, and the rounding of the sums
    /// that normalise them shows in that difference. For logits between −20 and 20, the loss is right to 1e-6 throughout this range;
    /// the gradient, by its L2 norm, to 1e-6 up to 20 and to 1e-4 up to 10 000. At 1e6 it would be off by up to 1 %, and at 1e8 the
    /// loss too. The gradient hardly changes any more there: it tends to that of half the squared distance of the centred logits,
    /// over the number of classes. Far below 0.0001 every distribution is certain of one class.
    pub const TEMPERATURES: std::ops::RangeInclusive<f64> = 1e-4..=1e4;

    /// The defaults: `T = 4`, `alpha = 0.5`, forward KL, mean over rows, rows labelled −100 skipped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the temperature `T` of the soft term.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.temperature = temperature;
        self
    }

    /// Sets the weight of the **hard** term, in `0..=1`.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the divergence of the soft term.
    #[must_use]
    pub fn with_divergence(mut self, divergence: Divergence) -> Self {
        self.divergence = divergence;
        self
    }

    /// Sets how rows become one number.
    #[must_use]
    pub fn with_reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the label of a row without one.
    #[must_use]
    pub fn with_ignore_index(mut self, ignore_index: i64) -> Self {
        self.ignore_index = ignore_index;
        self
    }

    /// Sets what becomes of the soft term of a row without a label.
    #[must_use]
    pub fn with_ignored_rows(mut self, ignored_rows: IgnoredRows) -> Self {
        self.ignored_rows = ignored_rows;
        self
    }

    /// Sets the factor of the gradient. It does not change the loss.
    #[must_use]
    pub fn with_grad_scale(mut self, grad_scale: f64) -> Self {
        self.grad_scale = grad_scale;
        self
    }

    /// Whether the hard term is computed, hence labels are needed.
    #[must_use]
    pub fn has_hard_term(&self) -> bool {
        self.alpha > 0.0
    }

    /// Whether the soft term is computed, hence the teacher is read.
    #[must_use]
    pub fn has_soft_term(&self) -> bool {
        self.alpha < 1.0
    }

    /// The mix of one row's terms, or of their sums: `alpha · hard + (1 - alpha) · soft`. A term that is not computed
    /// has no part in it, so that an infinite one never meets a zero.
    #[must_use]
    pub fn mix(&self, hard: Option<f64>, soft: Option<f64>) -> f64 {
        hard.map_or(0.0, |hard| self.alpha * hard) + soft.map_or(0.0, |soft| (1.0 - self.alpha) * soft)
    }

    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTemperature`], [`Error::InvalidAlpha`], [`Error::InvalidDenominator`] or
    /// [`Error::InvalidGradScale`], with the value.
    pub fn validate(&self) -> Result<()> {
        if !Self::TEMPERATURES.contains(&self.temperature) {
            return Err(Error::InvalidTemperature { temperature: self.temperature });
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(Error::InvalidAlpha { alpha: self.alpha });
        }
        if let Reduction::DividedBy(denominator) = self.reduction
            && !(denominator.is_finite() && denominator > 0.0)
        {
            return Err(Error::InvalidDenominator { denominator });
        }
        if !(self.grad_scale as f32).is_finite() {
            return Err(Error::InvalidGradScale { grad_scale: self.grad_scale });
        }
        Ok(())
    }
}
