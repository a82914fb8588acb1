//! The WGSL kernels as implementations of the specification: on host slices, and on buffers of a device in every layout.

use std::sync::LazyLock;

use kdloss::external::wgpu;
use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Matrix, Options, Pending};
use kdloss::{DType, LossValue, Result};

use crate::case::{Buffer, Case, LabelVec, Layout, Table};
use crate::implementations::{Implementation, MARK, Outcome, outcome};

/// Kernels and the device they run on.
pub struct Gpu {
    pub kernels: Kernels,
    pub queue: wgpu::Queue,
}

/// The kinds of workgroups that are tried: what suits the adapter, and several groups of lanes joined through memory.
static DEFAULT: LazyLock<Option<Gpu>> = LazyLock::new(|| open(None, Options::new()));
static WITHOUT_SUBGROUPS: LazyLock<Option<Gpu>> =
    LazyLock::new(|| open(None, Options::new().with_workgroup_size(64).without_subgroups()));

/// Kernels on the adapter that is chosen by default, or on one with this name.
///
/// Where there is none the tests say so, and fail if they are to prove something (`CI` is set).
pub fn open(wish: Option<&str>, options: Options) -> Option<Gpu> {
    match Adapter::choose(wish) {
        Ok(adapter) => {
            let (device, queue) = adapter.open().unwrap();
            eprintln!("WGSL kernels run on {adapter}");
            Some(Gpu { kernels: Kernels::with_options(&device, &queue, options).unwrap(), queue })
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "the WGSL kernels must be tested here: {error}");
            eprintln!("skipped: WGSL kernels: {error}");
            None
        }
    }
}

/// The implementations on the default adapter; none where there is none.
pub fn all() -> Vec<Implementation> {
    let mut all = Vec::new();
    if let Some(gpu) = &*DEFAULT {
        all.extend([
            implementation("wgpu on host slices", |case| run_on_host_slices(gpu, case)),
            implementation("wgpu", |case| run(gpu, case)),
            implementation("wgpu in place", |case| run_in_place(gpu, case)),
        ]);
    }
    if let Some(gpu) = &*WITHOUT_SUBGROUPS {
        all.push(implementation("wgpu without subgroups", |case| run(gpu, case)));
    }
    all
}

pub fn implementation(name: &'static str, run: impl Fn(&Case) -> Result<Outcome> + Sync + 'static) -> Implementation {
    Implementation { name, contract_factor: 2.0, run: Box::new(run) }
}

pub fn run_on_host_slices(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let mut gradient = Table::filled(case.student.rows, case.gradient, MARK);
    let value = gpu.kernels.evaluate(&case.loss, &case.batch(), Some(&mut gradient.matrix_mut()))?;
    let forward = gpu.kernels.evaluate(&case.loss, &case.batch(), None)?;
    assert_eq!(format!("{forward:?}"), format!("{value:?}"), "forward alone differs");
    Ok(outcome(case, value, gradient))
}

/// On buffers of the device, laid out as the case is, with a gradient of its own.
pub fn run(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let (pending, gradient) = submit(gpu, case)?;
    Ok(outcome(case, pending.read()?, gradient))
}

/// The loss, or why it could not be read, and the gradient all the same.
pub fn run_with_gradient(gpu: &Gpu, case: &Case) -> (Result<LossValue>, Vec<f32>) {
    let (pending, gradient) = submit(gpu, case).unwrap();
    let rows = (0..gradient.rows).flat_map(|row| gradient.row(row, case.batch().vocab()));
    (pending.read(), rows.collect())
}

/// The loss, and the words of the totals and of the rows' records that are left on the device.
pub fn run_for_results(gpu: &Gpu, case: &Case) -> Result<(LossValue, Vec<u32>, Vec<u32>)> {
    let (pending, _) = submit(gpu, case)?;
    let words = |buffer| gpu.download_bytes(buffer).as_chunks().0.iter().copied().map(u32::from_le_bytes).collect();
    Ok((pending.read()?, words(pending.totals()), words(pending.rows())))
}

fn submit(gpu: &Gpu, case: &Case) -> Result<(Pending, Table)> {
    let buffers = Buffers::new(gpu, case);
    let mut gradient = Table::filled(case.student.rows, writable(case.gradient), MARK);
    let target = gpu.upload(&gradient.buffer, 0);
    let (pending, encoder) = gpu.encode(|encoder| {
        let gradient = matrix(&target, &gradient);
        gpu.kernels.encode_forward_backward(encoder, &case.loss, &buffers.batch(case), gradient)
    })?;
    gpu.queue.submit([encoder.finish()]);
    gradient.buffer = gpu.download(&target, 0, &gradient.buffer);
    Ok((pending, gradient))
}

