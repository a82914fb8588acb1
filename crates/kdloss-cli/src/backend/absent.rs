//! A backend that this program was built without: it has no devices, and the remedy is to build it in.

use std::sync::Arc;

use crate::failure::{Failure, Result};

use super::device::{Device, Provider};
use super::driver::Driver;

/// A backend that is not built in.
pub(crate) struct Absent {
    pub(crate) name: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) driver: Driver,
}

impl Provider for Absent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn plural(&self) -> &'static str {
        self.plural
    }

    fn devices(&self) -> Result<Vec<Arc<dyn Device>>> {
        let Self { name, driver, .. } = self;
        Err(Failure::new(format!("not built in: build kdloss-cli with --features {name}; {driver}")))
    }

    fn choose(&self, _wish: Option<&str>) -> Result<Arc<dyn Device>> {
        let name = self.name;
        Err(Failure::new(format!(
            "backend {name} is not built into this program: build kdloss-cli with --features {name}, or use --backend cpu"
        )))
    }
}
