//! `kdloss temperature`: its numbers, its table, its plot.

use std::fs;

use serde_json::Value;

use super::support::{Folder, close, error, f32s, json, keys, noise, number, run};

const ROWS: usize = 70;
const VOCAB: usize = 40;

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The mean over rows of what `of_row` says of teacher and student.
fn mean(teacher: &[f32], student: &[f32], temperature: f64, of_row: fn(&[f64], &[f64]) -> f64) -> f64 {
    let rows = teacher.chunks_exact(VOCAB).zip(student.chunks_exact(VOCAB));
    let sum: f64 = rows.map(|(t, s)| of_row(&softmax(t, temperature), &softmax(s, temperature))).sum();
    sum / (teacher.len() / VOCAB) as f64
}

fn entropy(p: &[f64], _: &[f64]) -> f64 {
    -p.iter().map(|p| p * p.ln()).sum::<f64>()
}

fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum()
}

fn largest(p: &[f64], _: &[f64]) -> f64 {
    p.iter().copied().fold(0.0, f64::max)
}

fn outside_top10(p: &[f64], _: &[f64]) -> f64 {
    let mut p = p.to_vec();
    p.sort_by(f64::total_cmp);
    p[..p.len() - 10].iter().sum()
}

fn levels(answer: &Value) -> &Vec<Value> {
    answer["temperatures"].as_array().expect("a list")
}

#[test]
fn the_numbers_are_those_of_the_formulas() {
    let folder = Folder::new();
    let (student, teacher) = (noise(1, ROWS * VOCAB), noise(2, ROWS * VOCAB));
    let tensors = [f32s("student", &[ROWS, VOCAB], &student), f32s("teacher", &[ROWS, VOCAB], &teacher)];
    let answer = json(run("temperature", &folder.save("batch.safetensors", &tensors), ""));
    assert_eq!(keys(&answer), ["rows", "vocab", "dropped_teacher_columns", "left_out_rows", "temperatures"]);
    assert_eq!((number(&answer, "rows"), number(&answer, "left_out_rows")), (ROWS as f64, 0.0));
    let temperatures: Vec<f64> = levels(&answer).iter().map(|level| number(level, "temperature")).collect();
    assert_eq!(temperatures, [1.0, 2.0, 4.0, 8.0, 16.0]);
    for (level, temperature) in levels(&answer).iter().zip(temperatures) {
        let expected_keys = ["temperature", "entropy", "top1_probability", "mass_outside_top10", "kl", "t2_kl"];
        assert_eq!(keys(level), expected_keys);
        let expected = |of_row| mean(&teacher, &student, temperature, of_row);
        assert!(close(number(level, "entropy"), expected(entropy), 1e-10));
        assert!(close(number(level, "top1_probability"), expected(largest), 1e-12));
        assert!(close(number(level, "mass_outside_top10"), expected(outside_top10), 1e-12));
        let kl = expected(divergence);
        assert!(close(number(level, "kl"), kl, 5e-6 * kl));
        assert!(close(number(level, "t2_kl"), temperature * temperature * kl, 5e-6 * temperature * temperature * kl));
    }
}

#[test]
fn without_a_student_only_the_teacher_is_shown() {
    let folder = Folder::new();
    let file = folder.save("teacher.safetensors", &[f32s("logits", &[2, 3, 5], &noise(1, 30))]);
    let answer = json(run("temperature", &file, "--teacher logits --temperatures 3,0.5,3"));
    let temperatures: Vec<f64> = levels(&answer).iter().map(|level| number(level, "temperature")).collect();
    assert_eq!((temperatures, number(&answer, "rows")), (vec![0.5, 3.0], 6.0));
    assert!(levels(&answer).iter().all(|level| level["kl"].is_null() && level["t2_kl"].is_null()));

    let main = folder.save("main.safetensors", &[f32s("student", &[2, 3, 5], &noise(2, 30))]);
    let args = format!("--teacher logits --teacher-file {}", file.display());
    let answer = json(run("temperature", &main, &args));
    assert!(levels(&answer).iter().all(|level| number(level, "kl") > 0.0));
}