/// On buffers of the device, with the gradient over the student's logits.
pub fn run_in_place(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let mut case = case.clone();
    case.student = with_layout(&case.student, writable(case.student.layout));
    let buffers = Buffers::new(gpu, &case);
    let (pending, encoder) =
        gpu.encode(|encoder| gpu.kernels.encode_forward_backward_in_place(encoder, &case.loss, &buffers.batch(&case)))?;
    gpu.queue.submit([encoder.finish()]);
    let value = pending.read()?;
    let mut student = case.student.clone();
    student.buffer = gpu.download(&buffers.student, 0, &student.buffer);
    Ok(outcome(&case, value, student))
}

/// The layout with an even row stride where rows would share a word, which a kernel cannot write.
fn writable(layout: Layout) -> Layout {
    let odd = layout.dtype != DType::F32 && !layout.row_stride.is_multiple_of(2);
    Layout { row_stride: layout.row_stride + usize::from(odd), ..layout }
}

/// The same rows in another layout.
fn with_layout(table: &Table, layout: Layout) -> Table {
    if layout == table.layout {
        return table.clone();
    }
    let rows: Vec<Vec<f32>> = (0..table.rows).map(|row| table.row(row, layout.cols)).collect();
    Table::of_rows(&rows, layout)
}

/// A case's buffers on a device.
pub struct Buffers {
    pub student: wgpu::Buffer,
    teacher: Option<wgpu::Buffer>,
    labels: Option<wgpu::Buffer>,
    row_grad_scale: Option<wgpu::Buffer>,
}

impl Buffers {
    pub fn new(gpu: &Gpu, case: &Case) -> Self {
        Self {
            student: gpu.upload(&case.student.buffer, 0),
            teacher: case.teacher.as_ref().map(|teacher| gpu.upload(&teacher.buffer, 0)),
            labels: case.labels.as_ref().map(|labels| gpu.upload_bytes(&label_bytes(labels))),
            row_grad_scale: case.row_grad_scale.as_ref().map(|scale| gpu.upload_bytes(&scale_bytes(scale))),
        }
    }

    pub fn batch(&self, case: &Case) -> Batch<'_> {
        let mut batch = Batch::new(matrix(&self.student, &case.student));
        if let (Some(buffer), Some(teacher)) = (&self.teacher, &case.teacher) {
            batch = batch.with_teacher(matrix(buffer, teacher));
        }
        if let (Some(buffer), Some(labels)) = (&self.labels, &case.labels) {
            batch = batch.with_labels(match labels {
                LabelVec::I64(_) => Labels::i64(buffer),
                LabelVec::I32(_) => Labels::i32(buffer),
            });
        }
        if let Some(buffer) = &self.row_grad_scale {
            batch = batch.with_row_grad_scale(buffer, 0);
        }
        if let Some(vocab) = case.vocab {
            batch = batch.with_vocab(vocab);
        }
        batch
    }
}

pub fn matrix<'a>(buffer: &'a wgpu::Buffer, table: &Table) -> Matrix<'a> {
    let Layout { dtype, cols, row_stride } = table.layout;
    Matrix::new(buffer, dtype, table.rows, cols).with_row_stride(row_stride)
}

pub fn scale_bytes(scale: &[f32]) -> Vec<u8> {
    scale.iter().flat_map(|scale| scale.to_le_bytes()).collect()
}

pub fn label_bytes(labels: &LabelVec) -> Vec<u8> {
    match labels {
        LabelVec::I64(labels) => labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
        LabelVec::I32(labels) => labels.iter().flat_map(|label| label.to_le_bytes()).collect(),
    }
}

impl Gpu {
    pub fn encode(
        &self,
        encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Pending>,
    ) -> Result<(Pending, wgpu::CommandEncoder)> {
        let mut encoder = self.kernels.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        Ok((encode(&mut encoder)?, encoder))
    }

    /// A buffer with these elements from `offset` (in bytes) on.
    pub fn upload(&self, elements: &Buffer, offset: usize) -> wgpu::Buffer {
        let mut bytes = vec![0; offset];
        bytes.extend(elements.to_bytes());
        self.upload_bytes(&bytes)
    }

    pub fn upload_bytes(&self, bytes: &[u8]) -> wgpu::Buffer {
        let buffer = self.kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            // Whole words, and not nothing.
            size: (bytes.len() as u64).next_multiple_of(4).max(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: true,
        });
        buffer.get_mapped_range_mut(..).unwrap().slice(..bytes.len()).copy_from_slice(bytes);
        buffer.unmap();
        buffer
    }

    /// The elements of a buffer from `offset` (in bytes) on, as many and of such a type as `like` has.
    pub fn download(&self, buffer: &wgpu::Buffer, offset: usize, like: &Buffer) -> Buffer {
        like.with_bytes(&self.download_bytes(buffer)[offset..])
    }

    pub fn download_bytes(&self, buffer: &wgpu::Buffer) -> Vec<u8> {
        let device = self.kernels.device();
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| sender.send(result).unwrap());
        device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
        receiver.recv().unwrap().unwrap();
        staging.get_mapped_range(..).unwrap().to_vec()
    }
}
