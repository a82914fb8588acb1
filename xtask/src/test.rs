//! Everything that proves kdloss, step by step.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::commands::{Result, cargo, run};
use crate::{cuda, mesa};

/// Each package with each set of features that is built by itself. All of them together are linted too.
const FEATURE_SETS: [(&str, &str); 7] = [
    ("kdloss", ""),
    ("kdloss", "cuda"),
    ("kdloss", "wgpu"),
    ("kdloss-cli", ""),
    ("kdloss-cli", "cuda"),
    ("kdloss-cli", "wgpu"),
    ("kdloss-candle", ""),
];

/// All of the workspace but the peers, which are no part of what is proved, and compile two frameworks.
const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "kdloss-peers"];

/// Where AddressSanitizer and its runtime are known to work with the stable compiler.
const SANITIZER_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Runs all steps, each under its heading, then prints how long each took.
pub(crate) fn run_all() -> Result<()> {
    let mut times = Times::default();
    times.step("software graphics drivers", mesa::provide)?;
    times.step("NVIDIA's compilers", cuda::provide)?;
    times.step("formatting", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    for (package, features) in FEATURE_SETS {
        let scope = ["--package", package, "--features", features];
        times.step(&format!("lints, {package} with [{features}]"), || lint(&scope))?;
    }
    times.step("lints, all features", || lint(&[&WORKSPACE[..], &["--all-features"]].concat()))?;
    times.step("documentation", document)?;
    times.step("tests, no features", || run(&mut cargo(&["test", "--lib", "--test", "spec"])))?;
    times.step("a mock of NVIDIA's driver", cuda::build_mock)?;
    times.step("tests, all features", || run(all_features(&["test"]).args(WORKSPACE)))?;
    times.step("CUDA's host code over the mock", test_over_mock)?;
    times.step("tests under AddressSanitizer", test_sanitized)?;
    times.step("the digits example", || {
        let picture = "target/xtask-distill_digits.png";
        run(cargo(&["run", "--package", "kdloss-candle", "--example", "distill_digits"]).args(["--", picture]))
    })?;
    times.print();
    Ok(())
}

fn lint(scope: &[&str]) -> Result<()> {
    run(cargo(&["clippy", "--all-targets"]).args(scope).args(["--", "-D", "warnings"]))
}

fn document() -> Result<()> {
    run(cargo(&["doc"]).args(WORKSPACE).args(["--all-features", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// `cargo` with all features. NVIDIA's compilers, and the mock of its driver, are named to the tests where they are; the
/// environment may name others.
fn all_features(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.arg("--all-features");
    for (variable, path) in cuda::provided() {
        if std::env::var_os(variable).is_none() {
            command.env(variable, path);
        }
    }
    command
}

/// Runs the tests of the host code, an example and the benchmark (too small to measure anything) with the mock where the system
/// looks for libraries.
fn test_over_mock() -> Result<()> {
    let mock = cuda::mock();
    let has_compiler = |(variable, _): &(&str, _)| *variable == "KDLOSS_NVRTC";
    if !mock.exists() || !(cuda::provided().iter().any(has_compiler) || std::env::var_os("KDLOSS_NVRTC").is_some()) {
        return cuda::not_in_ci("the mock of NVIDIA's driver or NVRTC is missing");
    }
    for arguments in [["test", "--test", "cuda"], ["run", "--example", "raw_cuda"], ["test", "--bench", "cuda"]] {
        let folder = mock.parent().unwrap_or(&mock);
        run(all_features(&arguments).env("LD_LIBRARY_PATH", folder).env("KDLOSS_CACHE", "target/mock-cuda/kernels"))?;
    }
    Ok(())
}

/// Tests the unsafe parts (instruction sets, memory-mapped files) where memory errors are fatal. The front end for candle and the
/// WGSL backend have no such parts: there AddressSanitizer would watch candle, after minutes of compiling, and graphics drivers.
fn test_sanitized() -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        println!("skipped: AddressSanitizer is set up for {SANITIZER_TARGET} only");
        return if std::env::var_os("CI").is_some() { Err("AddressSanitizer must run in CI".into()) } else { Ok(()) };
    }
    let scope = ["test", "--package", "kdloss", "--package", "kdloss-cli", "--lib", "--test", "spec", "--test", "cli"];
    run(cargo(&scope)
        .args(["--target", SANITIZER_TARGET])
        // Sanitizers are a nightly option; this lets the stable compiler take it.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address"))
}

/// How long each step took.
#[derive(Debug, Default)]
struct Times(Vec<(String, Duration)>);

impl Times {
    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n=== {name}");
        let start = Instant::now();
        step().map_err(|message| format!("{name}: {message}"))?;
        self.0.push((name.to_string(), start.elapsed()));
        Ok(())
    }

    fn print(&self) {
        println!("\n=== passed");
        for (name, time) in &self.0 {
            println!("{:>6.1} s  {name}", time.as_secs_f64());
        }
    }
}
