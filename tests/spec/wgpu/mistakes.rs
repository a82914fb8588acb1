//! What is refused on a device: with an error that names the buffer and the remedy, before anything is encoded, and without
//! a validation error of wgpu that nobody catches.

use std::sync::{Arc, Mutex};

use kdloss::external::wgpu;
use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Matrix};
use kdloss::{DType, DistillationLoss, Error};

use super::device::Gpu;

/// A device of its own, which notes every error that no scope catches.
struct Watched {
    adapter: Adapter,
    gpu: Gpu,
    uncaught: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    fn open() -> Option<Self> {
        let adapter = Adapter::choose(None);
        assert!(adapter.is_ok() || std::env::var_os("CI").is_none(), "the WGSL kernels must be tested here");
        Some(Self::open_on(&adapter.ok()?))
    }

    fn open_on(adapter: &Adapter) -> Self {
        let (device, queue) = adapter.open().unwrap();
        let uncaught = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&uncaught);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| notes.lock().unwrap().push(error.to_string())));
        Self { adapter: adapter.clone(), gpu: Gpu { kernels: Kernels::new(&device, &queue).unwrap(), queue }, uncaught }
    }

    fn buffer(&self, size: u64) -> wgpu::Buffer {
        self.buffer_for(size, wgpu::BufferUsages::STORAGE)
    }

    fn buffer_for(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        self.gpu.kernels.device().create_buffer(&descriptor)
    }

    /// The error of encoding this call; the encoder can still be finished and submitted.
    #[track_caller]
    fn refused(&self, batch: &Batch<'_>, gradient: Gradient<'_>) -> Error {
        let device = self.gpu.kernels.device();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (kernels, loss) = (&self.gpu.kernels, DistillationLoss::new());
        let result = match gradient {
            Gradient::None => kernels.encode_forward(&mut encoder, &loss, batch),
            Gradient::Into(gradient) => kernels.encode_forward_backward(&mut encoder, &loss, batch, gradient),
            Gradient::InPlace => kernels.encode_forward_backward_in_place(&mut encoder, &loss, batch),
        };
        self.gpu.queue.submit([encoder.finish()]);
        result.expect_err("this must be refused")
    }

    /// No error went past the library, and none of its scopes is still open.
    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(*self.uncaught.lock().unwrap(), Vec::<String>::new());
        // An error on purpose, which only an open scope could keep from the handler.
        drop(self.buffer(u64::MAX));
        assert!(!self.uncaught.lock().unwrap().is_empty(), "an error scope was left open");
    }
}

enum Gradient<'a> {
    None,
    Into(Matrix<'a>),
    InPlace,
}

/// Two rows of three logits.
fn matrix(buffer: &wgpu::Buffer, dtype: DType) -> Matrix<'_> {
    Matrix::new(buffer, dtype, 2, 3)
}

/// Buffers of a batch that is in order.
struct Good {
    student: wgpu::Buffer,
    teacher: wgpu::Buffer,
    labels: wgpu::Buffer,
    gradient: wgpu::Buffer,
}

impl Good {
    fn new(watched: &Watched) -> Self {
        let [student, teacher, gradient, labels] = [24, 24, 24, 16].map(|size| watched.buffer(size));
        Self { student, teacher, labels, gradient }
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(matrix(&self.student, DType::F32))
            .with_teacher(matrix(&self.teacher, DType::F32))
            .with_labels(Labels::i64(&self.labels))
    }

    fn gradient(&self) -> Matrix<'_> {
        matrix(&self.gradient, DType::F32)
    }
}

#[track_caller]
fn names(error: &Error, pieces: &[&str]) {
    for piece in pieces {
        assert!(error.to_string().contains(piece), "`{error}` should name {piece}");
    }
}

