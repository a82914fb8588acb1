//! A batch that lies in buffers of a device. Here the places of a call are checked: usage, alignment, whole words, overlap.

use super::plan::Extent;
use super::variant::{GradientStorage, Storage};
use crate::call::{Call, Shapes, Target};
use crate::elements::DType;
use crate::error::{Error, Result};
use crate::loss::DistillationLoss;
use crate::shape::Shape;

/// A matrix of logits, or of a gradient, in a buffer of a device: laid out as [`kdloss::Matrix`](crate::Matrix).
///
/// Elements lie one behind another, as a slice of them is copied there: two of a 16-bit type share a 32-bit word. The buffer
/// needs [`wgpu::BufferUsages::STORAGE`]. If offset and row stride are multiples of four elements, rows are accessed in
/// vectors. A matrix that is written in a 16-bit type needs an even row stride.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// Where the first row starts in the buffer, in bytes.
    pub offset: u64,
    /// The storage type.
    pub dtype: DType,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix at the start of a buffer, whose rows follow one another. It is checked when a loss is encoded.
    #[must_use]
    pub fn new(buffer: &'a wgpu::Buffer, dtype: DType, rows: usize, cols: usize) -> Self {
        Self { buffer, offset: 0, dtype, rows, cols, row_stride: cols }
    }

    /// Sets where the first row starts, in bytes from the start of the buffer.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }

    fn shape(&self) -> Shape {
        let len = self.buffer.size().saturating_sub(self.offset) / self.dtype.size() as u64;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Shape { len, rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }
}

/// Labels in a buffer of a device, one per row.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    buffer: &'a wgpu::Buffer,
    offset: u64,
    words: u32,
}

impl<'a> Labels<'a> {
    /// 64-bit labels, as PyTorch has them, the low word first.
    #[must_use]
    pub fn i64(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, words: 2 }
    }

    /// 32-bit labels.
    #[must_use]
    pub fn i32(buffer: &'a wgpu::Buffer) -> Self {
        Self { buffer, offset: 0, words: 1 }
    }

    /// Sets where the first label lies, in bytes from the start of the buffer.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    fn bytes(&self) -> u64 {
        4 * u64::from(self.words)
    }
}

/// One batch on a device: the student's logits, and what they are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(super) student: Matrix<'a>,
    pub(super) teacher: Option<Matrix<'a>>,
    pub(super) labels: Option<Labels<'a>>,
    pub(super) row_grad_scale: Option<(&'a wgpu::Buffer, u64)>,
    vocab: Option<usize>,
}

impl<'a> Batch<'a> {
    /// A batch of student logits, without teacher or labels yet.
    #[must_use]
    pub fn new(student: Matrix<'a>) -> Self {
        Self { student, teacher: None, labels: None, row_grad_scale: None, vocab: None }
    }

    /// Adds the teacher's logits, needed unless `alpha` is 1. Type, width and row stride may differ from the student's.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Matrix<'a>) -> Self {
        self.teacher = Some(teacher);
        self
    }

    /// Adds the labels, one per row, needed unless `alpha` is 0: a class in `0..vocab`, or the loss's `ignore_index`.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels<'a>) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Sets the vocabulary: how many columns are classes. Default: the narrower of student and teacher.
    #[must_use]
    pub fn with_vocab(mut self, vocab: usize) -> Self {
        self.vocab = Some(vocab);
        self
    }

    /// Adds a factor for the gradient of each row, an `f32` each, from `offset` (in bytes) of `buffer` on.
    #[must_use]
    pub fn with_row_grad_scale(mut self, buffer: &'a wgpu::Buffer, offset: u64) -> Self {
        self.row_grad_scale = Some((buffer, offset));
        self
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.student.rows
    }

    /// The vocabulary: what [`Batch::with_vocab`] set, else the narrower of student and teacher.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.shapes().vocab()
    }

    fn shapes(&self) -> Shapes {
        let rows = self.rows();
        // A list may be longer than it needs to be.
        let list = |buffer: &wgpu::Buffer, offset: u64, item: u64| {
            usize::try_from(buffer.size().saturating_sub(offset) / item).map_or(rows, |items| items.min(rows))
        };
        Shapes {
            student: self.student.shape(),
            teacher: self.teacher.map(|teacher| teacher.shape()),
            labels: self.labels.map(|labels| list(labels.buffer, labels.offset, labels.bytes())),
            row_grad_scale: self.row_grad_scale.map(|(buffer, offset)| list(buffer, offset, 4)),
            vocab: self.vocab,
        }
    }
}

/// A call whose every buffer has been checked, with the extents that are accessed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) call: Call,
    pub(super) student: Bound<'a>,
    /// Where the soft term is computed.
    pub(super) teacher: Option<Bound<'a>>,
    /// Where it has a buffer of its own.
    pub(super) gradient: Option<Bound<'a>>,
    pub(super) gradient_storage: GradientStorage,
    /// Columns of the gradient, in whichever buffer it is.
    pub(super) gradient_cols: usize,
    pub(super) labels: Option<Bound<'a>>,
    /// 32-bit words of a label; 0 where there are none.
    pub(super) label_words: u32,
    pub(super) row_grad_scale: Option<Bound<'a>>,
}

/// A part of the batch in its buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) buffer: &'a wgpu::Buffer,
    pub(super) extent: Extent,
    /// Of an element, in bytes.
    pub(super) element: u64,
    pub(super) storage: Storage,
}

