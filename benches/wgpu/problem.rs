//! One problem: its logits on the device and on the host.

use half::{bf16, f16};
use kdloss::external::wgpu::{self, util::DeviceExt};
use kdloss::wgpu::internals::Storage;
use kdloss::wgpu::{Batch, Kernels, Labels, Matrix};
use kdloss::{DType, DistillationLoss, LossValue, MatrixMut};

pub const TEMPERATURE: f64 = 2.0;
pub const ALPHA: f64 = 0.5;

/// Logits in one of the storage types.
pub enum OwnedElements {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

/// Student, teacher, labels and room for the gradient, in one storage type.
pub struct Problem<'k> {
    pub kernels: &'k Kernels,
    pub rows: usize,
    pub vocab: usize,
    pub storage: Storage,
    pub student: wgpu::Buffer,
    pub teacher: wgpu::Buffer,
    pub gradient: wgpu::Buffer,
    pub labels: wgpu::Buffer,
    host_student: OwnedElements,
    host_teacher: OwnedElements,
    host_gradient: OwnedElements,
    host_labels: Vec<i64>,
}

impl<'k> Problem<'k> {
    pub fn new(kernels: &'k Kernels, rows: usize, vocab: usize, dtype: DType) -> Self {
        let elements = rows * vocab.next_multiple_of(4);
        let [student, teacher] = [1, 2].map(|seed| OwnedElements::new(dtype, &logits(seed, elements)));
        let labels: Vec<i64> = (0..rows as i64).collect();
        let upload = |contents: &[u8]| {
            let usage = wgpu::BufferUsages::STORAGE;
            kernels.device().create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage })
        };
        Self {
            rows,
            vocab,
            storage: Storage { dtype, in_vectors: true },
            student: upload(student.bytes()),
            teacher: upload(teacher.bytes()),
            gradient: upload(student.bytes()),
            labels: upload(bytemuck::cast_slice(&labels)),
            host_gradient: OwnedElements::new(dtype, &vec![0.0; elements]),
            host_student: student,
            host_teacher: teacher,
            host_labels: labels,
            kernels,
        }
    }

    /// Elements between the starts of two rows: a multiple of four, so that every row is accessed in vectors.
    pub fn stride(&self) -> usize {
        self.vocab.next_multiple_of(4)
    }

    /// Bytes that the loss and its gradient have to move: two matrices read, one written.
    pub fn ideal_bytes(&self) -> u64 {
        (3 * self.rows * self.vocab * self.storage.dtype.size()) as u64
    }

    pub fn loss() -> DistillationLoss {
        DistillationLoss::new().with_temperature(TEMPERATURE).with_alpha(ALPHA)
    }

    fn matrix<'b>(&self, buffer: &'b wgpu::Buffer) -> Matrix<'b> {
        Matrix::new(buffer, self.storage.dtype, self.rows, self.stride())
    }

    /// Encodes the library's kernels.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> kdloss::wgpu::Pending {
        let batch = Batch::new(self.matrix(&self.student))
            .with_teacher(self.matrix(&self.teacher))
            .with_labels(Labels::i64(&self.labels))
            .with_vocab(self.vocab);
        let gradient = self.matrix(&self.gradient);
        self.kernels.encode_forward_backward(encoder, &Self::loss(), &batch, gradient).expect("a batch in order")
    }

    /// The CPU backend on the same numbers.
    pub fn on_cpu(&mut self) -> LossValue {
        let (rows, stride) = (self.rows, self.stride());
        let matrix = |elements| kdloss::Matrix::new(elements, rows, stride);
        let batch = kdloss::Batch::new(matrix(self.host_student.logits()))
            .with_teacher(matrix(self.host_teacher.logits()))
            .with_labels(&self.host_labels)
            .with_vocab(self.vocab);
        let mut gradient = MatrixMut::new(self.host_gradient.logits_mut(), rows, stride);
        kdloss::cpu::forward_backward(&Self::loss(), &batch, &mut gradient).expect("a batch in order")
    }
}

impl OwnedElements {
    fn new(dtype: DType, values: &[f32]) -> Self {
        let values = values.iter().copied();
        match dtype {
            DType::F16 => Self::F16(values.map(f16::from_f32).collect()),
            DType::Bf16 => Self::Bf16(values.map(bf16::from_f32).collect()),
            _ => Self::F32(values.collect()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(values) => bytemuck::cast_slice(values),
            Self::Bf16(values) => bytemuck::cast_slice(values),
        }
    }

    fn logits(&self) -> kdloss::Elements<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    fn logits_mut(&mut self) -> kdloss::ElementsMut<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }
}

/// Numbers between −6 and 6 without a pattern that a processor could learn.
fn logits(seed: usize, elements: usize) -> Vec<f32> {
    let hash = |index: usize| (index ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..elements).map(|index| hash(index) as f32 / (1 << 24) as f32 * 12.0 - 6.0).collect()
}
