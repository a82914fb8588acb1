//! Opening the mock for cudarc, and the kernels that the tests launch.

use std::env;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Ordinals of the GPUs.
pub(crate) const H100: usize = 0;
pub(crate) const A100: usize = 1;
pub(crate) const B200: usize = 2;
pub(crate) const RTX_5090: usize = 3;
/// Whose memory one test counts.
pub(crate) const COUNTED: usize = 4;

const MODELS: &str = "h100,a100,b200,rtx5090,h100";

/// Cargo builds the library beside the tests.
fn path() -> PathBuf {
    env::current_exe().expect("a path").with_file_name("libmock_libcuda.so")
}

/// The mock, which from now on is what cudarc finds.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        if env::var_os("MOCK_CUDA_DEVICE").is_none() {
            // SAFETY: every test comes here first, and waits; none changes the environment elsewhere.
            unsafe { env::set_var("MOCK_CUDA_DEVICE", MODELS) };
        }
        // SAFETY: the library has no initialisers.
        unsafe { Library::open(Some(path()), RTLD_NOW | RTLD_GLOBAL) }.expect("the mock")
    })
}

/// A context of one's own on a device, current in this thread: what a test does to it concerns no other.
pub(crate) fn context(device: usize) -> Arc<CudaContext> {
    library();
    let mut context = std::ptr::null_mut();
    result::init().expect("the mock");
    let handle = result::device::get(device as i32).expect("a device");
    // SAFETY: the context is new, of this device, and whoever drops the last reference destroys it.
    unsafe {
        sys::cuCtxCreate_v4(&mut context, std::ptr::null_mut(), 0, handle).result().expect("a context");
        CudaContext::from_raw_context(device, handle, context).expect("a context")
    }
}

/// A stream of such a context, with nobody tracking events.
pub(crate) fn stream(device: usize) -> Arc<CudaStream> {
    let context = context(device);
    // SAFETY: the tests order their streams themselves.
    unsafe { context.disable_event_tracking() };
    context.new_stream().expect("a stream")
}

/// Lets the nth next call of a function fail.
pub(crate) fn fail(function: &str, nth: u32, code: CUresult) {
    let function = CString::new(function).expect("a name");
    // SAFETY: the mock declares it so.
    let fail = unsafe { library().get::<unsafe extern "C" fn(*const c_char, u32, u32)>(b"kdloss_mock_fail") };
    // SAFETY: the name ends with a zero and lives.
    unsafe { fail.expect("a symbol")(function.as_ptr(), nth, code as u32) };
}

/// Lets the next kernel fail when it runs.
pub(crate) fn fail_execution(code: CUresult) {
    // SAFETY: the mock declares it so.
    let fail = unsafe { library().get::<unsafe extern "C" fn(u32)>(b"kdloss_mock_fail_execution") };
    // SAFETY: it takes any code.
    unsafe { fail.expect("a symbol")(code as u32) };
}

/// Runs an ignored test in a process of its own, with these variables.
pub(crate) fn elsewhere(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().expect("a path"));
    command.args([test, "--exact", "--ignored"]).env("MOCK_CUDA_DEVICE", MODELS).envs(variables.iter().copied());
    let output = command.output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {text}");
}

/// How often this thread has called a function.
pub(crate) fn calls(function: &str) -> u64 {
    let function = CString::new(function).expect("a name");
    // SAFETY: the mock declares it so.
    let calls = unsafe { library().get::<unsafe extern "C" fn(*const c_char) -> u64>(b"kdloss_mock_calls") };
    // SAFETY: the name ends with a zero and lives.
    unsafe { calls.expect("a symbol")(function.as_ptr()) }
}

/// What went wrong.
pub(crate) fn last_fault() -> String {
    // SAFETY: the mock declares it so.
    let last = unsafe { library().get::<unsafe extern "C" fn() -> *const c_char>(b"kdloss_mock_last_fault") };
    // SAFETY: it takes nothing.
    let text = unsafe { last.expect("a symbol")() };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so a string that is there until the next call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Lets the context forget that it failed.
pub(crate) fn reset_context() {
    // SAFETY: the mock declares it so.
    let reset = unsafe { library().get::<unsafe extern "C" fn()>(b"kdloss_mock_reset_context") };
    // SAFETY: it takes nothing.
    unsafe { reset.expect("a symbol")() };
}

/// The code of an error.
pub(crate) fn code<T>(result: Result<T, DriverError>) -> CUresult {
    result.map_or_else(|error| error.0, |_| CUresult::CUDA_SUCCESS)
}

/// For compute capability 8.0.
pub(crate) const KERNELS: &str = include_str!("kernels.ptx");
/// For compute capability 9.0.
pub(crate) const CLUSTERS: &str = include_str!("clusters.ptx");

/// A kernel of one of these modules.
pub(crate) fn kernel(context: &Arc<CudaContext>, module: &str, name: &str) -> CudaFunction {
    let module = context.load_module(Ptx::from_src(module));
    let module = module.unwrap_or_else(|error| panic!("{error}: {}", last_fault()));
    module.load_function(name).expect("a kernel")
}

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) grid: u32,
    pub(crate) threads: u32,
    pub(crate) cluster: u32,
    pub(crate) shared: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { grid: 1, threads: 32, cluster: 1, shared: 0 }
    }
}

/// Does something with the configuration of a launch.
pub(crate) fn configured<T>(stream: &CudaStream, shape: Shape, body: impl FnOnce(&sys::CUlaunchConfig) -> T) -> T {
    let mut attributes = [sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue {
            clusterDim: sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: shape.cluster, y: 1, z: 1 },
        },
    }];
    body(&sys::CUlaunchConfig {
        gridDimX: shape.grid,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: shape.threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: shape.shared,
        hStream: stream.cu_stream(),
        attrs: attributes.as_mut_ptr(),
        numAttrs: 1,
    })
}

/// Launches a kernel with so many values as its arguments.
pub(crate) fn launch(
    stream: &CudaStream,
    kernel: &CudaFunction,
    shape: Shape,
    values: impl IntoIterator<Item = u64>,
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    let mut values: Vec<u64> = values.into_iter().collect();
    let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect();
    let launched = configured(stream, shape, |config| {
        // SAFETY: the handles are alive, as many values are given as the kernel takes, none of more than 8 bytes.
        unsafe { sys::cuLaunchKernelEx(config, kernel.cu_function(), pointers.as_mut_ptr(), std::ptr::null_mut()) }
    });
    launched.result()
}

/// Lets `increment` add 1 to the words of a buffer.
pub(crate) fn increment(
    stream: &CudaStream,
    kernel: &CudaFunction,
    buffer: &CudaSlice<u32>,
) -> Result<(), DriverError> {
    let shape = Shape { grid: buffer.len().div_ceil(64) as u32, threads: 64, ..Shape::default() };
    launch(stream, kernel, shape, [address(buffer), buffer.len() as u64])
}

/// A buffer of words that nobody has written.
pub(crate) fn fresh(stream: &Arc<CudaStream>, words: usize) -> CudaSlice<u32> {
    // SAFETY: what is read of it is written first, or a fault is due.
    unsafe { stream.alloc(words) }.expect("memory")
}

/// The address of a buffer.
pub(crate) fn address<T>(buffer: &CudaSlice<T>) -> u64 {
    use cudarc::driver::DevicePtr;
    buffer.device_ptr(buffer.stream()).0
}
