//! What people are shown fits a page: 100 columns where the output is no terminal.

use std::path::PathBuf;

use super::support::{Folder, f32s, i64s, kdloss, noise, printed, run};

const COLUMNS: usize = 100;

#[track_caller]
pub(crate) fn assert_fits(text: &str) {
    assert!(text.lines().count() > 3, "{text}");
    for line in text.lines() {
        let width = line.chars().count();
        assert!(width <= COLUMNS, "{width} columns: {line}\n{text}");
    }
}

fn batch(folder: &Folder) -> PathBuf {
    let tensors = [
        f32s("student", &[4, 50], &noise(1, 4 * 50)),
        f32s("teacher", &[4, 50], &noise(2, 4 * 50)),
        i64s("labels", &[4], &[3, -100, 49, 0]),
    ];
    folder.save("batch.safetensors", &tensors)
}

/// A student of 32 classes, and a teacher of as many as fill the line.
fn wider_teacher(folder: &Folder) -> PathBuf {
    let tensors = [f32s("student", &[1, 32], &noise(1, 32)), f32s("teacher", &[1, 1_000_000], &noise(2, 1_000_000))];
    folder.save("wider.safetensors", &tensors)
}

#[test]
fn every_line_fits() {
    let folder = Folder::new();
    let file = batch(&folder);
    let small = "--rows 4 --vocab 1000,151936 --dtype f32,f16,bf16 --rounds 3";
    let bench = |args: &str| {
        let mut process = kdloss(["bench"]);
        process.args(small.split_whitespace()).args(args.split_whitespace());
        printed(process)
    };
    assert_fits(&printed(kdloss(["doctor"])));
    assert_fits(&printed(run("eval", &file, "--backend cpu --denominator 4096")));
    assert_fits(&printed(run("eval", &file, "--backend auto --reduction none --alpha 0.25")));
    assert_fits(&printed(run("eval", &wider_teacher(&folder), "--alpha 0")));
    assert_fits(&printed(run("temperature", &file, "--temperatures 0.5,1,1.5,2,3,4,6,8,12,16,10000")));
    assert_fits(&bench("--backend cpu"));
    assert_fits(&bench("--forward-only"));
}

/// A long word, as a path is, is broken where a table has no room for it, and nothing of it is lost.
#[test]
fn a_long_note_wraps_and_stays_whole() {
    let mut process = kdloss(["doctor"]);
    let choice = "no-such-instructions-".repeat(12);
    process.env("KDLOSS_CPU", &choice);
    let text = printed(process);
    assert_fits(&text);
    let letters = |text: &str| text.chars().filter(|c| c.is_ascii_alphabetic() || *c == '-').collect::<String>();
    assert!(letters(&text).contains(&letters(&choice)), "{text}");
}

/// A path is printed as it is, to be copied: no line break within it.
#[test]
fn a_path_in_a_sentence_stays_whole() {
    let folder = Folder::new();
    let file = batch(&folder);
    let gradient = folder.path(&format!("{}.safetensors", "gradient-".repeat(12)));
    let text = printed(run("eval", &file, &format!("--grad-out {}", gradient.display())));
    assert!(text.contains(&gradient.display().to_string()), "{text}");
    assert!(gradient.exists());
}
