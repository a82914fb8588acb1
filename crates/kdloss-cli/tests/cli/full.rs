//! A disk that is full: the user's file is named, and what to do. The disk is a tmpfs, where one may be mounted.

use std::path::Path;

use assert_cmd::Command;

use super::support::{Folder, error, f32s, noise};

/// Runs arguments of the program with a file system of 16 KiB mounted on `full`, and lists then what is left on it.
fn on_a_small_disk(unshare: &str, full: &Path, program: &Path) -> Command {
    let script = "mount -t tmpfs -o size=16k tmpfs \"$0\" || exit 99; \"$@\"; code=$?; ls -A \"$0\"; exit $code";
    let mut command = Command::new("unshare");
    command.args([unshare, "sh", "-c", script]).arg(full).arg(program);
    command
}

/// How to get a mount namespace here. Where there is none, the test is skipped, but not in CI.
fn unshare(full: &Path) -> Option<&'static str> {
    let works = |option: &&str| {
        let output = on_a_small_disk(option, full, Path::new("true")).output();
        output.is_ok_and(|output| output.status.success())
    };
    let option = ["-m", "-rm"].into_iter().find(works);
    if option.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs: `unshare -rm`");
        eprintln!("skipped: neither `unshare -m` nor `unshare -rm` may mount a tmpfs here");
    }
    option
}

#[test]
fn the_users_file_is_named() {
    let folder = Folder::new();
    let full = folder.path("full");
    std::fs::create_dir(&full).expect("created");
    let Some(unshare) = unshare(&full) else { return };
    let tensors = [f32s("student", &[64, 1000], &noise(1, 64_000)), f32s("teacher", &[64, 1000], &noise(2, 64_000))];
    let batch = folder.save("batch.safetensors", &tensors);
    let cases = [
        ("eval", "--alpha 0 --grad-out", "grad.safetensors"),
        ("temperature", "--plot", "plot.png"),
        ("temperature", "--plot", "plot.svg"),
    ];
    for (command, option, name) in cases {
        let output = full.join(name);
        let mut process = on_a_small_disk(unshare, &full, assert_cmd::cargo::cargo_bin!("kdloss"));
        process.arg(command).arg(&batch).args(option.split(' ')).arg(&output);
        // Nothing on stdout: nothing is left on the disk.
        let line = error(process);
        for part in [&format!("cannot write {}", output.display()), "No space left", "free some space"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains(".kdloss-") && !line.contains("Error("), "{line}");
    }
}
