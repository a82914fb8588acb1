//! What drivers leave in the file system: found there, they say that a GPU is near where none can be computed on.

use std::fmt;
use std::path::Path;

/// A driver, and where it would be seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Driver {
    name: &'static str,
    paths: [&'static str; 2],
}

pub(crate) const VULKAN: Driver =
    Driver { name: "Vulkan drivers", paths: ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"] };

pub(crate) const NVIDIA: Driver =
    Driver { name: "NVIDIA's driver", paths: ["/dev/nvidiactl", "/proc/driver/nvidia/version"] };

/// Looks for it, and says where and what was found.
impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |path| if Path::new(path).exists() { "found" } else { "not found" };
        let [first, second] = self.paths.map(|path| format!("at {path} ({})", state(path)));
        write!(f, "looked for {} {first} and {second}", self.name)
    }
}
