//! Fuzzing, which is not part of the tests: it takes as long as one lets it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::commands::{Result, cargo, project, run as run_command};

/// Looks for crashes of `kdloss eval` for a while.
pub(crate) fn run(seconds: u32) -> Result<()> {
    let corpus = project().join("fuzz/corpus/eval");
    fs::create_dir_all(&corpus).map_err(|error| format!("{} cannot be made: {error}", corpus.display()))?;
    let limit = format!("-max_total_time={seconds}");
    let mut command = Command::new(cargo_fuzz()?);
    command
        .args(["fuzz", "run", "eval", "fuzz/corpus/eval", "fuzz/seeds/eval", "--"])
        .args(["-dict=fuzz/eval.dict", limit.as_str()])
        .current_dir(project())
        // Sanitizers are a nightly option; this lets the stable compiler take it.
        .env("RUSTC_BOOTSTRAP", "1");
    run_command(&mut command)
}

/// The program cargo-fuzz: the one on the path, or one installed into `target/tools`.
fn cargo_fuzz() -> Result<PathBuf> {
    let on_path = Command::new("cargo-fuzz").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if on_path.is_ok_and(|status| status.success()) {
        return Ok("cargo-fuzz".into());
    }
    let tools = project().join("target/tools");
    let program = tools.join("bin/cargo-fuzz");
    if !program.exists() {
        println!("cargo-fuzz is missing; installing it into target/tools");
        run_command(cargo(&["install", "--locked", "cargo-fuzz", "--root"]).arg(&tools))?;
    }
    Ok(program)
}