#[test]
fn buffers_that_are_too_small_misaligned_or_not_for_storage() {
    let Some(watched) = Watched::open() else { return };
    let good = Good::new(&watched);
    let refused = |batch: &Batch<'_>| watched.refused(batch, Gradient::Into(good.gradient()));

    let short = watched.buffer(20);
    let error = refused(&good.batch().with_teacher(matrix(&short, DType::F32)));
    assert!(matches!(error, Error::BufferTooShort { matrix: "teacher", len: 5, needed: 6, .. }), "{error}");
    let error = watched.refused(&good.batch(), Gradient::Into(matrix(&short, DType::F32)));
    assert!(matches!(error, Error::BufferTooShort { matrix: "gradient", len: 5, needed: 6, .. }), "{error}");
    let error = refused(&good.batch().with_labels(Labels::i64(&watched.buffer(12))));
    assert_eq!(error, Error::RowCountMismatch { part: "labels", expected: 2, found: 1 });
    let error = refused(&good.batch().with_labels(Labels::i64(&good.labels).with_offset(8)));
    assert_eq!(error, Error::RowCountMismatch { part: "labels", expected: 2, found: 1 });
    let error = refused(&good.batch().with_row_grad_scale(&good.labels, 12));
    assert_eq!(error, Error::RowCountMismatch { part: "row_grad_scale", expected: 2, found: 1 });

    let long = watched.buffer(64);
    let error = refused(&good.batch().with_teacher(matrix(&long, DType::F32).with_offset(6)));
    assert_eq!(error, Error::BufferOffset { buffer: "teacher", offset: 6, alignment: 4 });
    names(&error, &["teacher", "byte 6", "multiple of 4"]);
    let error = refused(&good.batch().with_labels(Labels::i64(&long).with_offset(2)));
    assert_eq!(error, Error::BufferOffset { buffer: "labels", offset: 2, alignment: 4 });
    // Halves may be read from any of them, but are written two at a time.
    let halves = Matrix::new(&long, DType::F16, 2, 4).with_offset(2);
    let error = watched.refused(&good.batch(), Gradient::Into(halves));
    assert_eq!(error, Error::BufferOffset { buffer: "gradient", offset: 2, alignment: 4 });

    let copied = watched.buffer_for(24, wgpu::BufferUsages::COPY_DST);
    let error = refused(&good.batch().with_teacher(matrix(&copied, DType::F32)));
    assert_eq!(error, Error::BufferUsage { buffer: "teacher", missing: "STORAGE" });
    names(&error, &["teacher", "BufferUsages::STORAGE", "add it"]);
    let error = refused(&good.batch().with_labels(Labels::i64(&copied)));
    assert_eq!(error, Error::BufferUsage { buffer: "labels", missing: "STORAGE" });
    let error = refused(&good.batch().with_row_grad_scale(&copied, 0));
    assert_eq!(error, Error::BufferUsage { buffer: "row_grad_scale", missing: "STORAGE" });

    // Two rows of three halves end in the middle of a word, where this buffer does too.
    let odd = watched.buffer(14);
    let halves = Matrix::new(&odd, DType::Bf16, 2, 3).with_row_stride(4);
    let error = refused(&good.batch().with_teacher(halves));
    assert_eq!(error, Error::BufferNotWhole { buffer: "teacher", size: 14 });
    watched.is_clean();
}

#[test]
fn a_gradient_that_shares_a_buffer() {
    let Some(watched) = Watched::open() else { return };
    let good = Good::new(&watched);
    let both = watched.buffer(256);
    let apart = matrix(&both, DType::F32).with_offset(128);
    let batch = good.batch().with_teacher(matrix(&both, DType::F32));
    let error = watched.refused(&batch, Gradient::Into(apart));
    assert_eq!(error, Error::BufferAliased { written: "gradient", other: "teacher" });
    names(&error, &["gradient", "teacher", "a buffer of its own"]);
    for (batch, other) in [
        (good.batch().with_labels(Labels::i64(&both)), "labels"),
        (good.batch().with_row_grad_scale(&both, 0), "row_grad_scale"),
    ] {
        let error = watched.refused(&batch, Gradient::Into(apart));
        assert_eq!(error, Error::BufferAliased { written: "gradient", other });
    }
    let batch = Batch::new(apart).with_teacher(matrix(&both, DType::F32)).with_labels(Labels::i64(&good.labels));
    let error = watched.refused(&batch, Gradient::InPlace);
    assert_eq!(error, Error::BufferAliased { written: "student", other: "teacher" });
    let error = watched.refused(&good.batch(), Gradient::Into(matrix(&good.student, DType::F32)));
    assert_eq!(error, Error::BufferAliased { written: "gradient", other: "student" });
    watched.is_clean();
}

