//! How far the student's distribution is from the teacher's: the formulas, and the one seam between a divergence and
//! everything else.
//!
//! A [`Divergence`] states three things: what one class adds to it and to the gradient (`element`), what a part of a row adds
//! to the row (`of_part`), and whether a sum over the row must be known before an entry of the gradient
//! (`needs_row_sum`). Nothing outside this file, the loops of a backend that are named after a divergence, and the kernels'
//! `divergence` files knows which one runs. Every backend matches on it exhaustively.

use crate::math::phi;

/// How far the student's distribution is from the teacher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Divergence {
    /// `KL(teacher ‖ student) = Σ p · (log p - log q)`.
    ///
    /// With `y = log q - log p` and `φ(y) = e^y - 1 - y ≥ 0`, a class gains `p · φ(y) = (q - p) - p · y`. The gains add up to
    /// the divergence since `Σ p = Σ q`, and the gradient of `T² · KL` with respect to a student logit is `T · (q - p)`. No gain
    /// is negative, so nothing cancels: identical rows give exactly 0, rows that nearly agree keep their digits, and an error
    /// of `y` that all classes share enters only squared.
    #[default]
    ForwardKl,
}

/// The soft term's parameters, in the forms that the loops multiply by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Soft {
    /// What is compared by.
    pub divergence: Divergence,
    /// The temperature of both distributions.
    pub temperature: Temperature,
}

/// The temperature in the forms that the kernels multiply by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// `1 / T`.
    pub reciprocal: f32,
    /// `log2(e) / T`: `e^(x/T)` is 2 to the power of `x` times this.
    pub exponent_scale: f32,
}

/// What one class adds to the soft term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SoftElement {
    /// The gradient of `soft / T` with respect to the class's student logit.
    pub(crate) difference: f32,
    /// What `soft / T²` gains, at least 0.
    pub(crate) gain: f32,
}

impl Temperature {
    /// Prepares a temperature that [`DistillationLoss::validate`](crate::DistillationLoss::validate) accepts.
    #[must_use]
    pub fn new(temperature: f64) -> Self {
        Self { reciprocal: temperature.recip() as f32, exponent_scale: (std::f64::consts::LOG2_E / temperature) as f32 }
    }
}

impl Soft {
    /// The soft term of a loss that [`DistillationLoss::validate`](crate::DistillationLoss::validate) accepts.
    #[must_use]
    pub fn new(divergence: Divergence, temperature: f64) -> Self {
        Self { divergence, temperature: Temperature::new(temperature) }
    }
}

impl Divergence {
    /// A class of probabilities `q` (the student's) and `p` (the teacher's), where `y = log q - log p`.
    #[inline(always)]
    pub(crate) fn element(self, q: f32, p: f32, y: f32) -> SoftElement {
        match self {
            Self::ForwardKl => forward_kl(q, p, y),
        }
    }

    /// What a part of a row adds to the row's divergence over `T²`, and the part's `q - p`. `q` and `p` are the masses that student
    /// and teacher have in the part, `y` is `log q - log p`, and `within` is the divergence of the part's two distributions, each
    /// normalised within the part.
    ///
    /// The chain rule of relative entropy (Cover and Thomas, "Elements of Information Theory", theorem 2.5.3): the part counts
    /// as if it were one class, and its own divergence weighs as much as the teacher's mass.
    pub(crate) fn of_part(self, q: f64, p: f64, y: f64, within: f64) -> (f64, f64) {
        match self {
            Self::ForwardKl => {
                let element = forward_kl(q as f32, p as f32, y as f32);
                let within = if p > 0.0 { p * within } else { 0.0 };
                (f64::from(element.gain) + within, f64::from(element.difference))
            }
        }
    }

    /// Whether a sum over the whole row must be known before an entry of the gradient.
    #[must_use]
    pub fn needs_row_sum(self) -> bool {
        match self {
            Self::ForwardKl => false,
        }
    }
}

/// Where `|y| < ½`, a polynomial gives the gain `p · φ(y)`, and `q - p` is that plus `p · y`. Elsewhere `q - p` is subtracted as it
/// stands, and the gain is that less `p · y`.
#[inline(always)]
fn forward_kl(q: f32, p: f32, y: f32) -> SoftElement {
    let phi = phi(y);
    // Where p is 0, y may be infinite.
    let product = if p == 0.0 { 0.0 } else { p * y };
    let is_near = y.abs() < 0.5;
    SoftElement {
        difference: if is_near { p * (y + phi) } else { q - p },
        gain: if is_near { p * phi } else { (q - p) - product },
    }
}
