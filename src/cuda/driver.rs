//! The CUDA driver: whether it is there, its devices, and what it refuses, as values.
//!
//! cudarc panics where the driver's library or one of its functions is missing, so both are looked for before it is called.

use std::ffi::{CStr, c_int};
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use cudarc::driver::{CudaContext, DriverError, result};
use libloading::Library;

use super::plan::DeviceLimits;
use crate::error::{Error, Result};

/// The oldest driver whose functions cudarc knows: CUDA 11.4.
const OLDEST_DRIVER: i32 = 11_040;

/// Compute capability of the oldest GPU that the kernels are tested for.
const OLDEST_ARCHITECTURE: u32 = 80;

/// What the driver's library may be called, in the order in which cudarc looks for it.
const LIBRARIES: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };

/// The driver's functions that a call of this crate leads to.
const FUNCTIONS: [&CStr; 36] = [
    c"cuCtxGetCurrent",
    c"cuCtxSetCurrent",
    c"cuCtxSynchronize",
    c"cuDeviceGet",
    c"cuDeviceGetAttribute",
    c"cuDeviceGetCount",
    c"cuDeviceGetName",
    c"cuDevicePrimaryCtxRelease_v2",
    c"cuDevicePrimaryCtxRetain",
    c"cuDeviceTotalMem_v2",
    c"cuDriverGetVersion",
    c"cuEventCreate",
    c"cuEventDestroy_v2",
    c"cuEventRecord",
    c"cuFuncSetAttribute",
    c"cuGetErrorName",
    c"cuGetErrorString",
    c"cuInit",
    c"cuLaunchKernel",
    c"cuMemAllocAsync",
    c"cuMemAlloc_v2",
    c"cuMemFreeAsync",
    c"cuMemFree_v2",
    c"cuMemGetInfo_v2",
    c"cuMemcpyDtoDAsync_v2",
    c"cuMemcpyDtoHAsync_v2",
    c"cuMemcpyHtoDAsync_v2",
    c"cuMemsetD8Async",
    c"cuModuleGetFunction",
    c"cuModuleLoadData",
    c"cuModuleUnload",
    c"cuStreamCreate",
    c"cuStreamDestroy_v2",
    c"cuStreamIsCapturing",
    c"cuStreamSynchronize",
    c"cuStreamWaitEvent",
];

/// A GPU that the driver offers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its number, as [`context`] takes it. `CUDA_VISIBLE_DEVICES` decides which there are, and their order.
    pub ordinal: usize,
    /// Its name, as the driver tells it.
    pub name: String,
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// What the planner has to know of it.
    pub limits: DeviceLimits,
}

/// All GPUs.
///
/// # Errors
///
/// [`Error::NoDevice`] where there is no driver or no GPU; [`Error::OldDriver`].
pub fn devices() -> Result<Vec<Device>> {
    ensure()?;
    let no_device = |found: String| Error::NoDevice { wanted: "an NVIDIA GPU".to_owned(), found };
    let count = result::init().and_then(|()| result::device::get_count());
    let count = count.map_err(|error| no_device(format!("a driver that says {}", text(error))))?;
    if count == 0 {
        return Err(no_device("a driver without any".to_owned()));
    }
    (0..count).map(device).collect()
}

/// A context on the GPU of this number.
///
/// As [`CudaContext::new`], except that a missing driver is an error instead of a panic.
///
/// # Errors
///
/// As [`devices`].
///
/// # Examples
///
/// ```no_run
/// use kdloss::cuda::{Kernels, context};
///
/// let kernels = Kernels::new(&context(0)?)?;
/// # Ok::<(), kdloss::Error>(())
/// ```
pub fn context(ordinal: usize) -> Result<Arc<CudaContext>> {
    let devices = devices()?;
    if ordinal >= devices.len() {
        let names: Vec<String> = devices.iter().map(|device| format!("{} ({})", device.ordinal, device.name)).collect();
        return Err(Error::NoDevice { wanted: format!("GPU {ordinal}"), found: names.join(", ") });
    }
    CudaContext::new(ordinal).map_err(|error| refused("create a context", error))
}

/// The driver's version, as in `12.9`: the newest version of CUDA that it runs.
///
/// # Errors
///
/// As [`devices`].
pub fn version() -> Result<String> {
    ensure().map(readable)
}

/// Makes sure that the driver is there and has what is called, and returns its version.
pub(super) fn ensure() -> Result<i32> {
    static STATE: OnceLock<Result<i32>> = OnceLock::new();
    STATE.get_or_init(look).clone()
}

