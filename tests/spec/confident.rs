//! Rows of which one class holds nearly all mass on both sides, and which nearly agree: late in training most rows are such.
//!
//! The largest class's entry of the gradient is a difference of two numbers near 1. It must not drown what the row learns.

use kdloss::{DistillationLoss, Reduction};

use crate::case::Case;
use crate::generate::Random;
use crate::implementations::{Implementation, of_the_cpu, run_reference};

/// The largest class's probability, and how far student and teacher are apart.
const ROWS: [(f64, f64); 9] = [
    (0.9, 1e-3),
    (0.9, 1e-2),
    (0.9, 1e-1),
    (0.99, 1e-3),
    (0.99, 1e-2),
    (0.99, 1e-1),
    (0.9999, 1e-3),
    (0.9999, 1e-2),
    (0.9999, 1e-1),
];

/// What has this bound. The GPU backends are to follow.
fn implementations() -> Vec<Implementation> {
    of_the_cpu()
}

/// How far a row's gradient may be off, relative to its L2 norm, where student and teacher are so far apart.
fn soft_bound(apart: f64) -> f64 {
    if apart < 1e-2 { 1e-2 } else { 2e-3 }
}

/// The same for the hard term, which knows no teacher. Without a way of its own for the label it would be off by 1e-3.
const HARD_BOUND: f64 = 1e-4;

/// One row for each of [`ROWS`], whose largest class is number `peak` and holds its mass at `temperature`.
fn rows(vocab: usize, peak: usize, temperature: f64) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut random = Random::new(peak as u64);
    ROWS.iter()
        .map(|&(mass, apart)| {
            let mut teacher: Vec<f64> = (0..vocab).map(|_| 2.0 * random.normal()).collect();
            let others: f64 = teacher.iter().map(|logit| (logit / temperature).exp()).sum();
            teacher[peak] = temperature * (others * mass / (1.0 - mass)).ln();
            let student = teacher.iter().map(|logit| (logit + apart * random.normal()) as f32).collect();
            (student, teacher.iter().map(|&logit| logit as f32).collect::<Vec<f32>>())
        })
        .unzip()
}

/// Holds each row's gradient to its norm.
fn check(case: &Case, bound: fn(f64) -> f64) {
    let want = run_reference(case).unwrap().gradient;
    let vocab = case.batch().vocab();
    for implementation in implementations() {
        let got = (implementation.run)(case).unwrap().gradient;
        for (row, (got, want)) in got.chunks(vocab).zip(want.chunks(vocab)).enumerate() {
            let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
            let error = norm(&mut got.iter().zip(want).map(|(got, want)| got - want)) / norm(&mut want.iter().copied());
            let (mass, apart) = ROWS[row];
            assert!(
                error <= bound(apart),
                "{}: off by {error:e} of the norm where the largest of {vocab} holds {mass}, rows {apart} apart\n{:?}",
                implementation.name,
                case.loss,
            );
        }
    }
}

/// In the sample that a tile begins with, behind it, in another tile, and last of all.
fn peaks(vocab: usize) -> [usize; 4] {
    [17, 1234, vocab / 2, vocab - 1]
}

#[test]
fn the_soft_gradient_of_confident_rows_that_nearly_agree() {
    for vocab in [2000, 151_936] {
        for (peak, temperature) in peaks(vocab).into_iter().zip([4.0, 2.0, 1.0, 3.7]) {
            let (student, teacher) = rows(vocab, peak, temperature);
            // The label is the largest class, or not.
            for (alpha, label) in [(0.0, 0), (0.5, 0), (0.5, peak as i64)] {
                let loss = DistillationLoss::new().with_alpha(alpha).with_temperature(temperature);
                let loss = loss.with_reduction(Reduction::Sum);
                check(&Case::new(loss, &student, &teacher, &[label; ROWS.len()]), soft_bound);
            }
        }
    }
}

#[test]
fn the_hard_gradient_at_a_confident_label() {
    for vocab in [2000, 151_936] {
        for peak in peaks(vocab) {
            let (student, teacher) = rows(vocab, peak, 1.0);
            for (alpha, temperature) in [(1.0, 1.0), (0.5, 1.0), (0.5, 2.0), (0.5, 3.7), (0.5, 4.0)] {
                let loss = DistillationLoss::new().with_alpha(alpha).with_temperature(temperature);
                let bound = if alpha == 1.0 { |_| HARD_BOUND } else { soft_bound };
                check(&Case::new(loss, &student, &teacher, &[peak as i64; ROWS.len()]), bound);
            }
        }
    }
}
