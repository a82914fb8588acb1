//! The accuracy contract, and the comparison of an outcome with the reference.
//!
//! For a row with `x_j = max(m_s - s_j, m_t - t_j)` over unmasked logits:
//!
//! * hard within `1e-6 · hard + 2⁻²¹`;
//! * soft within `2e-6 · soft + 1e-12 · T² + 2⁻²¹ · T · Σ |q_j - p_j| · x_j`;
//! * each entry of the row's own gradient within 1e-6 of the row's largest entry plus
//!   `2⁻²⁰ · (α · softmax(s)_j · max(1, m_s - s_j) + (1 - α) · T · max(p_j, q_j) · max(1, x_j / T))`, plus
//!   `2⁻¹²⁵ · (α + (1 - α) · T)`, since probabilities below the smallest normal `f32` may count as 0.
//!
//! A comparison with NaN on one side fails: every bound is written as `difference <= bound`.

use kdloss::{DType, IgnoredRows, Reduction};

use crate::case::Case;
use crate::implementations::{Implementation, MARK, Outcome, run_reference};

/// Whether `got` may stand for `want`: NaN for NaN, else equal or within `bound`.
pub fn close(got: f64, want: f64, bound: f64) -> bool {
    if want.is_nan() { got.is_nan() } else { got == want || (got - want).abs() <= bound }
}

/// Runs a case and holds the outcome to the contract. Says which number of which row is off, and by how much.
#[track_caller]
pub fn check(implementation: &Implementation, case: &Case) -> Outcome {
    Contract::of(case).check(implementation)
}

/// Holds many implementations to the contract on one case.
#[track_caller]
pub fn check_all(implementations: &[Implementation], case: &Case) {
    let contract = Contract::of(case);
    implementations.iter().for_each(|implementation| drop(contract.check(implementation)));
}

/// What a case demands of every implementation. The reference, which takes longer than most of them, runs once.
pub struct Contract<'a> {
    case: &'a Case,
    want: Outcome,
    bounds: Bounds,
}

impl<'a> Contract<'a> {
    pub fn of(case: &'a Case) -> Self {
        let want = run_reference(case).expect("the reference accepts what an implementation accepts");
        let bounds = Bounds::new(case, &want);
        Self { case, want, bounds }
    }

    #[track_caller]
    pub fn check(&self, implementation: &Implementation) -> Outcome {
        let Implementation { name, contract_factor, run } = implementation;
        let Self { case, want, bounds } = self;
        let got = run(case).unwrap_or_else(|error| panic!("{name}: {error}\n{:?}", case.loss));
        bounds.check_terms(name, *contract_factor, case, &got, want);
        bounds.check_gradient(name, *contract_factor, case, &got, want);
        check_layout(name, case, &got);
        got
    }
}

/// Bounds of the terms of each row and of each gradient entry, for an implementation whose factor is 1.
struct Bounds {
    hard: Vec<f64>,
    soft: Vec<f64>,
    gradient: Vec<f64>,
}

impl Bounds {
    fn new(case: &Case, want: &Outcome) -> Self {
        let (rows, vocab) = (case.student.rows, case.batch().vocab());
        let (alpha, temperature) = (case.loss.alpha, case.loss.temperature);
        let (hard_denominator, soft_denominator) = denominators(case, want);
        let mut bounds = Self { hard: Vec::new(), soft: Vec::new(), gradient: Vec::new() };
        for row in 0..rows {
            let student = case.student.row(row, vocab);
            let teacher = case.teacher.as_ref().map_or_else(|| student.clone(), |teacher| teacher.row(row, vocab));
            let (student_depth, hard_q) = softmax(&student, 1.0);
            let (_, q) = softmax(&student, temperature);
            let (teacher_depth, p) = softmax(&teacher, temperature);
            let depth = |j: usize| student_depth[j].max(teacher_depth[j]);

            let transport: f64 = (0..vocab).map(|j| (q[j] - p[j]).abs() * depth(j)).sum();
            let terms = want.value.rows[row];
            let soft = 2e-6 * terms.soft.unwrap_or(0.0).abs();
            let finite_or_0 = |bound: f64| if bound.is_finite() { bound } else { 0.0 };
            bounds.hard.push(finite_or_0(1e-6 * terms.hard.unwrap_or(0.0).abs() + ulp(21)));
            let soft = soft + 1e-12 * temperature * temperature + ulp(21) * temperature * transport;
            bounds.soft.push(finite_or_0(soft));

            let scale = case.loss.grad_scale * case.row_grad_scale.as_ref().map_or(1.0, |scale| f64::from(scale[row]));
            let entries = &want.gradient[row * vocab..][..vocab];
            let tiny = ulp(125);
            let largest = entries.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
            for j in 0..vocab {
                let hard = ulp(20) * hard_q[j] * student_depth[j].max(1.0) + tiny;
                let soft = ulp(20) * p[j].max(q[j]) * (depth(j) / temperature).max(1.0) + tiny;
                let weighted = alpha * hard / hard_denominator + (1.0 - alpha) * temperature * soft / soft_denominator;
                bounds.gradient.push(1e-6 * largest + scale.abs() * weighted);
            }
        }
        bounds
    }

