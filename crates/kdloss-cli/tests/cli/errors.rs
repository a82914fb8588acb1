//! What can be wrong: exit code 2, one line that names the value and the remedy, and no file left behind.

use std::path::Path;

use super::support::{Folder, Stored, error, f32s, i32s, i64s, kdloss, noise, run};

fn student() -> Stored {
    f32s("student", &[2, 3], &noise(1, 6))
}

fn teacher() -> Stored {
    f32s("teacher", &[2, 3], &noise(2, 6))
}

fn labels() -> Stored {
    i64s("labels", &[2], &[0, 2])
}

/// Runs `eval` with a gradient file, expects it to fail, and checks that each part of `parts` is in the line.
fn refused(folder: &Folder, file: &Path, args: &str, parts: &[&str]) {
    let before = folder.names();
    let gradient = folder.path("grad.safetensors");
    let line = error(run("eval", file, &format!("{args} --grad-out {}", gradient.display())));
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert_eq!(folder.names(), before, "a file was left behind");
}

#[test]
fn numbers_out_of_range() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[student(), teacher(), labels()]);
    let cases: [(&str, &[&str]); 9] = [
        ("--temperature 0", &["temperature 0 ", "4 is a good start"]),
        ("--temperature -1", &["temperature -1 "]),
        ("--temperature nan", &["temperature NaN "]),
        ("--temperature 1e-30", &["temperature "]),
        ("--alpha 1.5", &["alpha 1.5", "0 to 1"]),
        ("--alpha -0.5", &["alpha -0.5"]),
        ("--denominator 0", &["denominator 0", "--denominator"]),
        ("--vocab 0", &["--vocab 0", "at least 1"]),
        ("--vocab 4", &["--vocab 4", "at most 3"]),
    ];
    for (args, parts) in cases {
        refused(&folder, &file, args, parts);
    }
}

#[test]
fn labels_that_are_no_class() {
    let folder = Folder::new();
    let file = folder.save("high.safetensors", &[student(), teacher(), i64s("labels", &[2], &[0, 3])]);
    refused(&folder, &file, "", &["row 1", "label 3", "0..3", "--vocab"]);
    let file = folder.save("low.safetensors", &[student(), teacher(), i32s("labels", &[2], &[-1, 0])]);
    refused(&folder, &file, "--backend reference", &["row 0", "label -1", "--ignore-index -1"]);
}

#[test]
fn tensors_that_are_missing() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[student(), labels()]);
    refused(&folder, &file, "", &["`teacher`", "it has labels, student", "--teacher", "--alpha 1"]);
    refused(&folder, &file, "--alpha 1 --teacher big", &["`big`", "leave them away"]);
    refused(&folder, &file, "--student logits", &["`logits`", "--student"]);
    let file = folder.save("unlabelled.safetensors", &[student(), teacher()]);
    refused(&folder, &file, "", &["`labels`", "it has student, teacher", "--labels", "--alpha 0"]);
    refused(&folder, &file, "--alpha 0 --labels lables", &["`lables`", "leave them away"]);
    let file = folder.save("nothing.safetensors", &[]);
    refused(&folder, &file, "", &["`student`", "it has none"]);
}

#[test]
fn types_that_are_not_logits_or_labels() {
    let folder = Folder::new();
    let file = folder.save("i64.safetensors", &[i64s("student", &[2, 3], &[0; 6]), teacher(), labels()]);
    refused(&folder, &file, "", &["`student`", "I64", "F32, F16, BF16 or F64"]);
    let file = folder.save("float.safetensors", &[student(), teacher(), f32s("labels", &[2], &[0.0, 1.0])]);
    refused(&folder, &file, "", &["`labels`", "F32", "whole numbers, such as I64"]);
}

#[test]
fn shapes_that_do_not_fit() {
    let folder = Folder::new();
    let save = |tensors: &[Stored]| folder.save("batch.safetensors", tensors);
    let file = save(&[f32s("student", &[6], &noise(1, 6)), teacher(), labels()]);
    refused(&folder, &file, "", &["`student`", "[6]", "[N, V] or [B, S, V]"]);
    let file = save(&[f32s("student", &[1, 1, 2, 3], &noise(1, 6)), teacher(), labels()]);
    refused(&folder, &file, "", &["[1, 1, 2, 3]"]);
    let file = save(&[f32s("student", &[2, 0], &[]), teacher(), labels()]);
    refused(&folder, &file, "", &["[2, 0]", "at least one column"]);
    let file = save(&[student(), f32s("teacher", &[3, 3], &noise(2, 9)), labels()]);
    refused(&folder, &file, "", &["`teacher`", "[3, 3]", "[2]"]);
    let file = save(&[student(), teacher(), i64s("labels", &[3], &[0, 1, 2])]);
    refused(&folder, &file, "", &["`labels`", "[3]", "[2]"]);
    let file = save(&[student(), teacher(), i64s("labels", &[], &[0])]);
    refused(&folder, &file, "", &["`labels`", "[]"]);
    let deep = |name, shape: [usize; 3]| f32s(name, &shape, &noise(1, 36));
    let file = save(&[deep("student", [2, 6, 3]), deep("teacher", [3, 4, 3])]);
    refused(&folder, &file, "--alpha 0", &["[3, 4, 3]", "[2, 6]"]);
    let file = save(&[student(), teacher(), labels()]);
    refused(&folder, &file, "--shift", &["--shift", "[B, S, V]", "[2, 3]"]);
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new();
    refused(&folder, &folder.path("absent.safetensors"), "", &["absent.safetensors", "cannot read"]);
    refused(&folder, Path::new("."), "", &["not a regular file"]);
    let file = folder.save("batch.safetensors", &[student(), teacher(), labels()]);
    let absent = folder.path("absent.safetensors");
    refused(&folder, &file, &format!("--teacher-file {}", absent.display()), &["absent.safetensors"]);
}