#[test]
fn sixteen_bit_rows_that_would_share_a_word() {
    let Some(watched) = Watched::open() else { return };
    let good = Good::new(&watched);
    let long = watched.buffer(64);
    let error = watched.refused(&good.batch(), Gradient::Into(matrix(&long, DType::Bf16)));
    assert_eq!(error, Error::OddRowStride { matrix: "gradient", dtype: DType::Bf16, row_stride: 3 });
    names(&error, &["gradient", "bf16", "stride 3", "even"]);
    let batch = Batch::new(matrix(&long, DType::F16)).with_teacher(matrix(&good.teacher, DType::F32));
    let error = watched.refused(&batch.with_labels(Labels::i64(&good.labels)), Gradient::InPlace);
    assert_eq!(error, Error::OddRowStride { matrix: "student", dtype: DType::F16, row_stride: 3 });
    watched.is_clean();
}

#[test]
fn buffers_of_another_device_and_destroyed_ones() {
    let Some(watched) = Watched::open() else { return };
    // Of the same instance: wgpu numbers the buffers of each instance anew, and cannot tell those of another.
    let other = Watched::open_on(&watched.adapter);
    let good = Good::new(&watched);
    let foreign = other.buffer(24);
    let batch = good.batch().with_teacher(matrix(&foreign, DType::F32));
    let error = watched.refused(&batch, Gradient::Into(good.gradient()));
    assert!(matches!(error, Error::BufferRefused { buffer: "teacher", .. }), "{error}");
    names(&error, &["teacher", "device of these kernels"]);
    let error = watched.refused(&good.batch(), Gradient::Into(matrix(&foreign, DType::F32)));
    assert!(matches!(error, Error::BufferRefused { buffer: "gradient", .. }), "{error}");

    good.labels.destroy();
    let error = watched.refused(&good.batch(), Gradient::None);
    assert!(matches!(error, Error::BufferRefused { buffer: "labels", .. }), "{error}");
    watched.is_clean();
    other.is_clean();
}

#[test]
fn a_result_that_was_never_submitted_and_a_device_that_is_gone() {
    let Some(watched) = Watched::open() else { return };
    let good = Good::new(&watched);
    let device = watched.gpu.kernels.device();
    let encode = || {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let pending = watched.gpu.kernels.encode_forward(&mut encoder, &DistillationLoss::new(), &good.batch());
        (encoder, pending.unwrap())
    };
    let (encoder, pending) = encode();
    assert_eq!(pending.read(), Err(Error::NotSubmitted));
    watched.gpu.queue.submit([encoder.finish()]);
    assert_eq!(pending.read().map(|value| value.loss.is_finite()), Ok(true), "it can be read once it has run");
    watched.is_clean();

    let (encoder, pending) = encode();
    watched.gpu.queue.submit([encoder.finish()]);
    device.destroy();
    let error = pending.read().unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    names(&error, &["create it and everything on it again"]);

    let (student, teacher) = ([0.0f32; 3], [1.0f32; 3]);
    let batch = kdloss::Batch::new(kdloss::Matrix::new(&student, 1, 3))
        .with_teacher(kdloss::Matrix::new(&teacher, 1, 3))
        .with_labels(&[0i64]);
    let error = watched.gpu.kernels.evaluate(&DistillationLoss::new(), &batch, None).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let error = watched.gpu.kernels.encode_forward(&mut encoder, &DistillationLoss::new(), &good.batch()).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }) && !error.to_string().contains('\n'), "{error}");
    let error = Kernels::new(device, &watched.gpu.queue).unwrap_err();
    assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
}

