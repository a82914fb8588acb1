//! Tensors as logits: their types and shapes, checked, and their rows, read when they are asked for.

use std::borrow::Cow;
use std::ops::Range;

use half::{bf16, f16};
use kdloss::{Elements, Matrix};
use safetensors::Dtype;

use crate::elements::{Runs, converted, stored};
use crate::failure::{Failure, Result};
use crate::tensors::Tensor;

/// Logits in a file: one row for each of `positions`, `cols` elements each.
pub(crate) struct LogitsTensor<'a> {
    tensor: Tensor<'a>,
    /// `[N]`, or `[B, S]`.
    positions: Vec<usize>,
    pub(crate) cols: usize,
}

/// Rows of logits as the library takes them.
pub(crate) struct LogitsRows<'a> {
    elements: LogitsElements<'a>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

enum LogitsElements<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [f16]>),
    Bf16(Cow<'a, [bf16]>),
}

impl<'a> LogitsTensor<'a> {
    /// Logits with the rows of `student`, if there is one.
    pub(crate) fn new(tensor: Tensor<'a>, student: Option<&LogitsTensor<'_>>) -> Result<Self> {
        let (positions, cols) = match tensor.view.shape() {
            [positions @ .., cols] if matches!(positions.len(), 1 | 2) => (positions.to_vec(), *cols),
            shape => return Err(tensor.unfit(&shape_remedy(shape))),
        };
        if cols == 0 {
            return Err(tensor.unfit("logits need at least one column: write them again"));
        }
        if let Some(student) = student {
            student.check_positions(&positions, &tensor)?;
        }
        if !matches!(tensor.view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
            return Err(tensor.unfit(
                "logits must be F32, F16, BF16 or F64: convert them, as tensor.float() does, \
                 or array.astype(np.float32)",
            ));
        }
        Ok(Self { tensor, positions, cols })
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

    /// The given rows, which must exist.
    pub(crate) fn read(&self, rows: Range<usize>) -> Result<LogitsRows<'a>> {
        self.read_runs(Runs::one(rows.start * self.cols..rows.end * self.cols), rows.len())
    }

    /// The rows of each of `sequences`, of `length` positions, without the last one.
    pub(crate) fn read_without_last_positions(&self, sequences: usize, length: usize) -> Result<LogitsRows<'a>> {
        let kept = length.saturating_sub(1);
        // The sizes of a tensor without rows may be too large to multiply.
        if self.rows() == 0 {
            return self.read(0..0);
        }
        let runs = Runs { count: sequences, stride: length * self.cols, range: 0..kept * self.cols };
        self.read_runs(runs, sequences * kept)
    }

    fn read_runs(&self, runs: Runs, rows: usize) -> Result<LogitsRows<'a>> {
        let bytes = self.tensor.view.data();
        let elements = match self.tensor.view.dtype() {
            Dtype::F16 => stored(bytes, runs).map(LogitsElements::F16),
            Dtype::BF16 => stored(bytes, runs).map(LogitsElements::Bf16),
            Dtype::F64 => converted(bytes, runs, |logit: f64| logit as f32).map(LogitsElements::F32),
            _ => stored(bytes, runs).map(LogitsElements::F32),
        };
        let elements = elements.map_err(|_| self.tensor.without_room())?;
        Ok(LogitsRows { elements, rows, cols: self.cols })
    }

    /// Checks that another tensor, of shape `theirs` without its columns, belongs to the same rows. A flat one may
    /// stand for `[B, S]`; `[3, 4]` may not stand for `[2, 6]`.
    pub(crate) fn check_positions(&self, theirs: &[usize], tensor: &Tensor<'_>) -> Result<()> {
        let ours = self.positions.as_slice();
        let one_is_flat = ours.len() == 1 || theirs.len() == 1;
        if ours == theirs || (one_is_flat && self.rows() == theirs.iter().product::<usize>()) {
            return Ok(());
        }
        Err(tensor.unfit(&format!("it does not fit the student's rows, {ours:?}: take both from the same batch")))
    }
}

impl LogitsRows<'_> {
    pub(crate) fn matrix(&self) -> Matrix<'_> {
        let data = match &self.elements {
            LogitsElements::F32(elements) => Elements::F32(elements),
            LogitsElements::F16(elements) => Elements::F16(elements),
            LogitsElements::Bf16(elements) => Elements::Bf16(elements),
        };
        Matrix::new(data, self.rows, self.cols)
    }

    /// Reads the first `width` logits of a row into `buffer`; both must exist.
    pub(crate) fn read_row(&self, row: usize, width: usize, buffer: &mut Vec<f32>) {
        let start = row * self.cols;
        let range = start..start + width;
        buffer.clear();
        match &self.elements {
            LogitsElements::F32(elements) => buffer.extend_from_slice(&elements[range]),
            LogitsElements::F16(elements) => buffer.extend(elements[range].iter().map(|logit| logit.to_f32())),
            LogitsElements::Bf16(elements) => buffer.extend(elements[range].iter().map(|logit| logit.to_f32())),
        }
    }
}

/// What to do about logits of another number of dimensions. More than three are most likely those of an image, whose
/// classes are the second axis: reshaping them would mix classes with pixels.
fn shape_remedy(shape: &[usize]) -> String {
    match *shape {
        [_, classes, _, _] => format!(
            "classes must be the last axis of [N, V] or [B, S, V]: of [B, C, H, W], save \
             tensor.permute(0, 2, 3, 1).flatten(0, 2).contiguous(), or \
             array.transpose(0, 2, 3, 1).reshape(-1, {classes})"
        ),
        [_, _, _, _, ..] => "classes must be the last axis of [N, V] or [B, S, V]: move them there \
                             (tensor.movedim(1, -1), or np.moveaxis(array, 1, -1)), then flatten the other axes"
            .into(),
        _ => "logits need the shape [N, V] or [B, S, V]: of one row, logits[None, :] makes [1, V]".into(),
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
