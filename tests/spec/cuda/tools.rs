//! NVIDIA's assembler and disassembler, as programs: for the tests here and for `xtask/cuda-report`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the assembler makes of a kernel, and what it says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes of registers that are stored for want of registers.
    pub spilled_bytes: u32,
    /// Bytes of a thread's stack.
    pub stack_bytes: u32,
    /// Bytes of static shared memory of a CTA.
    pub shared_bytes: u32,
    /// Machine code.
    pub code: Vec<u8>,
}

/// Assembles PTX for an architecture, such as 90.
pub fn assemble(ptxas: &Path, ptx: &str, architecture: u32) -> Result<Assembled, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let [source, target] = ["kernel.ptx", "kernel.cubin"].map(|name| folder.path().join(name));
    fs::write(&source, ptx).map_err(|error| error.to_string())?;
    let mut command = Command::new(ptxas);
    command.args(["--verbose", &format!("--gpu-name=sm_{architecture}"), "--output-file"]).arg(&target).arg(&source);
    let log = output_of(&mut command)?;
    Ok(Assembled {
        registers: number_before(&log, " registers")?,
        spilled_bytes: number_before(&log, " bytes spill stores")?,
        stack_bytes: number_before(&log, " bytes stack frame")?,
        shared_bytes: number_before(&log, " bytes smem")?,
        code: fs::read(&target).map_err(|error| error.to_string())?,
    })
}

/// Machine code as text.
pub fn disassemble(nvdisasm: &Path, code: &[u8]) -> Result<String, String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    fs::write(file.path(), code).map_err(|error| error.to_string())?;
    output_of(Command::new(nvdisasm).arg("--print-code").arg(file.path()))
}

/// What a program prints; it is an error if it fails.
pub fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, log) = (text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(printed + &log) } else { Err(format!("{command:?}: {log}")) }
}

/// The number before a word, such as `64` in `Used 64 registers`.
fn number_before(text: &str, words: &str) -> Result<u32, String> {
    let before = text.split(words).next().unwrap_or_default();
    let number = before.split_whitespace().last().and_then(|word| word.parse().ok());
    number.ok_or_else(|| format!("no number of{words} in {text}"))
}
