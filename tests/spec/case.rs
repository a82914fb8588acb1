//! One problem, owned: the loss, the matrices in their storage types and layouts, the labels.

use half::{bf16, f16};
use kdloss::{Batch, DType, DistillationLoss, Elements, ElementsMut, Labels, Matrix, MatrixMut};

/// Elements in one of the storage types.
#[derive(Debug, Clone, PartialEq)]
pub enum Buffer {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Buffer {
    pub fn from_f32(dtype: DType, values: &[f32]) -> Self {
        match dtype {
            DType::F32 => Self::F32(values.to_vec()),
            DType::F16 => Self::F16(values.iter().copied().map(f16::from_f32).collect()),
            DType::Bf16 => Self::Bf16(values.iter().copied().map(bf16::from_f32).collect()),
            other => panic!("the tests do not know {other}"),
        }
    }

    pub fn get(&self, index: usize) -> f32 {
        match self {
            Self::F32(values) => values[index],
            Self::F16(values) => values[index].to_f32(),
            Self::Bf16(values) => values[index].to_f32(),
        }
    }

    /// The elements' bytes, one behind another.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Bf16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// As many elements of the same type, from bytes.
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub fn with_bytes(&self, bytes: &[u8]) -> Self {
        let halves = || bytes.as_chunks().0.iter().copied().map(u16::from_le_bytes);
        match self {
            Self::F32(values) => {
                let words = bytes.as_chunks().0.iter().copied();
                Self::F32(words.map(f32::from_le_bytes).take(values.len()).collect())
            }
            Self::F16(values) => Self::F16(halves().map(f16::from_bits).take(values.len()).collect()),
            Self::Bf16(values) => Self::Bf16(halves().map(bf16::from_bits).take(values.len()).collect()),
        }
    }

    fn logits(&self) -> Elements<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    fn logits_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }
}

/// Width, row stride and storage type of a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    pub dtype: DType,
    pub cols: usize,
    pub row_stride: usize,
}

impl Layout {
    pub fn packed(dtype: DType, cols: usize) -> Self {
        Self { dtype, cols, row_stride: cols }
    }
}

/// A matrix with its layout. What lies outside the classes is poison: NaN in logits, a mark in a gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub buffer: Buffer,
    pub rows: usize,
    pub layout: Layout,
}

impl Table {
    /// Rows of logits in a layout at least as wide, everything else NaN. The last row ends the buffer.
    pub fn of_rows(rows: &[Vec<f32>], layout: Layout) -> Self {
        let mut values = vec![f32::NAN; Self::elements(rows.len(), layout)];
        for (index, row) in rows.iter().enumerate() {
            values[index * layout.row_stride..][..row.len()].copy_from_slice(row);
        }
        Self { buffer: Buffer::from_f32(layout.dtype, &values), rows: rows.len(), layout }
    }

    /// A matrix with the same value everywhere.
    pub fn filled(rows: usize, layout: Layout, value: f32) -> Self {
        let values = vec![value; Self::elements(rows, layout)];
        Self { buffer: Buffer::from_f32(layout.dtype, &values), rows, layout }
    }

    fn elements(rows: usize, layout: Layout) -> usize {
        if rows == 0 { 0 } else { (rows - 1) * layout.row_stride + layout.cols }
    }

    pub fn get(&self, row: usize, column: usize) -> f32 {
        self.buffer.get(row * self.layout.row_stride + column)
    }

    pub fn row(&self, row: usize, vocab: usize) -> Vec<f32> {
        (0..vocab).map(|column| self.get(row, column)).collect()
    }

    pub fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.buffer.logits(), self.rows, self.layout.cols).with_row_stride(self.layout.row_stride)
    }

    pub fn matrix_mut(&mut self) -> MatrixMut<'_> {
        let (rows, Layout { cols, row_stride, .. }) = (self.rows, self.layout);
        MatrixMut::new(self.buffer.logits_mut(), rows, cols).with_row_stride(row_stride)
    }
}

/// Labels in one of the integer types.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelVec {
    I64(Vec<i64>),
    I32(Vec<i32>),
}

impl LabelVec {
    fn labels(&self) -> Labels<'_> {
        match self {
            Self::I64(labels) => labels.into(),
            Self::I32(labels) => labels.into(),
        }
    }
}

/// One problem.
#[derive(Debug, Clone)]
pub struct Case {
    pub loss: DistillationLoss,
    pub student: Table,
    pub teacher: Option<Table>,
    pub labels: Option<LabelVec>,
    pub vocab: Option<usize>,
    pub row_grad_scale: Option<Vec<f32>>,
    /// Where the gradient goes if it does not go over the student's logits.
    pub gradient: Layout,
}

impl Case {
    /// A case in `f32`, without padding.
    pub fn new(loss: DistillationLoss, student: &[Vec<f32>], teacher: &[Vec<f32>], labels: &[i64]) -> Self {
        let cols = student.first().map_or(1, Vec::len);
        let layout = Layout::packed(DType::F32, cols);
        Self {
            loss,
            student: Table::of_rows(student, layout),
            teacher: Some(Table::of_rows(teacher, layout)),
            labels: Some(LabelVec::I64(labels.to_vec())),
            vocab: None,
            row_grad_scale: None,
            gradient: layout,
        }
    }

    /// One row.
    pub fn row(loss: DistillationLoss, student: &[f32], teacher: &[f32], label: i64) -> Self {
        Self::new(loss, &[student.to_vec()], &[teacher.to_vec()], &[label])
    }

    /// The same numbers, rounded to the storage types of student, teacher and gradient.
    pub fn stored_as(mut self, student: DType, teacher: DType, gradient: DType) -> Self {
        let convert = |table: &Table, dtype: DType| {
            let len = Table::elements(table.rows, table.layout);
            let values: Vec<f32> = (0..len).map(|index| table.buffer.get(index)).collect();
            let layout = Layout { dtype, ..table.layout };
            Table { buffer: Buffer::from_f32(dtype, &values), rows: table.rows, layout }
        };
        self.student = convert(&self.student, student);
        self.teacher = self.teacher.as_ref().map(|table| convert(table, teacher));
        self.gradient.dtype = gradient;
        self
    }

    pub fn batch(&self) -> Batch<'_> {
        self.complete(Batch::new(self.student.matrix()))
    }

    /// A batch with the student's logits in `student`, which may be overwritten.
    pub fn batch_in_place<'a>(&'a self, student: &'a mut Table) -> Batch<'a, MatrixMut<'a>> {
        self.complete(Batch::new(student.matrix_mut()))
    }

    fn complete<'a, Student>(&'a self, mut batch: Batch<'a, Student>) -> Batch<'a, Student> {
        if let Some(teacher) = &self.teacher {
            batch = batch.with_teacher(teacher.matrix());
        }
        if let Some(labels) = &self.labels {
            batch = batch.with_labels(labels.labels());
        }
        if let Some(vocab) = self.vocab {
            batch = batch.with_vocab(vocab);
        }
        if let Some(scale) = &self.row_grad_scale {
            batch = batch.with_row_grad_scale(scale);
        }
        batch
    }
}
