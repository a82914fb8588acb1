//! Kernels in a context: each compiled when it is first needed, or taken from the cache on disk, and loaded once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{CUfunction_attribute as Attribute, cudaError_enum as Status};
use cudarc::driver::{CudaContext, CudaFunction, DriverError};
use cudarc::nvrtc::Ptx;

use super::driver::refused;
use super::nvrtc::{self, Compiled};
use super::plan::{DeviceLimits, STATIC_SHARED};
use super::specialisation::{KERNEL, Specialisation, source};
use super::{cache, driver};
use crate::error::{Error, Result};

/// Where one kernel will be, so that threads wait only for those that compile the same.
type Place = Arc<Mutex<Option<CudaFunction>>>;

/// The kernels of a context.
#[derive(Debug)]
pub(super) struct Modules {
    context: Arc<CudaContext>,
    limits: DeviceLimits,
    cache: Option<PathBuf>,
    places: Mutex<HashMap<Specialisation, Place>>,
    compiled: AtomicUsize,
}

impl Modules {
    pub(super) fn new(context: &Arc<CudaContext>, limits: DeviceLimits, cache: Option<PathBuf>) -> Self {
        Self { context: Arc::clone(context), limits, cache, places: Mutex::default(), compiled: AtomicUsize::new(0) }
    }

    /// How many kernels have been compiled here, rather than taken from the cache.
    pub(super) fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }

    /// The kernel. `before_loading` is asked where it is not loaded yet.
    pub(super) fn get(
        &self,
        specialisation: &Specialisation,
        before_loading: impl FnOnce() -> Result<()>,
    ) -> Result<CudaFunction> {
        let place = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(places.entry(*specialisation).or_default())
        };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = &*place {
            return Ok(function.clone());
        }
        before_loading()?;
        let function = self.load(&self.compiled_kernel(specialisation)?)?;
        *place = Some(function.clone());
        Ok(function)
    }

    fn compiled_kernel(&self, specialisation: &Specialisation) -> Result<Compiled> {
        let architecture = nvrtc::architecture_for(self.limits.architecture)?;
        let (source, options) = (source(), specialisation.options());
        let key = format!("NVRTC {}\n{architecture}\n{}\n{source}", nvrtc::version()?, options.join("\n"));
        if let Some(kernel) = self.cache.as_deref().and_then(|folder| cache::load(folder, &key)) {
            return Ok(kernel);
        }
        let kernel = nvrtc::compile_source(&source, &options, &architecture)?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        if let Some(folder) = self.cache.as_deref() {
            cache::store(folder, &key, &kernel);
        }
        Ok(kernel)
    }

    /// Loads machine code if there is some, else PTX. Loads PTX too if the driver refuses the machine code, as a driver does
    /// that only stands in for a GPU's.
    fn load(&self, kernel: &Compiled) -> Result<CudaFunction> {
        let from_cubin = || self.context.load_module(Ptx::from_binary(kernel.cubin.clone()));
        let from_ptx = || self.context.load_module(Ptx::from_src(kernel.ptx.as_str()));
        let module = if kernel.cubin.is_empty() {
            from_ptx()
        } else {
            match from_cubin() {
                Err(DriverError(Status::CUDA_ERROR_NO_BINARY_FOR_GPU)) => from_ptx(),
                other => other,
            }
        };
        let module = module.map_err(too_new)?;
        let function = module.load_function(KERNEL).map_err(|error| refused("find the kernel", error))?;
        let most = self.limits.shared_per_cta.saturating_sub(STATIC_SHARED) as i32;
        function
            .set_attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most)
            .map_err(|error| refused("give the kernel its shared memory", error))?;
        Ok(function)
    }
}

impl Drop for Modules {
    /// Code that a GPU may still be running must not be unloaded.
    fn drop(&mut self) {
        self.context.record_err(self.context.synchronize());
    }
}

/// A driver that refuses what the compiler makes is mostly older than the compiler.
fn too_new(error: DriverError) -> Error {
    match error.0 {
        Status::CUDA_ERROR_UNSUPPORTED_PTX_VERSION | Status::CUDA_ERROR_NO_BINARY_FOR_GPU => Error::OldDriver {
            found: driver::version().unwrap_or_default(),
            reason: format!(
                "it does not take what NVRTC {} compiles (KDLOSS_NVRTC can name an older one)",
                nvrtc::version().unwrap_or_default()
            ),
        },
        _ => refused("load a kernel", error),
    }
}