#[test]
fn a_device_that_binds_too_few_buffers() {
    let Ok(adapter) = Adapter::choose(None) else { return };
    let with_buffers = |count| {
        let limits = wgpu::Limits { max_storage_buffers_per_shader_stage: count, ..adapter.limits() };
        let (device, queue) = adapter.open_with(adapter.features(), limits).unwrap();
        Kernels::new(&device, &queue)
    };
    assert!(with_buffers(7).is_ok());
    let error = with_buffers(6).unwrap_err();
    names(&error, &["max_storage_buffers_per_shader_stage", "7"]);
}

#[test]
fn buffers_that_are_only_read_may_be_shared() {
    let Some(watched) = Watched::open() else { return };
    let gpu = &watched.gpu;
    // The teacher is the student, and labels and factors lie behind its logits.
    let logits = [0.5f32, 1.0, -2.0, 3.0, 0.0, 1.5].map(f32::to_le_bytes);
    let labels = [1i64, 2].map(i64::to_le_bytes);
    let scale = [1.0f32, 2.0].map(f32::to_le_bytes);
    let shared = gpu.upload_bytes(&[logits.concat(), labels.concat(), scale.concat()].concat());
    let gradient = watched.buffer(24);
    let batch = Batch::new(matrix(&shared, DType::F32))
        .with_teacher(matrix(&shared, DType::F32))
        .with_labels(Labels::i64(&shared).with_offset(24))
        .with_row_grad_scale(&shared, 40);
    let (pending, encoder) = gpu
        .encode(|encoder| {
            let gradient = matrix(&gradient, DType::F32);
            gpu.kernels.encode_forward_backward(encoder, &DistillationLoss::new(), &batch, gradient)
        })
        .unwrap();
    gpu.queue.submit([encoder.finish()]);
    let value = pending.read().unwrap();
    assert_eq!((value.soft, value.counted_rows), (Some(0.0), 2));
    // What is not read may be written.
    let batch = Batch::new(matrix(&shared, DType::F32))
        .with_teacher(matrix(&gradient, DType::F32))
        .with_labels(Labels::i64(&shared).with_offset(24));
    let hard = DistillationLoss::new().with_alpha(1.0);
    let encoded = gpu
        .encode(|encoder| gpu.kernels.encode_forward_backward(encoder, &hard, &batch, matrix(&gradient, DType::F32)));
    let (pending, encoder) = encoded.unwrap();
    gpu.queue.submit([encoder.finish()]);
    assert_eq!(pending.read().unwrap().hard, value.hard);
    watched.is_clean();
}

#[test]
fn a_label_that_is_no_class_is_found_on_the_device() {
    let Some(watched) = Watched::open() else { return };
    let gpu = &watched.gpu;
    for label in [3i64, -1, i64::MAX, i64::MIN, 1 << 32, -(1 << 32)] {
        for alpha in [0.0, 0.5, 1.0] {
            let rows = [vec![0.0, 1.0, 2.0], vec![2.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
            let loss = DistillationLoss::new().with_alpha(alpha);
            let case = crate::case::Case::new(loss, &rows, &rows, &[0, label, label]);
            let (result, gradient) = super::device::run_with_gradient(gpu, &case);
            let error = Error::LabelOutOfRange { row: 1, label, vocab: 3, ignore_index: -100 };
            assert_eq!(result, Err(error), "alpha {alpha}");
            let finite: Vec<bool> = gradient.iter().map(|entry| entry.is_finite()).collect();
            assert_eq!(finite, [true, true, true, false, false, false, false, false, false], "label {label}");
        }
    }
    watched.is_clean();
}
