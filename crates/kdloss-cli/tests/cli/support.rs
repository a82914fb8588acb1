//! Files to give to the program, and ways to run it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// A tensor to store.
pub(crate) struct Stored {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

macro_rules! stored {
    ($function:ident, $element:ty, $dtype:ident) => {
        pub(crate) fn $function(name: &'static str, shape: &[usize], values: &[$element]) -> Stored {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Stored { name, dtype: Dtype::$dtype, shape: shape.to_vec(), bytes }
        }
    };
}

stored!(f32s, f32, F32);
stored!(f64s, f64, F64);
stored!(f16s, f16, F16);
stored!(bf16s, bf16, BF16);
stored!(i64s, i64, I64);
stored!(i32s, i32, I32);
stored!(i16s, i16, I16);
stored!(i8s, i8, I8);
stored!(u8s, u8, U8);
stored!(u16s, u16, U16);
stored!(u32s, u32, U32);

/// A temporary folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn save(&self, name: &str, tensors: &[Stored]) -> PathBuf {
        let views = tensors.iter().map(|tensor| {
            (tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).expect("fits"))
        });
        self.write(name, &safetensors::serialize(views, None).expect("serialised"))
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a written file");
        path
    }

    /// Names of the files in the folder, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Logits without a pattern, between -4 and 4.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 8.0 - 4.0
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn kdloss<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kdloss"));
    command.args(args);
    command
}

/// The command, the file, and more arguments, separated by blanks.
pub(crate) fn run(command: &str, file: &Path, args: &str) -> Command {
    let mut process = kdloss([command]);
    process.arg(file).args(args.split_whitespace());
    process
}

/// What a successful run prints.
pub(crate) fn printed(mut process: Command) -> String {
    let output = process.assert().success().get_output().clone();
    String::from_utf8(output.stdout).expect("text")
}

/// A text as if its lines had no end: without the frames of tables, and with one blank between two words.
pub(crate) fn flowing(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c == '│').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The JSON object that a successful run prints, and nothing else.
pub(crate) fn json(mut process: Command) -> Value {
    let output = process.arg("--json").assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// The JSON object of a successful run, and the one warning that it prints.
pub(crate) fn json_and_warning(mut process: Command) -> (Value, String) {
    let output = process.arg("--json").assert().success().get_output().clone();
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(stderr.starts_with("warning: ") && stderr.ends_with('\n') && stderr.lines().count() == 1, "{stderr}");
    (serde_json::from_slice(&output.stdout).expect("one JSON value"), stderr)
}

pub(crate) fn eval(file: &Path, args: &str) -> Value {
    json(run("eval", file, args))
}

/// The one line that a failed run prints, on stderr.
pub(crate) fn error(mut process: Command) -> String {
    let output = process.assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(stderr.starts_with("error: ") && stderr.ends_with('\n') && stderr.lines().count() == 1, "{stderr}");
    stderr
}

pub(crate) fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub(crate) fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", object[key]))
}

/// Shape and elements of the one tensor of a gradient file.
pub(crate) fn gradient(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(path).expect("a gradient file");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert_eq!(file.names(), ["grad"]);
    let tensor = file.tensor("grad").expect("there");
    assert_eq!(tensor.dtype(), Dtype::F32);
    let elements = tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four")));
    (tensor.shape().to_vec(), elements.collect())
}

/// Whether `left` is within `tolerance` of `right`; never where either is NaN.
pub(crate) fn close(left: f64, right: f64, tolerance: f64) -> bool {
    (left - right).abs() <= tolerance
}

/// The probabilities of logits, row by row.
pub(crate) fn softmaxed(logits: &[f32], width: usize) -> Vec<f32> {
    let row = |row: &[f32]| {
        let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(move |logit| logit.exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks_exact(width).flat_map(row).collect()
}
