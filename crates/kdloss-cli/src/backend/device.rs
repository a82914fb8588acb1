//! GPUs: what provides them, and one of them.

use std::sync::Arc;

use comfy_table::Table;
use serde_json::Value;

use crate::failure::Result;

use super::contest::Contest;
use super::engine::Engine;
use super::problem::Problem;

/// A backend for GPUs, whether it is built into this program or not.
pub(crate) trait Provider: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What its devices are called.
    fn plural(&self) -> &'static str;

    /// All devices that can be computed on, or what is missing for it. Loads their drivers: some 50 ms.
    fn devices(&self) -> Result<Vec<Arc<dyn Device>>>;

    /// The device that was wished for, where they have names; else the best one.
    fn choose(&self, wish: Option<&str>) -> Result<Arc<dyn Device>>;

    /// What there is to say about the backend where these are its devices.
    fn note(&self, devices: &[Arc<dyn Device>]) -> String {
        let software = devices.iter().filter(|device| device.is_software()).count();
        let auto = if software > 0 { format!(" ({software} software, which auto never picks)") } else { String::new() };
        format!("{}: {}{auto}", self.plural(), devices.len())
    }
}

/// A device of a backend.
pub(crate) trait Device: Send + Sync {
    /// Its backend's name.
    fn backend(&self) -> &'static str;

    /// The backend and, where the options choose among its devices, which of them this is.
    fn label(&self) -> String {
        self.backend().to_owned()
    }

    /// Whether it runs on the processor.
    fn is_software(&self) -> bool {
        false
    }

    /// The smaller, the rather it is chosen; of equals the first.
    fn rank(&self) -> (u8, bool) {
        (0, false)
    }

    /// Its facts, for a program.
    fn as_json(&self) -> Value;

    /// Its facts in a table of two columns.
    fn as_table(&self) -> Table;

    /// Makes it ready to compute.
    fn open(&self) -> Result<Box<dyn Engine>>;

    /// Makes it ready to be measured on a problem.
    fn contest(&self, problem: Problem) -> Result<Box<dyn Contest>>;
}
