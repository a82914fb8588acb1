//! What can be computed but is hardly meant: a warning, or an error where `--strict` asks for it.

use std::path::Path;

use half::bf16;

use super::support::{Folder, bf16s, close, error, eval, f32s, json, json_and_warning, noise, number, run, softmaxed};

const COMMANDS: [(&str, &str); 2] = [("eval", "--alpha 0"), ("temperature", "")];

/// The warning of either command; strictly, the same words are the error, and no file is written.
#[track_caller]
fn warned(folder: &Folder, file: &Path, commands: &[(&str, &str)], parts: &[&str]) {
    for (command, args) in commands {
        let (_, warning) = json_and_warning(run(command, file, args));
        for part in parts {
            assert!(warning.contains(part), "{part} is not in {warning}");
        }
        let before = folder.names();
        let output = if *command == "eval" { "--grad-out" } else { "--plot" };
        let strict = format!("{args} --strict {output} {}", folder.path("output.png").display());
        let line = error(run(command, file, &strict));
        assert_eq!(line.strip_prefix("error: "), warning.strip_prefix("warning: "));
        assert_eq!(folder.names(), before);
    }
}

#[test]
fn a_teacher_of_probabilities() {
    let folder = Folder::new();
    let probabilities = softmaxed(&noise(2, 60), 20);
    let brains: Vec<bf16> = probabilities.iter().map(|&entry| bf16::from_f32(entry)).collect();
    let student = || f32s("student", &[3, 20], &noise(1, 60));
    let parts = ["the teacher's rows", "probabilities", "save the logits"];
    let file = folder.save("f32.safetensors", &[student(), f32s("teacher", &[3, 20], &probabilities)]);
    warned(&folder, &file, &COMMANDS, &parts);
    let file = folder.save("bf16.safetensors", &[student(), bf16s("teacher", &[3, 20], &brains)]);
    warned(&folder, &file, &COMMANDS, &parts);
    // Padding on the left is no logits.
    let padded: Vec<f32> = [&[0.0; 20][..], &probabilities[20..]].concat();
    let file = folder.save("padded.safetensors", &[student(), f32s("teacher", &[3, 20], &padded)]);
    warned(&folder, &file, &COMMANDS, &parts);
}

/// Their logarithms are logits, and so are numbers that are merely not below 0, one class, and rows of zeros.
#[test]
fn what_is_no_probability_is_not_warned_about() {
    let folder = Folder::new();
    let probabilities = softmaxed(&noise(2, 60), 20);
    let logarithms: Vec<f32> = probabilities.iter().map(|entry| entry.ln()).collect();
    let raised: Vec<f32> = noise(2, 60).iter().map(|logit| logit + 4.0).collect();
    for teacher in [logarithms, raised, vec![0.0; 60]] {
        let tensors = [f32s("student", &[3, 20], &noise(1, 60)), f32s("teacher", &[3, 20], &teacher)];
        eval(&folder.save("batch.safetensors", &tensors), "--alpha 0 --strict");
    }
    let single = [f32s("student", &[2, 1], &[1.0; 2]), f32s("teacher", &[2, 1], &[1.0; 2])];
    eval(&folder.save("single.safetensors", &single), "--alpha 0 --strict");
}

#[test]
fn a_teacher_much_wider_than_the_student() {
    let folder = Folder::new();
    let save = |teacher: usize| {
        let tensors =
            [f32s("student", &[2, 32], &noise(1, 64)), f32s("teacher", &[2, teacher], &noise(2, 2 * teacher))];
        folder.save("batch.safetensors", &tensors)
    };
    let file = save(152);
    warned(&folder, &file, &COMMANDS, &["120 of the teacher's 152 columns", "has 32", "tokenizer", "--vocab 32"]);
    for (command, args) in COMMANDS {
        let (answer, _) = json_and_warning(run(command, &file, args));
        assert_eq!(number(&answer, "dropped_teacher_columns"), 120.0);
        let output = run(command, &file, args).assert().success().get_output().clone();
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(table.contains("120 more of the teacher's"), "{table}");
        // Asked for, it is no mistake; nor is padding.
        let asked = json(run(command, &file, &format!("{args} --vocab 32 --strict")));
        assert_eq!(number(&asked, "dropped_teacher_columns"), 120.0);
        assert_eq!(number(&json(run(command, &save(33), &format!("{args} --strict"))), "dropped_teacher_columns"), 1.0);
        save(152);
    }
}

#[test]
fn a_loss_that_is_nan() {
    let folder = Folder::new();
    let mut student = noise(1, 60);
    student[25] = f32::NAN;
    let tensors = [f32s("student", &[3, 20], &student), f32s("teacher", &[3, 20], &noise(2, 60))];
    let file = folder.save("batch.safetensors", &tensors);
    warned(&folder, &file, &COMMANDS[..1], &["the loss is NaN", "1 of 3 rows", "row 1 first", "check what wrote"]);
    assert!(close(number(&json_and_warning(run("eval", &file, "--alpha 0")).0, "nonfinite_rows"), 1.0, 0.0));
}
