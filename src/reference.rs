//! The scalar `f64` oracle: the formulas as they are written in the documentation, one row after another.
//!
//! Every backend is checked against this. It is written to be read, and never optimised; use [`cpu`](crate::cpu).

use crate::batch::{Batch, Matrix};
use crate::call::{RowRole, Target};
use crate::divergence::Divergence;
use crate::error::Result;
use crate::loss::DistillationLoss;
use crate::value::{LossValue, RowLoss};

/// The loss of a batch.
///
/// # Errors
///
/// As [`cpu::forward`](crate::cpu::forward).
pub fn forward(loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
    Ok(forward_backward(loss, batch)?.0)
}

/// The loss of a batch, and its gradient with respect to the student's logits: `rows · vocab` numbers, row by row.
///
/// # Errors
///
/// As [`cpu::forward`](crate::cpu::forward).
///
/// # Examples
///
/// ```
/// use kdloss::{Batch, DistillationLoss, Matrix, reference};
///
/// let (student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
/// let batch = Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
/// let (value, gradient) = reference::forward_backward(&DistillationLoss::new(), &batch)?;
/// assert!(value.loss > 0.0);
/// assert!(gradient.iter().sum::<f64>().abs() < 1e-15);
/// # Ok::<(), kdloss::Error>(())
/// ```
pub fn forward_backward(loss: &DistillationLoss, batch: &Batch<'_>) -> Result<(LossValue, Vec<f64>)> {
    let (call, counts) = batch.check(loss, Target::None)?;
    let denominators = call.denominators(counts);
    let mut rows = Vec::with_capacity(call.rows);
    let mut gradient = Vec::with_capacity(call.rows * call.vocab);
    let mut nonfinite_rows = 0;
    for index in 0..call.rows {
        let student = unmasked_row(&batch.student, index, call.vocab);
        let role = batch.role(&call, index);
        let teacher = batch.teacher.filter(|_| role.soft).map(|teacher| unmasked_row(&teacher, index, call.vocab));
        let row = Row::new(loss, role, &student, teacher.as_deref());

        let scale = loss.grad_scale * batch.row_grad_scale.map_or(1.0, |scale| f64::from(scale[index]));
        for column in 0..call.vocab {
            let hard = if role.hard_label.is_some() { loss.alpha * row.hard_gradient[column] } else { 0.0 };
            let soft = if role.soft { (1.0 - loss.alpha) * row.soft_gradient[column] } else { 0.0 };
            let counts = role.hard_label.is_some() || role.soft;
            gradient.push(if counts { scale * (hard / denominators.hard + soft / denominators.soft) } else { 0.0 });
        }
        nonfinite_rows += usize::from(row.nonfinite);
        rows.push(RowLoss::new(loss, row.hard, row.soft));
    }
    Ok((LossValue::reduce(&call, counts, rows, nonfinite_rows), gradient))
}

/// The terms of one row and their gradients, before weights and reduction.
struct Row {
    hard: f64,
    soft: f64,
    hard_gradient: Vec<f64>,
    soft_gradient: Vec<f64>,
    nonfinite: bool,
}

impl Row {
    fn new(loss: &DistillationLoss, role: RowRole, student: &[f64], teacher: Option<&[f64]>) -> Self {
        let zeros = vec![0.0; student.len()];
        let mut row =
            Self { hard: 0.0, soft: 0.0, hard_gradient: zeros.clone(), soft_gradient: zeros, nonfinite: false };
        let counts = role.hard_label.is_some() || role.soft;
        row.nonfinite = counts && (is_nonfinite(student) || teacher.is_some_and(is_nonfinite));
        if let Some(label) = role.hard_label {
            (row.hard, row.hard_gradient) = cross_entropy(student, label);
        }
        if let Some(teacher) = teacher {
            (row.soft, row.soft_gradient) = match loss.divergence {
                Divergence::ForwardKl => forward_kl(student, teacher, loss.temperature),
            };
        }
        if row.nonfinite {
            row.hard = if role.hard_label.is_some() { f64::NAN } else { 0.0 };
            row.soft = if role.soft { f64::NAN } else { 0.0 };
            row.hard_gradient.fill(f64::NAN);
            row.soft_gradient.fill(f64::NAN);
        }
        row
    }
}

/// `logsumexp(s) - s[y]` and its gradient `softmax(s) - onehot(y)`.
fn cross_entropy(student: &[f64], label: usize) -> (f64, Vec<f64>) {
    let log_probability = log_softmax(student, 1.0);
    let mut gradient: Vec<f64> = log_probability.iter().map(|log| log.exp()).collect();
    gradient[label] -= 1.0;
    (-log_probability[label], gradient)
}

/// `T² · KL(teacher ‖ student)` and its gradient `T · (q - p)`.
fn forward_kl(student: &[f64], teacher: &[f64], temperature: f64) -> (f64, Vec<f64>) {
    let log_q = log_softmax(student, temperature);
    let log_p = log_softmax(teacher, temperature);
    let mut divergence = 0.0;
    let mut gradient = Vec::with_capacity(student.len());
    for (&log_q, &log_p) in log_q.iter().zip(&log_p) {
        let (q, p) = (log_q.exp(), log_p.exp());
        divergence += match (log_q == f64::NEG_INFINITY, log_p == f64::NEG_INFINITY) {
            (true, true) => 0.0,
            (true, false) => f64::INFINITY,
            (false, true) => q,
            (false, false) => divergence_element(q, p, log_q - log_p),
        };
        gradient.push(temperature * (q - p));
    }
    (temperature * temperature * divergence, gradient)
}

/// `p (log p - log q) - p + q = p · φ(y)` with `y = log q - log p`. The part `q - p`, which a row's elements share out
/// to 0, makes every element at least 0.
fn divergence_element(q: f64, p: f64, y: f64) -> f64 {
    if y.abs() < 0.5 {
        // φ(y) = y²/2! + y³/3! + …, by Horner's rule from the term that no longer matters.
        let phi = (2..=20).rev().fold(0.0, |sum, k| (sum + 1.0) * y / f64::from(k)) * y;
        return p * phi;
    }
    // Logits that are not masked are finite, hence y is: where p is 0, so is the product.
    (q - p) - p * y
}

fn log_softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shifted = logits.iter().map(|logit| (logit - max) / temperature);
    let log_sum = shifted.clone().map(f64::exp).sum::<f64>().ln();
    shifted.map(|logit| logit - log_sum).collect()
}

/// Whether a row's loss is NaN: it holds NaN or +∞, or is −∞ throughout.
fn is_nonfinite(logits: &[f64]) -> bool {
    let bad = |&logit: &f64| logit.is_nan() || logit == f64::INFINITY;
    logits.iter().any(bad) || logits.iter().all(|&logit| logit == f64::NEG_INFINITY)
}

/// The first `vocab` logits of a row, with −∞ where a logit is masked: at or below −1e30.
fn unmasked_row(matrix: &Matrix<'_>, row: usize, vocab: usize) -> Vec<f64> {
    let logits = matrix.row(row, vocab);
    let value = |column| f64::from(logits.get(column));
    (0..vocab).map(|column| if value(column) <= -1e30 { f64::NEG_INFINITY } else { value(column) }).collect()
}
