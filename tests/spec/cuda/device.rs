//! The CUDA kernels through the public interface: on the GPU that is there, else over the driver that stands in for one.

use std::sync::{Arc, LazyLock};

use half::{bf16, f16};
use kdloss::cuda::{Batch, Elements, ElementsMut, Kernels, Labels, Matrix, MatrixMut, Workspace, context};
use kdloss::external::cudarc::driver::{CudaSlice, CudaStream, DeviceRepr, DriverError, ValidAsZeroBits};
use kdloss::{LossValue, Result};

use crate::case::{Buffer, Case, LabelVec, Layout, Table};
use crate::cuda::kernels;
use crate::implementations::{Implementation, MARK, Outcome, outcome};

/// A GPU, or what stands in for it.
pub struct Gpu {
    kernels: Kernels,
    stream: Arc<CudaStream>,
}

/// The GPU, or `None` where there is none: the tests say so, and fail if they are to prove something (`CI` is set).
fn gpu() -> Option<&'static Gpu> {
    static GPU: LazyLock<Option<Gpu>> = LazyLock::new(|| {
        provide_driver();
        let open = || -> Result<Gpu> {
            let context = context(0)?;
            let kernels = Kernels::with_cache_folder(&context, None)?;
            Ok(Gpu { kernels, stream: context.default_stream() })
        };
        match open() {
            Ok(gpu) => Some(gpu),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "CUDA's host code must be tested here: {error}");
                eprintln!("skipped: CUDA's host code: {error}");
                None
            }
        }
    });
    GPU.as_ref()
}

/// Opens the driver that `KDLOSS_MOCK_CUDA` names, where the system has none; whoever looks for one then finds this.
#[cfg(unix)]
fn provide_driver() {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    let Some(path) = std::env::var_os("KDLOSS_MOCK_CUDA") else { return };
    // SAFETY: loading a driver's library runs its initialisers, which have no preconditions.
    let is_there = ["libcuda.so", "libcuda.so.1"].iter().any(|name| unsafe { Library::new(*name) }.is_ok());
    if !is_there {
        // SAFETY: as above.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) };
        std::mem::forget(library.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
}

#[cfg(not(unix))]
fn provide_driver() {}

/// On buffers of its own, and in place.
pub fn all() -> Vec<Implementation> {
    if !kernels::are_there() {
        return Vec::new();
    }
    let Some(gpu) = gpu() else { return Vec::new() };
    let on_gpu = |name, run| Implementation { name, contract_factor: 2.0, run };
    vec![
        on_gpu("cuda", Box::new(|case| run(gpu, case))),
        on_gpu("cuda in place", Box::new(|case| run_in_place(gpu, case))),
    ]
}

/// A buffer of the host's, on the GPU.
enum Uploaded {
    F32(CudaSlice<f32>),
    F16(CudaSlice<f16>),
    Bf16(CudaSlice<bf16>),
}

impl Uploaded {
    fn new(stream: &Arc<CudaStream>, table: &Table) -> Self {
        match &table.buffer {
            Buffer::F32(values) => Self::F32(upload(stream, values)),
            Buffer::F16(values) => Self::F16(upload(stream, values)),
            Buffer::Bf16(values) => Self::Bf16(upload(stream, values)),
        }
    }

    fn matrix(&self, table: &Table) -> Matrix<'_> {
        let data: Elements<'_> = match self {
            Self::F32(slice) => slice.into(),
            Self::F16(slice) => slice.into(),
            Self::Bf16(slice) => slice.into(),
        };
        let Layout { cols, row_stride, .. } = table.layout;
        Matrix::new(data, table.rows, cols).with_row_stride(row_stride)
    }

    fn matrix_mut(&mut self, table: &Table) -> MatrixMut<'_> {
        let data: ElementsMut<'_> = match self {
            Self::F32(slice) => slice.into(),
            Self::F16(slice) => slice.into(),
            Self::Bf16(slice) => slice.into(),
        };
        let Layout { cols, row_stride, .. } = table.layout;
        MatrixMut::new(data, table.rows, cols).with_row_stride(row_stride)
    }

    /// What is there now, laid out as the table.
    fn download(&self, stream: &Arc<CudaStream>, table: &Table) -> Table {
        let buffer = match self {
            Self::F32(slice) => Buffer::F32(download(stream, slice, table)),
            Self::F16(slice) => Buffer::F16(download(stream, slice, table)),
            Self::Bf16(slice) => Buffer::Bf16(download(stream, slice, table)),
        };
        Table { buffer, ..table.clone() }
    }
}

/// What a batch has besides the student, on the GPU.
struct Targets {
    teacher: Option<Uploaded>,
    labels: Option<UploadedLabels>,
    row_grad_scale: Option<CudaSlice<f32>>,
}

enum UploadedLabels {
    I64(CudaSlice<i64>, usize),
    I32(CudaSlice<i32>, usize),
}

