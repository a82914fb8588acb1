//! The two scripts that everybody starts from, reproduced. `tests/data/make_scripts.py` is their PyTorch source, and its
//! output the numbers to match.

use kdloss::{DistillationLoss, IgnoredRows};
use serde_json::Value;

use crate::case::Case;
use crate::contract::{check_all, close};
use crate::implementations::{all, run_reference};

struct Script {
    student: Vec<Vec<f32>>,
    teacher: Vec<Vec<f32>>,
    labels: Vec<i64>,
    shape: Vec<usize>,
    loss: f64,
    gradient: Vec<f64>,
}

fn script(name: &str) -> Script {
    let text = include_str!("../data/scripts.json");
    let script = &serde_json::from_str::<Value>(text).unwrap()[name];
    let numbers = |part: &str| -> Vec<f64> {
        script[part].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let shape: Vec<usize> = numbers("shape").into_iter().map(|size| size as usize).collect();
    let vocab = *shape.last().unwrap();
    let rows = |part: &str| -> Vec<Vec<f32>> {
        numbers(part).chunks(vocab).map(|row| row.iter().map(|&logit| logit as f32).collect()).collect()
    };
    Script {
        student: rows("student"),
        teacher: rows("teacher"),
        labels: numbers("labels").into_iter().map(|label| label as i64).collect(),
        shape,
        loss: script["loss"].as_f64().unwrap(),
        gradient: numbers("gradient"),
    }
}

/// Holds the reference to the script's own numbers, every implementation to the reference. The script's loss and
/// gradient are `factor` times ours.
fn reproduces(script: &Script, loss: DistillationLoss, factor: f64) {
    let case = Case::new(loss, &script.student, &script.teacher, &script.labels);
    let got = run_reference(&case).unwrap();
    assert!(close(factor * got.value.loss, script.loss, 1e-13 * script.loss), "{} {}", got.value.loss, script.loss);
    assert_eq!(got.gradient.len(), script.gradient.len());
    for (got, want) in got.gradient.iter().zip(&script.gradient) {
        assert!(close(factor * got, *want, 1e-14), "{got} is not {want}");
    }
    check_all(&all(), &case);
}

#[test]
fn the_classic_pytorch_class() {
    let loss = DistillationLoss::new().with_ignored_rows(IgnoredRows::SoftOnly);
    assert_eq!((loss.temperature, loss.alpha, loss.ignore_index), (4.0, 0.5, -100));
    reproduces(&script("classic"), loss, 1.0);
}

#[test]
fn the_language_model_function_on_flattened_logits() {
    let loss = DistillationLoss::new().with_temperature(2.0).with_ignored_rows(IgnoredRows::SoftOnly);
    reproduces(&script("language_model_flattened"), loss, 1.0);
}

/// On `[batch, seq, vocab]` logits, PyTorch's `batchmean` divides by the batch, not by the tokens: the soft term weighs
/// `seq` times more than it says. The same weights here, `alpha : (1 - alpha) = ½ : ½ · seq`, and a factor for both.
#[test]
fn the_language_model_function_on_batch_seq_vocab_logits() {
    let script = script("language_model");
    let seq = script.shape[1] as f64;
    let loss = DistillationLoss::new()
        .with_temperature(2.0)
        .with_alpha(1.0 / (1.0 + seq))
        .with_ignored_rows(IgnoredRows::SoftOnly);
    reproduces(&script, loss, 0.5 * (1.0 + seq));
}
