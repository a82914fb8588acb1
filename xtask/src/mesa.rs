//! Mesa's software drivers, on which the WGSL kernels are tested where there is no GPU.

use std::path::Path;
use std::process::Command;

use crate::commands::{Result, run};

/// Debian's packages: Vulkan's loader and drivers, and the same for OpenGL through EGL.
const PACKAGES: [&str; 5] = ["libvulkan1", "mesa-vulkan-drivers", "libegl1", "libgl1-mesa-dri", "libgles2"];

/// Where drivers announce themselves: some Vulkan driver, and some EGL implementation.
const ANNOUNCEMENTS: [&str; 2] = ["/usr/share/vulkan/icd.d", "/usr/share/glvnd/egl_vendor.d"];

/// Installs the drivers if none is announced and apt may be used. If that cannot be done, it says what to install; in CI it
/// fails.
pub(crate) fn provide() -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("skipped: Mesa is installed on Linux only; the tests use the adapters that there are");
        return Ok(());
    }
    if ANNOUNCEMENTS.into_iter().all(has_files) {
        println!("drivers are there: {}", ANNOUNCEMENTS.join(", "));
        return Ok(());
    }
    println!("installing {}", PACKAGES.join(" "));
    match install() {
        Ok(()) => Ok(()),
        Err(reason) if std::env::var_os("CI").is_some() => Err(reason),
        Err(reason) => {
            println!("not installed: {reason}");
            println!("the WGSL kernels are tested on the adapters that there are; to have one, install as root:");
            println!("    apt-get install {}", PACKAGES.join(" "));
            Ok(())
        }
    }
}

fn install() -> Result<()> {
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").arg("--quiet=2").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat())
}

fn has_files(folder: &str) -> bool {
    Path::new(folder).read_dir().is_ok_and(|mut files| files.next().is_some())
}
