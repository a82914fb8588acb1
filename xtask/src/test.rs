//! Everything that proves kdloss, step by step.
//!
//! Nearly all of the time from nothing goes into dependencies and the longest tests. Cargo compiles a dependency once for
//! each set of features that the packages *and* targets of one command ask for, so the steps ask for the same packages
//! wherever they can, and for targets that need the same dependencies.

use std::path::PathBuf;
use std::process::Command;

use crate::commands::{Result, cargo, project, run};
use crate::steps::Steps;
use crate::{cuda, mesa};

/// All of the workspace but the peers, which are no part of what is proved, and compile two frameworks.
const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "kdloss-peers"];

/// Features of the workspace beside none and all.
const FEATURES: [&str; 2] = ["cuda", "wgpu"];

/// Packages as their users build them: by themselves, so that each must name what it needs of its dependencies.
const ALONE: [(&str, &str); 5] =
    [("kdloss", ""), ("kdloss", "cuda"), ("kdloss", "wgpu"), ("kdloss-cli", ""), ("kdloss-candle", "")];

/// The program has no code of its own for a backend that asks for more of a dependency: `--all` looks whether that is so.
const MORE_ALONE: [(&str, &str); 2] = [("kdloss-cli", "cuda"), ("kdloss-cli", "wgpu")];

/// Runs all steps, then prints how long each took. `everything` also tries what a smaller set covers.
pub(crate) fn run_all(everything: bool) -> Result<()> {
    let mut steps = Steps::default();
    let result = run_steps(&mut steps, everything);
    steps.print();
    result
}

fn run_steps(steps: &mut Steps, everything: bool) -> Result<()> {
    steps.run("software graphics drivers", mesa::provide)?;
    steps.run("NVIDIA's compilers", cuda::provide)?;
    steps.run("formatting", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    steps.run("lints, all features", || lint("--all-targets", &[&WORKSPACE[..], &["--all-features"]].concat()))?;
    steps.run("documentation", document)?;
    steps.run("lints, no features", || lint("--all-targets", &WORKSPACE))?;
    for features in FEATURES {
        let scope = [&WORKSPACE[..], &["--features", features]].concat();
        steps.run(&format!("lints, [{features}]"), || lint("--all-targets", &scope))?;
    }
    let more = if everything { &MORE_ALONE[..] } else { &[] };
    for (package, features) in ALONE.iter().chain(more) {
        let targets = if *package == "kdloss-cli" { "--bins" } else { "--lib" };
        let scope = ["--package", package, "--features", features];
        steps.run(&format!("lints, {package} with [{features}] alone"), || lint(targets, &scope))?;
    }
    steps.run("build, all features", || {
        run(&mut all_features(&["build", "--lib", "--bins", "--tests", "--examples"], everything))
    })?;
    steps.run("a mock of NVIDIA's driver", cuda::copy_mock)?;
    steps.run("tests, all features", || run(&mut all_features(&["test"], everything)))?;
    steps.run("CUDA's host code over the mock", || test_over_mock(everything))?;
    steps.run("the digits example", || {
        run(Command::new(example("distill_digits")).arg("target/xtask-distill_digits.png").current_dir(project()))
    })?;
    steps.run("tests without features, under AddressSanitizer", test_sanitized)
}

fn lint(targets: &str, scope: &[&str]) -> Result<()> {
    run(cargo(&["clippy", targets]).args(scope).args(["--", "-D", "warnings"]))
}

/// Examples are documented too: without them dependencies would be checked again, with fewer features.
fn document() -> Result<()> {
    let targets = ["--no-deps", "--lib", "--bins", "--examples"];
    run(cargo(&["doc", "--all-features"]).args(WORKSPACE).args(targets).env("RUSTDOCFLAGS", "-D warnings"))
}

/// `cargo` for the workspace with all features. NVIDIA's compilers, and the mock of its driver, are named to the tests where
/// they are; the environment may name others.
fn all_features(arguments: &[&str], everything: bool) -> Command {
    let mut command = cargo(arguments);
    command.arg("--all-features").args(WORKSPACE);
    name_tools(&mut command);
    if everything {
        command.env("KDLOSS_TEST_ALL", "1");
    }
    command
}

fn name_tools(command: &mut Command) {
    for (variable, path) in cuda::provided() {
        if std::env::var_os(variable).is_none() {
            command.env(variable, path);
        }
    }
}

/// The program of an example, which was built with all features.
fn example(name: &str) -> PathBuf {
    project().join("target/debug/examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// Runs the tests of the host code, an example and the benchmark (too small to measure anything) with the mock where the system
/// looks for libraries.
fn test_over_mock(everything: bool) -> Result<()> {
    let mock = cuda::mock();
    let has_compiler = |(variable, _): &(&str, _)| *variable == "KDLOSS_NVRTC";
    if !mock.exists() || !(cuda::provided().iter().any(has_compiler) || std::env::var_os("KDLOSS_NVRTC").is_some()) {
        return cuda::not_in_ci("the mock of NVIDIA's driver or NVRTC is missing");
    }
    let mut raw_cuda = Command::new(example("raw_cuda"));
    raw_cuda.current_dir(project());
    name_tools(&mut raw_cuda);
    let test = |target| all_features(&["test", target, "cuda"], everything);
    for mut command in [test("--test"), raw_cuda, test("--bench")] {
        let folder = mock.parent().unwrap_or(&mock);
        run(command.env("LD_LIBRARY_PATH", folder).env("KDLOSS_CACHE", "target/mock-cuda/kernels"))?;
    }
    Ok(())
}

/// Tests the library and the program without features, and with them the unsafe parts (instruction sets, memory-mapped files)
/// where memory errors are fatal. The front end for candle and the WGSL backend have no such parts: there AddressSanitizer would
/// watch candle and graphics drivers.
fn test_sanitized() -> Result<()> {
    let mut tests = cargo(&["test", "--lib", "--test", "spec", "--test", "cli"]);
    tests.args(WORKSPACE);
    if cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        // In an address space that a test limits there is no room for AddressSanitizer's own. Those tests have run without it.
        tests.args(["--", "--skip", "unaligned::"]);
        return run(tests.env("RUSTC_WORKSPACE_WRAPPER", project().join("xtask/sanitize.sh")));
    }
    println!("skipped: AddressSanitizer, which is known to work with the stable compiler on x86-64 Linux only");
    run(&mut tests)?;
    if std::env::var_os("CI").is_some() { Err("AddressSanitizer must run in CI".into()) } else { Ok(()) }
}
