//! `kdloss completions`, and what is said about arguments that are too many.

use super::support::kdloss;

#[test]
fn each_shell_gets_a_script_with_the_options() {
    for (shell, part) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef kdloss"),
        ("fish", "complete -c kdloss"),
        ("powershell", "Register-"),
    ] {
        let output = kdloss(["completions", shell]).assert().success().get_output().clone();
        let script = String::from_utf8(output.stdout).expect("text");
        for part in [part, "teacher-file", "strict"] {
            assert!(script.contains(part), "{part} is not in {shell}'s");
        }
    }
    kdloss(["completions", "abacus"]).assert().code(2);
}

#[test]
fn a_reader_of_a_script_that_leaves_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin!("kdloss"));
    let output = process.args(["completions", "zsh"]).stdout(writer).output().expect("it ran");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_second_file_is_the_teachers() {
    let said = |args: &[&str]| {
        let output = kdloss(args).assert().code(2).get_output().clone();
        String::from_utf8(output.stderr).expect("text")
    };
    for command in ["eval", "temperature"] {
        let text = said(&[command, "a.safetensors", "b.safetensors"]);
        assert!(text.contains("--teacher-file b.safetensors"), "{text}");
    }
    for args in [&["eval", "a", "--teecher", "b"][..], &["doctor", "b"]] {
        assert!(!said(args).contains("--teacher-file b"), "{args:?}");
    }
}