impl Targets {
    fn new(stream: &Arc<CudaStream>, case: &Case) -> Self {
        let labels = case.labels.as_ref().map(|labels| match labels {
            LabelVec::I64(labels) => UploadedLabels::I64(upload(stream, labels), labels.len()),
            LabelVec::I32(labels) => UploadedLabels::I32(upload(stream, labels), labels.len()),
        });
        Self {
            teacher: case.teacher.as_ref().map(|teacher| Uploaded::new(stream, teacher)),
            labels,
            row_grad_scale: case.row_grad_scale.as_ref().map(|scale| upload(stream, scale)),
        }
    }

    fn complete<'a, Student>(&'a self, case: &Case, mut batch: Batch<'a, Student>) -> Batch<'a, Student> {
        if let (Some(uploaded), Some(teacher)) = (&self.teacher, &case.teacher) {
            batch = batch.with_teacher(uploaded.matrix(teacher));
        }
        if let Some(labels) = &self.labels {
            let labels: Labels<'_> = match labels {
                UploadedLabels::I64(slice, len) => slice.slice(..*len).into(),
                UploadedLabels::I32(slice, len) => slice.slice(..*len).into(),
            };
            batch = batch.with_labels(labels);
        }
        if let (Some(slice), Some(scale)) = (&self.row_grad_scale, &case.row_grad_scale) {
            batch = batch.with_row_grad_scale(slice.slice(..scale.len()));
        }
        match case.vocab {
            Some(vocab) => batch.with_vocab(vocab),
            None => batch,
        }
    }
}

/// With a gradient of its own, and the loss alone, which must be the same.
fn run(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let Gpu { kernels, stream } = gpu;
    let (student, targets) = (Uploaded::new(stream, &case.student), Targets::new(stream, case));
    let batch = targets.complete(case, Batch::new(student.matrix(&case.student)));
    let marked = Table::filled(case.student.rows, case.gradient, MARK);
    let mut gradient = Uploaded::new(stream, &marked);
    let mut workspace = Workspace::new(stream)?;
    let mut matrix = gradient.matrix_mut(&marked);
    kernels.launch_forward_backward(stream, &mut workspace, &case.loss, &batch, &mut matrix)?;
    let value = workspace.read()?;
    kernels.launch_forward(stream, &mut workspace, &case.loss, &batch)?;
    assert_alike(&value, &workspace.read()?, "forward alone");
    assert_alike(&value, &from_host(gpu, case)?, "from the host");
    Ok(outcome(case, value, gradient.download(stream, &marked)))
}

/// Where the gradient lies decides how rows are read, so that sums may differ in their last bits.
fn assert_alike(a: &LossValue, b: &LossValue, what: &str) {
    let same = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-5 * a.abs() + 1e-9,
        _ => a == b,
    };
    let counts = |value: &LossValue| (value.rows.len(), value.counted_rows, value.nonfinite_rows);
    let is_alike = same(Some(a.loss), Some(b.loss)) && same(a.hard, b.hard) && same(a.soft, b.soft);
    assert!(is_alike && counts(a) == counts(b), "{what}: {a:?} {b:?}");
}

/// From slices of the host's.
fn from_host(gpu: &Gpu, case: &Case) -> Result<LossValue> {
    let mut gradient = Table::filled(case.student.rows, case.gradient, MARK);
    gpu.kernels.evaluate(&case.loss, &case.batch(), Some(&mut gradient.matrix_mut()))
}

/// With the gradient over the student's logits.
fn run_in_place(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let Gpu { kernels, stream } = gpu;
    let (mut student, targets) = (Uploaded::new(stream, &case.student), Targets::new(stream, case));
    let mut workspace = Workspace::new(stream)?;
    let mut batch = targets.complete(case, Batch::new(student.matrix_mut(&case.student)));
    kernels.launch_forward_backward_in_place(stream, &mut workspace, &case.loss, &mut batch)?;
    let value = workspace.read()?;
    Ok(outcome(case, value, student.download(stream, &case.student)))
}

/// A copy on the GPU, of one element at least: the driver does not allocate nothing.
fn upload<T: DeviceRepr + ValidAsZeroBits>(stream: &Arc<CudaStream>, values: &[T]) -> CudaSlice<T> {
    let uploaded = if values.is_empty() { stream.alloc_zeros(1) } else { stream.clone_htod(values) };
    uploaded.unwrap_or_else(|error| failed(&error))
}

fn download<T: DeviceRepr + Clone + Default>(stream: &Arc<CudaStream>, slice: &CudaSlice<T>, table: &Table) -> Vec<T> {
    let mut values = stream.clone_dtoh(slice).unwrap_or_else(|error| failed(&error));
    values.truncate(if table.rows == 0 { 0 } else { values.len() });
    values
}

fn failed(error: &DriverError) -> ! {
    panic!("the driver refused: {error:?}")
}
