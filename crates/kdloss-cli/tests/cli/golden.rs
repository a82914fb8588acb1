//! The cases that PyTorch has computed, through `kdloss eval`.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use safetensors::SafeTensors;
use serde_json::Value;

use super::support::{Folder, close, eval, gradient, number};

static TENSORS: LazyLock<Vec<u8>> = LazyLock::new(|| fs::read(data("kd_golden.safetensors")).expect("golden data"));

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// One case: its arguments, and what PyTorch answered.
struct Case {
    name: String,
    args: String,
    alpha: f64,
    reduction: String,
    loss: Vec<f64>,
    hard: Vec<f64>,
    soft: Vec<f64>,
    gradient: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let index = fs::read(data("kd_index.json")).expect("golden index");
    let index: Vec<Value> = serde_json::from_slice(&index).expect("a list of cases");
    let file = SafeTensors::deserialize(&TENSORS).expect("golden data");
    let numbers = |name: String| -> Vec<f64> {
        let tensor = file.tensor(&name).expect("there");
        tensor.data().chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight"))).collect()
    };
    let case = |case: &Value| {
        let text = |key: &str| case[key].as_str().expect("text").to_owned();
        let (name, input, reduction) = (text("name"), text("input"), text("reduction"));
        let (temperature, alpha) = (number(case, "T"), number(case, "alpha"));
        let ignored_rows = if case["kl_mask"].as_bool().expect("a choice") { "skip" } else { "soft-only" };
        let args = format!(
            "--student {input}.s --teacher {input}.t --labels {input}.y --temperature {temperature} --alpha {alpha} \
             --reduction {reduction} --ignored-rows {ignored_rows}"
        );
        let [loss, hard, soft, gradient] =
            ["loss", "hard", "soft", "grad"].map(|part| numbers(format!("out_{name}.{part}")));
        Case { name, args, alpha, reduction, loss, hard, soft, gradient }
    };
    index.iter().map(case).collect()
}

impl Case {
    /// Checks every number of the answer; `tolerance` is relative to what is checked, beside a hair of absolute error.
    fn check(&self, answer: &Value, tolerance: f64) {
        let near = |what: &str, found: f64, expected: f64| {
            let allowed = tolerance * (expected.abs() + tolerance);
            assert!(close(found, expected, allowed), "{}: {what} is {found}, PyTorch says {expected}", self.name);
        };
        near("loss", number(answer, "loss"), self.loss.iter().sum());
        for (key, expected, computed) in
            [("hard", &self.hard, self.alpha > 0.0), ("soft", &self.soft, self.alpha < 1.0)]
        {
            if computed {
                near(key, number(answer, key), expected.iter().sum());
            } else {
                assert!(answer[key].is_null(), "{}", self.name);
            }
        }
        if self.reduction == "none" {
            let rows = answer["row_losses"].as_array().expect("a list");
            assert_eq!(rows.len(), self.loss.len(), "{}", self.name);
            for (found, expected) in rows.iter().zip(&self.loss) {
                near("a row's loss", found.as_f64().expect("a number"), *expected);
            }
        }
    }
}

#[test]
fn the_reference_answers_as_pytorch_does() {
    let cases = cases();
    assert_eq!(cases.len(), 82);
    for case in cases {
        let answer = eval(&data("kd_golden.safetensors"), &format!("{} --backend reference", case.args));
        assert_eq!(answer["backend"], "reference");
        case.check(&answer, 1e-12);
    }
}

#[test]
fn the_cpu_answers_as_pytorch_does_with_gradients() {
    check_with_gradients("cpu", 1.0);
}

/// On the best adapter; a GPU may take twice what the processor may.
#[cfg(feature = "wgpu")]
#[test]
fn wgpu_answers_as_pytorch_does_with_gradients() {
    if super::wgpu::an_adapter_is_there() {
        check_with_gradients("wgpu", 2.0);
    }
}

/// Runs every case on a backend; `factor` widens the tolerances.
fn check_with_gradients(backend: &str, factor: f64) {
    let folder = Folder::new();
    let path = folder.path("grad.safetensors");
    let cases = cases();
    assert_eq!(cases.len(), 82);
    for case in cases {
        let args = format!("{} --backend {backend} --grad-out {}", case.args, path.display());
        let answer = eval(&data("kd_golden.safetensors"), &args);
        assert_eq!(answer["backend"], backend);
        case.check(&answer, factor * 5e-6);
        let (_, gradient) = gradient(&path);
        assert_eq!(gradient.len(), case.gradient.len(), "{}", case.name);
        let largest = case.gradient.iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
        for (found, expected) in gradient.iter().zip(&case.gradient) {
            assert!(
                close(f64::from(*found), *expected, factor * 4e-6 * largest),
                "{}: {found} for {expected}",
                case.name
            );
        }
    }
}