/// The limits of a context's GPU.
pub(super) fn limits(context: &CudaContext) -> Result<DeviceLimits> {
    limits_of(context.cu_device())
}

/// What the driver refused to do, as an error of this crate.
pub(super) fn refused(operation: &'static str, error: DriverError) -> Error {
    use sys::cudaError_enum as Status;
    match error.0 {
        Status::CUDA_ERROR_OUT_OF_MEMORY => Error::OutOfMemory { operation },
        // After these nothing works in the context any more.
        Status::CUDA_ERROR_ILLEGAL_ADDRESS
        | Status::CUDA_ERROR_LAUNCH_FAILED
        | Status::CUDA_ERROR_LAUNCH_TIMEOUT
        | Status::CUDA_ERROR_MISALIGNED_ADDRESS
        | Status::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | Status::CUDA_ERROR_HARDWARE_STACK_ERROR
        | Status::CUDA_ERROR_ECC_UNCORRECTABLE
        | Status::CUDA_ERROR_CONTEXT_IS_DESTROYED => Error::DeviceLost { reason: text(error) },
        _ => Error::Device { operation, message: text(error) },
    }
}

fn text(error: DriverError) -> String {
    let name = error.error_name().map_or_else(|_| format!("{:?}", error.0), |name| name.to_string_lossy().into_owned());
    match error.error_string() {
        Ok(meaning) => format!("{name}, {}", meaning.to_string_lossy()),
        Err(_) => name,
    }
}

fn look() -> Result<i32> {
    // SAFETY: loading the driver's library runs its initialisers, which have no preconditions.
    let library = LIBRARIES.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
    let Some(library) = library else {
        let found = "none: install NVIDIA's driver, or use the backend wgpu or cpu".to_owned();
        return Err(Error::NoDevice { wanted: format!("NVIDIA's driver ({})", LIBRARIES.join(", ")), found });
    };
    let version = version_of(&library);
    let needed = |reason: String| Error::OldDriver { found: readable(version), reason };
    // SAFETY: the functions are looked for, not called, so that their types do not matter.
    let missing = FUNCTIONS.iter().find(|name| unsafe { library.get::<*const ()>(**name) }.is_err());
    if version < OLDEST_DRIVER {
        return Err(needed(format!("kdloss needs CUDA {} or newer", readable(OLDEST_DRIVER))));
    }
    if let Some(name) = missing {
        return Err(needed(format!("it has no function {}", name.to_string_lossy())));
    }
    // cudarc opens it again; what it opens must not be closed in between.
    std::mem::forget(library);
    Ok(version)
}

/// As 12090, or 0 if the library does not say.
fn version_of(library: &Library) -> i32 {
    let mut version = 0;
    // SAFETY: the type is that of cuda.h, since CUDA 2.2.
    if let Ok(get) = unsafe { library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDriverGetVersion") } {
        // SAFETY: the pointer is to an integer. The function may be called before `cuInit`.
        unsafe { get(&mut version) };
    }
    version
}

fn readable(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

fn device(ordinal: i32) -> Result<Device> {
    let refused = |error| refused("describe a GPU", error);
    let handle = result::device::get(ordinal).map_err(refused)?;
    // SAFETY: the handle is that of a device.
    let memory_bytes = unsafe { result::device::total_mem(handle) }.map_err(refused)? as u64;
    let name = result::device::get_name(handle).map_err(refused)?;
    Ok(Device { ordinal: ordinal as usize, name, memory_bytes, limits: limits_of(handle)? })
}

fn limits_of(device: sys::CUdevice) -> Result<DeviceLimits> {
    let attribute = |attribute: Attribute| {
        // SAFETY: the handle is that of a device.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(|value| value as u32).map_err(|error| refused("describe a GPU", error))
    };
    let architecture = 10 * attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
        + attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let limits = DeviceLimits::new(
        architecture,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
        attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)?,
    );
    Ok(limits)
}

/// Refuses GPUs older than those that the kernels are written for.
pub(super) fn check_architecture(limits: &DeviceLimits) -> Result<()> {
    let readable = |architecture: u32| format!("{}.{}", architecture / 10, architecture % 10);
    if limits.architecture >= OLDEST_ARCHITECTURE {
        return Ok(());
    }
    Err(Error::NoDevice {
        wanted: format!("a GPU of compute capability {} or more", readable(OLDEST_ARCHITECTURE)),
        found: format!("one of {}: use the backend wgpu", readable(limits.architecture)),
    })
}
