//! Tensors as logits and labels: their types and shapes, checked.
//!
//! Elements are borrowed from the mapped file where they lie aligned, and copied where they do not.

use std::borrow::Cow;
use std::ops::Range;

use bytemuck::Pod;
use half::{bf16, f16};
use kdloss::{Elements, Labels, Matrix};
use safetensors::Dtype;

use crate::failure::{Failure, Result};
use crate::tensors::Tensor;

/// Logits: one row for each of `positions`, `cols` elements each.
pub(crate) struct LogitsTensor<'a> {
    elements: LogitsElements<'a>,
    /// `[N]`, or `[B, S]`.
    positions: Vec<usize>,
    pub(crate) cols: usize,
}

enum LogitsElements<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [f16]>),
    Bf16(Cow<'a, [bf16]>),
}

/// Labels: one for each position.
pub(crate) enum LabelsTensor<'a> {
    I64(Cow<'a, [i64]>),
    I32(Cow<'a, [i32]>),
}

impl<'a> LogitsTensor<'a> {
    /// Logits with the rows of `student`, if there is one.
    pub(crate) fn new(tensor: &Tensor<'a>, student: Option<&LogitsTensor<'_>>) -> Result<Self> {
        let (positions, cols) = match tensor.view.shape() {
            [positions @ .., cols] if matches!(positions.len(), 1 | 2) => (positions.to_vec(), *cols),
            _ => return Err(tensor.unfit("logits need the shape [N, V] or [B, S, V]: reshape them")),
        };
        if cols == 0 {
            return Err(tensor.unfit("logits need at least one column: write them again"));
        }
        if let Some(student) = student {
            student.check_positions(&positions, tensor)?;
        }
        let bytes = tensor.view.data();
        let elements = match tensor.view.dtype() {
            Dtype::F32 => LogitsElements::F32(elements(bytes)),
            Dtype::F16 => LogitsElements::F16(elements(bytes)),
            Dtype::BF16 => LogitsElements::Bf16(elements(bytes)),
            _ => return Err(tensor.unfit("logits must be F32, F16 or BF16: convert them, as tensor.float() does")),
        };
        Ok(Self { elements, positions, cols })
    }

    /// Number of rows. It fits: the reader of the file has multiplied the same numbers.
    pub(crate) fn rows(&self) -> usize {
        self.positions.iter().product()
    }

    /// Sequences and positions in each, if the logits have three dimensions.
    pub(crate) fn sequences(&self) -> Option<(usize, usize)> {
        match *self.positions.as_slice() {
            [sequences, length] => Some((sequences, length)),
            _ => None,
        }
    }

    pub(crate) fn matrix(&self) -> Matrix<'_> {
        self.matrix_of(0..self.rows())
    }

    /// The given rows, which must exist.
    pub(crate) fn matrix_of(&self, rows: Range<usize>) -> Matrix<'_> {
        let range = rows.start * self.cols..rows.end * self.cols;
        let data = match &self.elements {
            LogitsElements::F32(elements) => Elements::F32(&elements[range]),
            LogitsElements::F16(elements) => Elements::F16(&elements[range]),
            LogitsElements::Bf16(elements) => Elements::Bf16(&elements[range]),
        };
        Matrix::new(data, rows.len(), self.cols)
    }

    /// Reads the first `vocab` logits of a row into `buffer`; both must exist.
    pub(crate) fn read_row(&self, row: usize, vocab: usize, buffer: &mut Vec<f32>) {
        let start = row * self.cols;
        let range = start..start + vocab;
        buffer.clear();
        match &self.elements {
            LogitsElements::F32(elements) => buffer.extend_from_slice(&elements[range]),
            LogitsElements::F16(elements) => buffer.extend(elements[range].iter().map(|logit| logit.to_f32())),
            LogitsElements::Bf16(elements) => buffer.extend(elements[range].iter().map(|logit| logit.to_f32())),
        }
    }

    /// Checks that another tensor, of shape `theirs` without its columns, belongs to the same rows. A flat one may
    /// stand for `[B, S]`; `[3, 4]` may not stand for `[2, 6]`.
    fn check_positions(&self, theirs: &[usize], tensor: &Tensor<'_>) -> Result<()> {
        let ours = self.positions.as_slice();
        let one_is_flat = ours.len() == 1 || theirs.len() == 1;
        if ours == theirs || (one_is_flat && self.rows() == theirs.iter().product::<usize>()) {
            return Ok(());
        }
        Err(tensor.unfit(&format!("it does not fit the student's rows, {ours:?}: take both from the same batch")))
    }

    /// The logits without the last position of each sequence.
    pub(crate) fn without_last_positions(self, sequences: usize, length: usize) -> Self {
        let kept = length.saturating_sub(1);
        // The sizes of a tensor without rows may be too large to multiply.
        let (stride, range) = if self.rows() == 0 { (0, 0..0) } else { (length * self.cols, 0..kept * self.cols) };
        let elements = match self.elements {
            LogitsElements::F32(elements) => LogitsElements::F32(part_of_each(elements, stride, range)),
            LogitsElements::F16(elements) => LogitsElements::F16(part_of_each(elements, stride, range)),
            LogitsElements::Bf16(elements) => LogitsElements::Bf16(part_of_each(elements, stride, range)),
        };
        Self { elements, positions: vec![sequences, kept], cols: self.cols }
    }
}

