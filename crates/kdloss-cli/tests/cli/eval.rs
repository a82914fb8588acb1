//! `kdloss eval`: its options and what it prints.

use kdloss::{Batch, DistillationLoss, Matrix, reference};
use serde_json::{Value, json};

use super::support::{Folder, close, error, eval, f32s, gradient, i64s, json_and_warning, keys, noise, number, run};

const KEYS: [&str; 11] = [
    "loss",
    "hard",
    "soft",
    "rows",
    "vocab",
    "dropped_teacher_columns",
    "counted_rows",
    "nonfinite_rows",
    "backend",
    "device",
    "milliseconds",
];

const ROWS: usize = 4;
const VOCAB: usize = 7;

/// Four rows of seven classes, of which the third row has no label.
fn batch(folder: &Folder) -> std::path::PathBuf {
    folder.save(
        "batch.safetensors",
        &[
            f32s("student", &[ROWS, VOCAB], &noise(1, ROWS * VOCAB)),
            f32s("teacher", &[ROWS, VOCAB], &noise(2, ROWS * VOCAB)),
            i64s("labels", &[ROWS], &[3, 0, -100, 6]),
        ],
    )
}

/// What the library's oracle says about the same batch.
fn expected(loss: &DistillationLoss) -> (kdloss::LossValue, Vec<f64>) {
    let (student, teacher) = (noise(1, ROWS * VOCAB), noise(2, ROWS * VOCAB));
    let batch = Batch::new(Matrix::new(&student, ROWS, VOCAB))
        .with_teacher(Matrix::new(&teacher, ROWS, VOCAB))
        .with_labels(&[3i64, 0, -100, 6]);
    reference::forward_backward(loss, &batch).expect("a sound batch")
}

#[test]
fn json_has_exactly_the_documented_keys() {
    let folder = Folder::new();
    let answer = eval(&batch(&folder), "--backend cpu");
    assert_eq!(keys(&answer), KEYS);
    let (value, _) = expected(&DistillationLoss::new());
    assert!(close(number(&answer, "loss"), value.loss, 1e-5));
    assert!(close(number(&answer, "hard"), value.hard.expect("computed"), 1e-5));
    assert!(close(number(&answer, "soft"), value.soft.expect("computed"), 1e-5));
    assert_eq!(answer["rows"], 4);
    assert_eq!(answer["vocab"], 7);
    assert_eq!(answer["counted_rows"], 3);
    assert_eq!(answer["nonfinite_rows"], 0);
    assert_eq!(answer["backend"], "cpu");
    assert!(answer["device"].as_str().is_some_and(|device| device.contains("thread")));
    assert!(number(&answer, "milliseconds") > 0.0);
}

