//! NVIDIA's compilers, by which the CUDA kernels are tested where there is no GPU: the run-time compiler, the assembler and
//! the disassembler. They are proprietary, so they are fetched into `target/` and never committed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::commands::{Result, project, run};

/// Python packages that hold the tools. PTX differs between releases, so the versions are fixed.
const PACKAGES: [&str; 3] =
    ["nvidia-cuda-nvrtc-cu12==12.9.86", "nvidia-cuda-nvcc-cu12==12.9.86", "nvidia-cuda-nvdisasm==13.5.37"];

/// What names a tool to the tests, and where the packages hold it in `target/cuda`.
const TOOLS: [(&str, &str); 3] = [
    ("KDLOSS_NVRTC", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"),
    ("KDLOSS_PTXAS", "nvidia/cuda_nvcc/bin/ptxas"),
    ("KDLOSS_NVDISASM", "nvidia/cu13/bin/nvdisasm"),
];

/// What names the mock of NVIDIA's driver to the tests.
const MOCK: &str = "KDLOSS_MOCK_CUDA";

/// Fetches the missing tools with pip, and installs pip if it may. If that cannot be done, it says what to install; in CI it
/// fails.
pub(crate) fn provide() -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return not_in_ci("NVIDIA's compilers are fetched on x86-64 Linux only; KDLOSS_NVRTC may name another");
    }
    if tools().iter().all(|(_, path)| path.exists()) {
        println!("compilers are there: {}", PACKAGES.join(", "));
        return Ok(());
    }
    println!("fetching {} into target/", PACKAGES.join(", "));
    match fetch() {
        Ok(()) => Ok(()),
        Err(reason) if std::env::var_os("CI").is_some() => Err(reason),
        Err(reason) => {
            println!("not fetched: {reason}");
            println!("the CUDA kernels are not tested; to test them, install Python's pip and try again:");
            println!("    apt-get install python3-pip");
            Ok(())
        }
    }
}

/// Puts a copy of the mock of NVIDIA's driver, which has been built, under the driver's name into a folder of its own.
/// Programs find it there and nowhere else.
pub(crate) fn copy_mock() -> Result<()> {
    if !cfg!(target_os = "linux") {
        return not_in_ci("the mock of NVIDIA's driver is for Linux");
    }
    let copy = mock();
    let built = project().join("target/debug/libmock_libcuda.so");
    let put = || {
        std::fs::create_dir_all(copy.parent().unwrap_or(&copy))?;
        std::fs::copy(&built, &copy)
    };
    put().map_err(|error| format!("{} cannot be copied: {error}", built.display()))?;
    println!("{} stands in for NVIDIA's driver", copy.display());
    Ok(())
}

/// What cannot be proved here is a failure in CI, and a printed reason elsewhere.
pub(crate) fn not_in_ci(reason: &str) -> Result<()> {
    println!("skipped: {reason}");
    if std::env::var_os("CI").is_some() { Err("CUDA must be tested in CI".into()) } else { Ok(()) }
}

/// Where the mock is once it has been built.
pub(crate) fn mock() -> PathBuf {
    project().join("target/mock-cuda/libcuda.so")
}

/// The tools and the mock, as far as they are there, each with the variable that names it to the tests.
pub(crate) fn provided() -> Vec<(&'static str, PathBuf)> {
    tools().into_iter().chain([(MOCK, mock())]).filter(|(_, path)| path.exists()).collect()
}

fn tools() -> Vec<(&'static str, PathBuf)> {
    let folder = folder();
    TOOLS.iter().map(|(variable, path)| (*variable, folder.join(path))).collect()
}

fn folder() -> PathBuf {
    project().join("target/cuda")
}

fn fetch() -> Result<()> {
    if !has_pip() {
        let apt = |arguments: &[&str]| {
            run(Command::new("apt-get").arg("--quiet=2").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        apt(&["update"])?;
        apt(&["install", "--yes", "--no-install-recommends", "python3-pip"])?;
    }
    let mut command = pip();
    command
        .args(["install", "--quiet", "--no-deps", "--upgrade", "--root-user-action=ignore", "--target"])
        .arg(folder());
    run(command.args(PACKAGES))?;
    // Wheels hold programs without the permission to execute them.
    tools().iter().try_for_each(|(_, path)| make_executable(path))
}

fn pip() -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip"]);
    command
}

fn has_pip() -> bool {
    pip().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, permissions).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}