impl<'a> LabelsTensor<'a> {
    /// Labels of the rows of `student`.
    pub(crate) fn new(tensor: &Tensor<'a>, student: &LogitsTensor<'_>) -> Result<Self> {
        student.check_positions(tensor.view.shape(), tensor)?;
        let bytes = tensor.view.data();
        match tensor.view.dtype() {
            Dtype::I64 => Ok(Self::I64(elements(bytes))),
            Dtype::I32 => Ok(Self::I32(elements(bytes))),
            _ => Err(tensor.unfit("labels must be I64 or I32: convert them, as tensor.long() does")),
        }
    }

    pub(crate) fn labels(&self) -> Labels<'_> {
        match self {
            Self::I64(labels) => Labels::I64(labels),
            Self::I32(labels) => Labels::I32(labels),
        }
    }

    /// The labels without the first of each sequence.
    pub(crate) fn without_first_positions(self, length: usize) -> Self {
        match self {
            Self::I64(labels) => Self::I64(part_of_each(labels, length, 1..length)),
            Self::I32(labels) => Self::I32(part_of_each(labels, length, 1..length)),
        }
    }
}

/// The elements in `bytes`: the bytes themselves where they are aligned, which the format does not promise.
fn elements<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(elements) => Cow::Borrowed(elements),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

/// The same part of every `stride` elements, one after another; copied unless there is only one.
fn part_of_each<T: Pod>(elements: Cow<'_, [T]>, stride: usize, part: Range<usize>) -> Cow<'_, [T]> {
    match elements {
        Cow::Borrowed(elements) if elements.len() == stride && !part.is_empty() => Cow::Borrowed(&elements[part]),
        _ if part.is_empty() => Cow::Borrowed(&[]),
        elements => {
            let parts: Vec<&[T]> = elements.chunks_exact(stride).map(|chunk| &chunk[part.clone()]).collect();
            Cow::Owned(parts.concat())
        }
    }
}

/// How many columns are classes: what was asked for, which both must have, else the smaller width.
pub(crate) fn vocab(
    requested: Option<usize>,
    first: &LogitsTensor<'_>,
    second: Option<&LogitsTensor<'_>>,
) -> Result<usize> {
    let smaller = second.map_or(first.cols, |second| second.cols.min(first.cols));
    match requested {
        Some(0) => Err(Failure::new("--vocab 0 leaves no class: give at least 1")),
        Some(vocab) if vocab > smaller => Err(Failure::new(format!(
            "--vocab {vocab} is wider than the logits, which have {smaller} columns: give at most {smaller}"
        ))),
        requested => Ok(requested.unwrap_or(smaller)),
    }
}