#[test]
fn without_a_reduction_rows_are_listed_and_terms_are_sums() {
    let folder = Folder::new();
    let file = batch(&folder);
    let none = eval(&file, "--reduction none");
    assert_eq!(keys(&none), [&KEYS[..], &["row_losses"]].concat());
    let rows: Vec<f64> = none["row_losses"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!((rows.len(), rows[2]), (4, 0.0));
    assert!(rows[0] > 0.0 && close(number(&none, "loss"), rows.iter().sum(), 1e-12));

    let sum = eval(&file, "--reduction sum");
    for key in ["loss", "hard", "soft"] {
        assert_eq!(sum[key], none[key]);
        assert!(close(number(&eval(&file, "--reduction mean"), key), number(&sum, key) / 3.0, 1e-12));
        assert!(close(number(&eval(&file, "--denominator 12.5"), key), number(&sum, key) / 12.5, 1e-12));
    }
    assert_eq!(keys(&eval(&file, "--denominator 2")), KEYS);
}

#[test]
fn temperature_and_alpha_reach_the_loss() {
    let folder = Folder::new();
    let file = batch(&folder);
    for (temperature, alpha) in [(1.0, 0.25), (2.5, 0.9), (10.0, 0.5)] {
        let (value, _) = expected(&DistillationLoss::new().with_temperature(temperature).with_alpha(alpha));
        let answer = eval(&file, &format!("--temperature {temperature} --alpha {alpha} --backend reference"));
        assert_eq!(number(&answer, "loss"), value.loss);
        assert_eq!(answer["backend"], "reference");
    }
}

#[test]
fn ignored_rows_and_the_ignore_index_decide_which_rows_count() {
    let folder = Folder::new();
    let file = batch(&folder);
    let skip = eval(&file, "--reduction sum");
    let soft_only = eval(&file, "--reduction sum --ignored-rows soft-only");
    assert_eq!(skip["hard"], soft_only["hard"]);
    assert!(number(&soft_only, "soft") > number(&skip, "soft"));
    assert_eq!(soft_only["counted_rows"], 3);

    let other = folder.save(
        "other.safetensors",
        &[
            f32s("student", &[ROWS, VOCAB], &noise(1, ROWS * VOCAB)),
            f32s("teacher", &[ROWS, VOCAB], &noise(2, ROWS * VOCAB)),
            i64s("labels", &[ROWS], &[3, 0, -1, 6]),
        ],
    );
    assert_eq!(eval(&other, "--ignore-index -1 --reduction sum")["loss"], skip["loss"]);
}

#[test]
fn a_term_that_is_not_computed_is_null_and_needs_no_tensor() {
    let folder = Folder::new();
    let student = f32s("student", &[2, 3], &noise(3, 6));
    let hard_only = folder.save("hard.safetensors", &[student, i64s("labels", &[2], &[0, 2])]);
    let answer = eval(&hard_only, "--alpha 1");
    assert_eq!((&answer["soft"], answer["hard"].is_f64()), (&Value::Null, true));
    assert_eq!(answer["loss"], answer["hard"]);

    let tensors = [f32s("student", &[2, 3], &noise(3, 6)), f32s("teacher", &[2, 3], &noise(4, 6))];
    let answer = eval(&folder.save("soft.safetensors", &tensors), "--alpha 0");
    assert_eq!((&answer["hard"], answer["soft"].is_f64()), (&Value::Null, true));
    assert_eq!((&answer["counted_rows"], &answer["loss"]), (&json!(2), &answer["soft"]));
}

#[test]
fn infinities_and_nan_are_strings() {
    let folder = Folder::new();
    let masked = [0.0, f32::NEG_INFINITY, 1.0, 1.0, 2.0, 3.0];
    let tensors =
        [f32s("student", &[2, 3], &masked), f32s("teacher", &[2, 3], &noise(4, 6)), i64s("labels", &[2], &[0, 1])];
    let answer = eval(&folder.save("masked.safetensors", &tensors), "--reduction none");
    assert_eq!(
        (&answer["loss"], &answer["soft"], &answer["nonfinite_rows"]),
        (&json!("inf"), &json!("inf"), &json!(0))
    );
    assert_eq!(answer["row_losses"][0], "inf");
    assert!(answer["row_losses"][1].is_f64() && answer["hard"].is_f64());

    let tensors = [
        f32s("student", &[2, 3], &[0.0, f32::NAN, 1.0, 1.0, 2.0, 3.0]),
        f32s("teacher", &[2, 3], &noise(4, 6)),
        i64s("labels", &[2], &[0, 1]),
    ];
    let (answer, _) = json_and_warning(run("eval", &folder.save("nan.safetensors", &tensors), ""));
    assert_eq!(
        (&answer["loss"], &answer["hard"], &answer["nonfinite_rows"]),
        (&json!("nan"), &json!("nan"), &json!(1))
    );
}

#[test]
fn the_gradient_is_that_of_the_oracle_on_either_backend() {
    let folder = Folder::new();
    let file = batch(&folder);
    let path = folder.path("grad.safetensors");
    let (_, exact) = expected(&DistillationLoss::new().with_alpha(0.3));
    for backend in ["cpu", "reference", "auto"] {
        eval(&file, &format!("--alpha 0.3 --backend {backend} --grad-out {}", path.display()));
        let (shape, entries) = gradient(&path);
        assert_eq!(shape, [ROWS, VOCAB]);
        for (found, exact) in entries.iter().zip(&exact) {
            assert!(close(f64::from(*found), *exact, 1e-6), "{backend}: {found} for {exact}");
        }
    }
    assert_eq!(folder.names(), ["batch.safetensors", "grad.safetensors"]);
}

#[cfg(unix)]
#[test]
fn the_gradient_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let path = folder.path("grad.safetensors");
    eval(&batch(&folder), &format!("--grad-out {}", path.display()));
    let mode = |path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(path), mode(folder.write("plain", b"")));
}

#[test]
fn people_get_a_table() {
    let folder = Folder::new();
    let file = batch(&folder);
    let output = run("eval", &file, "--reduction none --temperature 2.5").assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).expect("text");
    for part in ["loss", "hard", "soft", "rows", "counted rows", "nonfinite rows", "vocabulary", "milliseconds", "2.5"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let answer = eval(&file, "--reduction none --temperature 2.5");
    assert!(text.contains(&format!("{:.6}", number(&answer, "loss"))));
    assert!(text.contains(&format!("{:.6}", answer["row_losses"][3].as_f64().expect("a number"))));
}

#[test]
fn backends_that_are_not_built_in_say_so() {
    let folder = Folder::new();
    let file = batch(&folder);
    let mut asked: Vec<(&str, &str)> = Vec::new();
    if cfg!(not(feature = "cuda")) {
        asked.push(("cuda", "--backend cuda"));
    }
    if cfg!(not(feature = "wgpu")) {
        asked.extend(["--backend wgpu", "--backend wgpu --adapter 0", "--adapter 0"].map(|args| ("wgpu", args)));
    }
    for (backend, args) in asked {
        let line = error(run("eval", &file, args));
        for part in [&format!("{backend} is not built"), &format!("--features {backend}"), &"--backend cpu".to_owned()]
        {
            assert!(line.contains(part.as_str()), "{part} is not in {line}");
        }
    }
}

#[test]
fn an_adapter_is_for_wgpu_only() {
    let folder = Folder::new();
    let file = batch(&folder);
    for backend in ["cpu", "reference", "cuda"] {
        let line = error(run("eval", &file, &format!("--backend {backend} --adapter 0")));
        for part in ["--adapter 0", &format!("--backend is {backend}"), "--backend wgpu"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}

#[test]
fn no_rows_are_no_loss() {
    let folder = Folder::new();
    let tensors = [f32s("student", &[0, 3], &[]), f32s("teacher", &[0, 3], &[]), i64s("labels", &[0], &[])];
    let answer = eval(&folder.save("empty.safetensors", &tensors), "");
    assert_eq!((number(&answer, "loss"), &answer["rows"]), (0.0, &json!(0)));
}