#[test]
fn the_vocabulary_leaves_out_padding() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[f32s("teacher", &[1, 4], &[1.0, 1.0, 99.0, 99.0])]);
    let answer = json(run("temperature", &file, "--vocab 2 --temperatures 1"));
    assert_eq!(number(&answer, "vocab"), 2.0);
    assert!(close(number(&levels(&answer)[0], "top1_probability"), 0.5, 1e-12));
}

#[test]
fn rows_without_a_distribution_are_left_out_and_counted() {
    let folder = Folder::new();
    let teacher = [1.0, 1.0, f32::NAN, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, 0.0];
    let student = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, f32::INFINITY, 1.0];
    let tensors = [f32s("student", &[4, 2], &student), f32s("teacher", &[4, 2], &teacher)];
    let file = folder.save("batch.safetensors", &tensors);
    let answer = json(run("temperature", &file, ""));
    assert_eq!(number(&answer, "left_out_rows"), 3.0);
    assert!(levels(&answer).iter().all(|level| number(level, "kl") == 0.0 && number(level, "top1_probability") == 0.5));
    let output = run("temperature", &file, "").assert().success().get_output().clone();
    assert!(String::from_utf8_lossy(&output.stdout).contains("3 rows left out"));

    let file = folder.save("nan.safetensors", &[f32s("teacher", &[1, 2], &[f32::NAN, 0.0])]);
    assert!(error(run("temperature", &file, "")).contains("none of the 1 rows"));
}

#[test]
fn an_infinite_divergence_is_a_string_and_can_be_drawn() {
    let folder = Folder::new();
    let tensors = [f32s("student", &[1, 2], &[f32::NEG_INFINITY, 0.0]), f32s("teacher", &[1, 2], &[0.0, 0.0])];
    let path = folder.path("plot.png");
    let args = format!("--plot {}", path.display());
    let answer = json(run("temperature", &folder.save("batch.safetensors", &tensors), &args));
    assert!(levels(&answer).iter().all(|level| level["kl"] == "inf" && level["t2_kl"] == "inf"));
    assert!(path.exists());
}

#[test]
fn plots_are_written_in_the_format_of_their_extension() {
    let folder = Folder::new();
    let tensors = [f32s("student", &[3, 20], &noise(1, 60)), f32s("teacher", &[3, 20], &noise(2, 60))];
    let file = folder.save("batch.safetensors", &tensors);
    for name in ["plot.png", "plot.SVG"] {
        let args = format!("--plot {}", folder.path(name).display());
        let output = run("temperature", &file, &args).assert().success().get_output().clone();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("T²·KL") && text.contains(name), "{text}");
    }
    assert!(fs::read(folder.path("plot.png")).expect("a plot").starts_with(b"\x89PNG\r\n\x1a\n"));
    let svg = fs::read_to_string(folder.path("plot.SVG")).expect("a plot");
    for part in ["<svg", "temperature T", "top 2 to 10", "uniform: ln 20", "T²·KL, the soft term", "</svg>"] {
        assert!(svg.contains(part), "{part}");
    }
    assert_eq!(folder.names(), ["batch.safetensors", "plot.SVG", "plot.png"]);
    let line = error(run("temperature", &file, &format!("--plot {}", folder.path("plot.pdf").display())));
    assert!(line.contains(".png or .svg"), "{line}");
}

#[test]
fn odd_lists_of_temperatures_are_refused() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[f32s("teacher", &[1, 2], &[1.0, 2.0])]);
    for (args, value) in [("--temperatures 1,0", "temperature 0"), ("--temperatures -2", "temperature -2")] {
        assert!(error(run("temperature", &file, args)).contains(value));
    }
    assert!(
        error(run("temperature", &folder.save("s.safetensors", &[f32s("student", &[1, 2], &[1.0, 2.0])]), ""))
            .contains("--teacher")
    );
}
