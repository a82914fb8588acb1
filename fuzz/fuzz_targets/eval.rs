//! Fuzzes `kdloss eval`: the parser of its arguments, the reader of safetensors files, and all that follows.
//!
//! An input is a line of arguments, then the bytes of the file. Whatever they are, the program must not panic; what it
//! refuses it explains in one line, leaving no gradient file behind; what it accepts it answers with the documented
//! JSON object and a gradient file that can be read.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use clap::Parser;
use kdloss_cli::{Command, Program, run};
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary folder"));

fuzz_target!(|input: &[u8]| {
    let (line, file) = match input.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    let Ok(line) = std::str::from_utf8(line) else { return };
    let words = ["kdloss", "eval", "FILE", "--json"].into_iter().chain(line.split_whitespace());
    let Ok(Program { command: Command::Eval(mut args) }) = Program::try_parse_from(words) else { return };

    // The fuzzer chooses whether there are other files, never which: it must not reach beyond its folder.
    let path = FOLDER.path().join("batch.safetensors");
    let gradient = FOLDER.path().join("grad.safetensors");
    fs::write(&path, file).expect("written");
    args.logits.teacher_file = args.logits.teacher_file.map(|_| path.clone());
    args.labels_file = args.labels_file.map(|_| path.clone());
    args.grad_out = args.grad_out.map(|_| gradient.clone());
    args.logits.file = path;
    let wants_gradient = args.grad_out.is_some();

    let mut answer = Vec::new();
    match run(Command::Eval(args), &mut answer) {
        Ok(()) => {
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            let rows = answer["rows"].as_u64().expect("a number of rows");
            let vocab = answer["vocab"].as_u64().expect("a number of classes");
            assert!(answer["counted_rows"].as_u64().is_some_and(|counted| counted <= rows));
            assert!(answer["nonfinite_rows"].as_u64().is_some_and(|nonfinite| nonfinite <= rows));
            if wants_gradient {
                let bytes = fs::read(&gradient).expect("a gradient");
                let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
                let shape = file.tensor("grad").expect("there").shape().to_vec();
                assert_eq!(shape, [rows as usize, vocab as usize]);
                fs::remove_file(&gradient).expect("removed");
            }
        }
        Err(failure) => {
            assert!(answer.is_empty());
            assert!(!failure.to_string().contains('\n'));
            assert!(!gradient.exists());
        }
    }
});