    fn check_terms(&self, name: &str, factor: f64, case: &Case, got: &Outcome, want: &Outcome) {
        let loss = &case.loss;
        let (got, want_value) = (&got.value, &want.value);
        assert_eq!(got.counted_rows, want_value.counted_rows, "{name}: counted rows");
        assert_eq!(got.nonfinite_rows, want_value.nonfinite_rows, "{name}: nonfinite rows");
        assert_eq!(got.rows.len(), want_value.rows.len(), "{name}: rows");
        let (mut hard_bound, mut soft_bound) = (0.0, 0.0);
        for (row, (got, want)) in got.rows.iter().zip(&want_value.rows).enumerate() {
            let (hard, soft) = (factor * self.hard[row], factor * self.soft[row]);
            let total_bound = loss.mix(got.hard.map(|_| hard), got.soft.map(|_| soft));
            for (term, got, want, bound) in [
                ("hard", got.hard, want.hard, hard),
                ("soft", got.soft, want.soft, soft),
                ("total", Some(got.total), Some(want.total), total_bound),
            ] {
                assert_term(&format!("{name}: {term} of row {row}"), case, got, want, bound);
            }
            hard_bound += hard;
            soft_bound += soft;
        }
        let (hard_denominator, soft_denominator) = denominators(case, want);
        let (hard_bound, soft_bound) = (hard_bound / hard_denominator, soft_bound / soft_denominator);
        let bound = loss.mix(got.hard.map(|_| hard_bound), got.soft.map(|_| soft_bound));
        assert_term(&format!("{name}: hard"), case, got.hard, want_value.hard, hard_bound);
        assert_term(&format!("{name}: soft"), case, got.soft, want_value.soft, soft_bound);
        assert_term(&format!("{name}: loss"), case, Some(got.loss), Some(want_value.loss), bound);
    }

    fn check_gradient(&self, name: &str, factor: f64, case: &Case, got: &Outcome, want: &Outcome) {
        let vocab = case.batch().vocab();
        let dtype = got.written.as_ref().map(|table| table.layout.dtype);
        assert_eq!(got.gradient.len(), want.gradient.len(), "{name}: gradient entries");
        for (index, (&got, &want)) in got.gradient.iter().zip(&want.gradient).enumerate() {
            let bound = factor * self.gradient[index] + rounding(dtype, want);
            assert!(
                close(got, want, bound),
                "{name}: gradient of row {} column {}: got {got:e}, want {want:e}, off by {:e}, bound {bound:e}\n{:?}",
                index / vocab,
                index % vocab,
                (got - want).abs(),
                case.loss,
            );
        }
    }
}

#[track_caller]
fn assert_term(what: &str, case: &Case, got: Option<f64>, want: Option<f64>, bound: f64) {
    let matches = match (got, want) {
        (Some(got), Some(want)) => close(got, want, bound),
        (got, want) => got == want,
    };
    assert!(matches, "{what}: got {got:?}, want {want:?}, bound {bound:e}\n{:?}", case.loss);
}

/// Padding columns are 0; what lies between columns and row stride still holds what it held.
fn check_layout(name: &str, case: &Case, got: &Outcome) {
    let Some(written) = &got.written else { return };
    let (vocab, in_place) = (case.batch().vocab(), name.contains("in place"));
    for row in 0..written.rows {
        for column in vocab..written.layout.cols {
            assert_eq!(written.get(row, column), 0.0, "{name}: padding column {column} of row {row}");
        }
        if row + 1 < written.rows {
            for gap in written.layout.cols..written.layout.row_stride {
                let value = written.get(row, gap);
                let untouched = if in_place { value.is_nan() } else { value == MARK };
                assert!(untouched, "{name}: element {gap} behind row {row} was written: {value}");
            }
        }
    }
}

/// What the sums of hard and soft terms are divided by, from the definition of the reductions.
fn denominators(case: &Case, want: &Outcome) -> (f64, f64) {
    let labelled = want.value.counted_rows.max(1) as f64;
    let rows = case.student.rows.max(1) as f64;
    match case.loss.reduction {
        Reduction::Mean if case.loss.ignored_rows == IgnoredRows::SoftOnly => (labelled, rows),
        Reduction::Mean => (labelled, labelled),
        Reduction::DividedBy(n) => (n, n),
        _ => (1.0, 1.0),
    }
}

/// Depths below the maximum (0 where masked) and probabilities.
fn softmax(logits: &[f32], temperature: f64) -> (Vec<f64>, Vec<f64>) {
    let masked = |logit: f32| logit <= -1e30;
    let max = logits.iter().copied().filter(|&logit| !masked(logit)).fold(f64::MIN, |max, x| max.max(f64::from(x)));
    let depth: Vec<f64> = logits.iter().map(|&x| if masked(x) { 0.0 } else { max - f64::from(x) }).collect();
    let weight: Vec<f64> = logits
        .iter()
        .zip(&depth)
        .map(|(&x, depth)| if masked(x) { 0.0 } else { (-depth / temperature).exp() })
        .collect();
    let sum: f64 = weight.iter().sum();
    (depth, weight.iter().map(|weight| weight / sum).collect())
}

/// Half a unit in the last place of the storage type.
fn rounding(dtype: Option<DType>, value: f64) -> f64 {
    match dtype {
        Some(DType::F16) => (value.abs() * ulp(11)).max(ulp(25)),
        Some(DType::Bf16) => value.abs() * ulp(8),
        _ => 0.0,
    }
}

/// `2^-bits`.
fn ulp(bits: i32) -> f64 {
    f64::from(2.0f32.powi(-bits))
}