#[test]
fn files_that_are_damaged() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[student(), teacher(), labels()]);
    let bytes = std::fs::read(&file).expect("just written");
    let damaged = |bytes: &[u8], parts: &[&str]| {
        refused(&folder, &folder.write("damaged.safetensors", bytes), "", parts);
    };
    damaged(&[], &["0 bytes", "write it again"]);
    damaged(&bytes[..5], &["5 bytes"]);
    damaged(&bytes[..20], &["20 bytes in all", "truncated"]);
    damaged(&bytes[..bytes.len() - 1], &["describes tensors of 64 bytes", "holds 63", "truncated"]);
    damaged(&[&bytes[..], &[0]].concat(), &["64 bytes", "holds 65"]);
    damaged(&[&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat(), &["18446744073709551615", "header"]);
    damaged(&[&200_000_000u64.to_le_bytes()[..], &bytes[8..]].concat(), &["200000000", "100000000"]);
    damaged(b"\x08\0\0\0\0\0\0\0not json", &["no valid safetensors file", "JSON"]);
    damaged(b"PK\x03\x04 a zip archive, as torch.save writes it", &["as torch.save writes it"]);
}

/// Tensors whose sizes add up to just under 2⁶⁴ bytes: a reader must not add anything to that.
#[test]
fn headers_that_describe_more_than_fits() {
    const LARGEST: usize = (1 << 61) - 1;
    let entry = |name: usize, start: usize, end: usize| {
        format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{start},{end}]}}"#, end - start)
    };
    let mut entries: Vec<String> = (0..8).map(|name| entry(name, name * LARGEST, (name + 1) * LARGEST)).collect();
    entries.push(entry(8, 8 * LARGEST, usize::MAX));
    let header = format!("{{{}}}", entries.join(","));
    let folder = Folder::new();
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    refused(&folder, &folder.write("huge.safetensors", &bytes), "", &["18446744073709551615", "holds 0"]);
}

#[test]
fn names_from_outside_cannot_break_the_line() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[f32s("two\nlines \x1b[31m", &[1, 2], &[0.0, 1.0])]);
    refused(&folder, &file, "", &["two\\nlines \\u{1b}[31m"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[student(), teacher(), labels()]);
    let before = std::fs::read(&file).expect("there");
    let refused = |output: &Path, part: &str| {
        let line = error(run("eval", &file, &format!("--grad-out {}", output.display())));
        assert!(line.contains(part), "{part} is not in {line}");
    };
    refused(&file, "also an input");
    refused(&folder.path("./batch.safetensors"), "also an input");
    refused(&folder.path("absent/grad.safetensors"), "absent: create it");
    refused(&folder.path("batch.safetensors/grad.safetensors"), "there is no folder");
    // Longer than a name may be, so that the temporary file is refused as well: what is said is about the user's own.
    let long = format!("cannot write {}", folder.path(&"g".repeat(300)).display());
    refused(&folder.path(&"g".repeat(300)), &long);
    refused(&folder.path("."), "no file and no pipe");
    #[cfg(unix)]
    {
        let socket = folder.path("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        refused(&socket, "no file and no pipe");
        std::fs::remove_file(&socket).expect("still there");
    }
    assert_eq!(std::fs::read(&file).expect("there"), before);
    assert_eq!(folder.names(), ["batch.safetensors"]);

    let line = error(run("temperature", &file, &format!("--plot {}", folder.path("absent/plot.png").display())));
    assert!(line.contains("cannot write"), "{line}");
}

#[test]
fn an_existing_gradient_survives_a_failure() {
    let folder = Folder::new();
    let gradient = folder.write("grad.safetensors", b"precious");
    let file = folder.save("batch.safetensors", &[student(), teacher(), i64s("labels", &[2], &[0, 9])]);
    error(run("eval", &file, &format!("--grad-out {}", gradient.display())));
    assert_eq!(std::fs::read(&gradient).expect("still there"), b"precious");
}

#[test]
fn usage_errors_exit_with_2_as_well() {
    for args in [&["eval"][..], &["eval", "x", "--alpha", "much"], &["eval", "x", "--backend", "abacus"], &["unknown"]]
    {
        kdloss(args).assert().code(2);
    }
    let both = ["eval", "x", "--reduction", "sum", "--denominator", "3"];
    let output = kdloss(both).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be used with"));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::new();
    let file = folder.save("batch.safetensors", &[student(), teacher(), labels()]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin!("kdloss"));
    let output = process.arg("eval").arg(&file).stdout(writer).output().expect("it ran");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