impl<'a> Placed<'a> {
    /// Checks everything that can be known of a batch without asking the device.
    pub(super) fn new(loss: &DistillationLoss, batch: &Batch<'a>, target: Target<Matrix<'a>>) -> Result<Self> {
        let call = Call::new(loss, &batch.shapes(), target.map(|gradient| gradient.shape()))?;
        let terms = call.terms;
        let in_place = matches!(target, Target::InPlace);
        let student = Bound::matrix("student", &batch.student, &call, in_place)?;
        let teacher = batch.teacher.filter(|_| terms.has_soft());
        let teacher = teacher.map(|teacher| Bound::matrix("teacher", &teacher, &call, false)).transpose()?;
        let labels = batch
            .labels
            .map(|labels| Bound::list("labels", labels.buffer, labels.offset, labels.bytes()))
            .transpose()?;
        let row_grad_scale = batch
            .row_grad_scale
            .map(|(buffer, offset)| Bound::list("row_grad_scale", buffer, offset, 4))
            .transpose()?;
        let (gradient, gradient_storage, gradient_cols) = match target {
            Target::None => (None, GradientStorage::None, 0),
            Target::InPlace => (None, GradientStorage::InPlace, batch.student.cols),
            Target::Separate(matrix) => {
                let bound = Bound::matrix("gradient", &matrix, &call, true)?;
                (Some(bound), GradientStorage::Separate(bound.storage), matrix.cols)
            }
        };
        let label_words = batch.labels.map_or(0, |labels| labels.words);
        let placed = Self {
            call,
            student,
            teacher,
            gradient,
            gradient_storage,
            gradient_cols,
            labels,
            label_words,
            row_grad_scale,
        };
        placed.check_aliasing(in_place)?;
        Ok(placed)
    }

    /// Every part that is bound.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Bound<'a>> {
        let optional = [&self.teacher, &self.gradient, &self.labels, &self.row_grad_scale];
        [&self.student].into_iter().chain(optional.into_iter().flatten())
    }

    /// A buffer that is written must not be used otherwise: the device could not order the accesses.
    fn check_aliasing(&self, in_place: bool) -> Result<()> {
        let written = if in_place { Some(&self.student) } else { self.gradient.as_ref() };
        let Some(written) = written else { return Ok(()) };
        let name = written.extent.matrix;
        match self.parts().find(|part| part.extent.matrix != name && part.buffer == written.buffer) {
            Some(part) => Err(Error::BufferAliased { written: name, other: part.extent.matrix }),
            None => Ok(()),
        }
    }
}

impl<'a> Bound<'a> {
    /// A matrix whose shape has been checked.
    fn matrix(name: &'static str, matrix: &Matrix<'a>, call: &Call, is_written: bool) -> Result<Self> {
        let Matrix { buffer, offset, dtype, cols, row_stride, .. } = *matrix;
        let Call { rows, vocab, .. } = *call;
        let element = dtype.size() as u64;
        check_buffer(name, buffer, offset, element)?;
        // Without a second row the stride leads nowhere, and without a first one nothing is accessed: both may be any number.
        let row_stride = if rows > 1 { row_stride as u64 } else { 0 };
        let accessed = match rows {
            0 => 0,
            _ if is_written => cols as u64,
            _ => vocab as u64,
        };
        if is_written && dtype != DType::F32 {
            if !row_stride.is_multiple_of(2) {
                return Err(Error::OddRowStride { matrix: name, dtype, row_stride: matrix.row_stride });
            }
            check_offset(name, offset, 4)?;
        }

        let last = offset + rows.saturating_sub(1) as u64 * row_stride * element;
        let fits = |columns: u64| rows == 0 || last + columns * element <= buffer.size();
        // Vectors may read a little beyond the classes, if the buffer reaches that far, but write whole rows only.
        let in_vectors = (offset / element).is_multiple_of(4)
            && row_stride.is_multiple_of(4)
            && if is_written { accessed.is_multiple_of(4) } else { fits(accessed.next_multiple_of(4)) };
        let columns = if in_vectors { accessed.next_multiple_of(4) } else { accessed };
        if rows > 0 && (last + columns * element).next_multiple_of(4) > buffer.size() {
            return Err(Error::BufferNotWhole { buffer: name, size: buffer.size() });
        }
        Ok(Self {
            buffer,
            extent: Extent { matrix: name, offset, row_stride: row_stride * element, row: columns * element },
            element,
            storage: Storage { dtype, in_vectors },
        })
    }

    /// One item of so many bytes for each row.
    fn list(name: &'static str, buffer: &'a wgpu::Buffer, offset: u64, item: u64) -> Result<Self> {
        check_buffer(name, buffer, offset, 4)?;
        Ok(Self {
            buffer,
            extent: Extent { matrix: name, offset, row_stride: item, row: item },
            element: 4,
            storage: Storage { dtype: DType::F32, in_vectors: false },
        })
    }
}

fn check_buffer(name: &'static str, buffer: &wgpu::Buffer, offset: u64, alignment: u64) -> Result<()> {
    if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(Error::BufferUsage { buffer: name, missing: "STORAGE" });
    }
    check_offset(name, offset, alignment)
}

fn check_offset(name: &'static str, offset: u64, alignment: u64) -> Result<()> {
    if offset.is_multiple_of(alignment) { Ok(()) } else { Err(Error::BufferOffset { buffer: name, offset, alignment }) }
}
