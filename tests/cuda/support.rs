//! The mock, and a small batch on one of its GPUs.

use std::ffi::{CStr, CString, c_char};
use std::sync::{Arc, LazyLock};

use kdloss::cuda::{Batch, Kernels, Matrix, MatrixMut, Workspace, raw};
use kdloss::external::cudarc::driver::sys::CUresult;
use kdloss::external::cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use kdloss::{DType, DistillationLoss, LossValue, reference};
use libloading::Library;

/// GPUs that tests share, with clusters and without, and those of which each belongs to one test that breaks it.
pub const H100: usize = 0;
pub const A100: usize = 1;
pub const OWN: [usize; 3] = [2, 3, 4];
const DEVICES: &str = "h100,a100,h100,h100,h100";

pub const ROWS: usize = 3;
pub const VOCAB: usize = 1000;

static MOCK: LazyLock<Library> = LazyLock::new(|| {
    // SAFETY: every test comes here first and waits; nobody else is at the environment.
    unsafe { std::env::set_var("MOCK_CUDA_DEVICE", DEVICES) };
    // SAFETY: the library's initialisers have no preconditions.
    let library = unsafe { Library::new("libcuda.so") }.expect("LD_LIBRARY_PATH names the folder of the mock");
    // SAFETY: the symbol is only looked for.
    let is_mock = unsafe { library.get::<*const ()>(c"kdloss_mock_calls") }.is_ok();
    assert!(is_mock, "a true driver is in the way: LD_LIBRARY_PATH must name the folder of the mock");
    library
});

/// Lets the nth next call of a function from this thread fail.
pub fn fail(function: &str, nth: u32, code: CUresult) {
    let function = CString::new(function).unwrap();
    // SAFETY: the mock declares it so.
    unsafe {
        let fail = MOCK.get::<unsafe extern "C" fn(*const c_char, u32, u32)>(c"kdloss_mock_fail").unwrap();
        fail(function.as_ptr(), nth, code as u32);
    }
}

/// Lets the next kernel that this thread launches fail when it runs.
pub fn fail_execution(code: CUresult) {
    // SAFETY: the mock declares it so.
    unsafe { MOCK.get::<unsafe extern "C" fn(u32)>(c"kdloss_mock_fail_execution").unwrap()(code as u32) }
}

/// How often this thread has called a function.
pub fn calls(function: &str) -> u64 {
    let function = CString::new(function).unwrap();
    // SAFETY: the mock declares it so.
    unsafe { MOCK.get::<unsafe extern "C" fn(*const c_char) -> u64>(c"kdloss_mock_calls").unwrap()(function.as_ptr()) }
}

/// What the mock has found wrong in this thread's context.
pub fn fault() -> String {
    // SAFETY: the mock declares it so, and keeps the text.
    unsafe {
        let text = MOCK.get::<unsafe extern "C" fn() -> *const c_char>(c"kdloss_mock_last_fault").unwrap()();
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    }
}

pub fn context(ordinal: usize) -> Arc<CudaContext> {
    LazyLock::force(&MOCK);
    kdloss::cuda::context(ordinal).expect("the mock has GPUs")
}

/// Kernels that are kept nowhere.
pub fn kernels(context: &Arc<CudaContext>) -> Kernels {
    Kernels::with_cache_folder(context, None).unwrap()
}

pub fn loss() -> DistillationLoss {
    DistillationLoss::new().with_temperature(2.0)
}

/// A small batch on a GPU, and room for its gradient.
pub struct Small {
    pub student: CudaSlice<f32>,
    pub teacher: CudaSlice<f32>,
    pub labels: CudaSlice<i64>,
    pub gradient: CudaSlice<f32>,
}

pub fn logits(seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..ROWS * VOCAB).map(|_| random.f32() * 8.0 - 4.0).collect()
}

const LABELS: [i64; ROWS] = [7, 999, 0];

impl Small {
    pub fn new(stream: &Arc<CudaStream>, seed: u64) -> Self {
        Self {
            student: stream.clone_htod(&logits(seed)).unwrap(),
            teacher: stream.clone_htod(&logits(seed + 1000)).unwrap(),
            labels: stream.clone_htod(&LABELS).unwrap(),
            gradient: stream.alloc_zeros(ROWS * VOCAB).unwrap(),
        }
    }

    pub fn launch(&mut self, kernels: &Kernels, stream: &CudaStream, workspace: &mut Workspace) -> kdloss::Result<()> {
        let Self { student, teacher, labels, gradient } = self;
        let matrix = |slice| Matrix::new(slice, ROWS, VOCAB);
        let batch = Batch::new(matrix(&*student)).with_teacher(matrix(&*teacher)).with_labels(&*labels);
        let mut gradient = MatrixMut::new(gradient, ROWS, VOCAB);
        kernels.launch_forward_backward(stream, workspace, &loss(), &batch, &mut gradient)
    }

    pub fn check(&self, stream: &Arc<CudaStream>, workspace: &Workspace, seed: u64) {
        let value = workspace.read().unwrap_or_else(|error| panic!("{error}: {}", fault()));
        check(&value, &stream.clone_dtoh(&self.gradient).unwrap(), seed);
    }
}

/// A matrix by address, of a buffer that the stream has filled.
pub fn address(stream: &Arc<CudaStream>, slice: &CudaSlice<f32>) -> raw::Matrix {
    use kdloss::external::cudarc::driver::DevicePtr;
    raw::Matrix::new(slice.device_ptr(stream).0, ROWS * VOCAB, DType::F32, ROWS, VOCAB)
}

/// A result is that of the batch of this seed.
pub fn check(value: &LossValue, gradient: &[f32], seed: u64) {
    let (student, teacher) = (logits(seed), logits(seed + 1000));
    let matrix = |logits| kdloss::Matrix::new(logits, ROWS, VOCAB);
    let batch = kdloss::Batch::new(matrix(&student)).with_teacher(matrix(&teacher)).with_labels(&LABELS);
    let (want, want_gradient) = reference::forward_backward(&loss(), &batch).unwrap();
    assert!((value.loss - want.loss).abs() < 1e-5, "loss {} instead of {}", value.loss, want.loss);
    for (index, (entry, want)) in gradient.iter().zip(want_gradient).enumerate() {
        assert!((f64::from(*entry) - want).abs() < 1e-6, "entry {index}: {entry} instead of {want}");
    }
}
