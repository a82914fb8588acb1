//! Tensors as labels: their types and shapes, checked.

use std::borrow::Cow;

use kdloss::Labels;
use safetensors::Dtype;

use crate::elements::{Elements, Runs, converted, stored};
use crate::failure::Result;
use crate::logits::LogitsTensor;
use crate::tensors::Tensor;

/// Labels in a file: one for each row of logits.
pub(crate) struct LabelsTensor<'a> {
    tensor: Tensor<'a>,
    count: usize,
}

/// Labels as the library takes them.
pub(crate) enum LabelsRows<'a> {
    I64(Cow<'a, [i64]>),
    I32(Cow<'a, [i32]>),
}

impl<'a> LabelsTensor<'a> {
    /// Labels of the rows of `student`. They may stand in a column of their own: `[N, 1]`, `[B, S, 1]`.
    pub(crate) fn new(tensor: Tensor<'a>, student: &LogitsTensor<'_>) -> Result<Self> {
        let positions = match tensor.view.shape() {
            [positions @ .., 1] if !positions.is_empty() => positions,
            shape => shape,
        };
        student.check_positions(positions, &tensor)?;
        match tensor.view.dtype() {
            Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::U16 | Dtype::U32 => {}
            _ => {
                return Err(tensor.unfit(
                    "labels must be whole numbers, such as I64 or I32: convert them, as tensor.long() does, \
                     or array.astype(np.int64)",
                ));
            }
        }
        Ok(Self { tensor, count: student.rows() })
    }

    pub(crate) fn read(&self) -> Result<LabelsRows<'a>> {
        self.read_runs(Runs::one(0..self.count))
    }

    /// The labels of each of `sequences`, of `length` positions, without the first one.
    pub(crate) fn read_without_first_positions(&self, sequences: usize, length: usize) -> Result<LabelsRows<'a>> {
        self.read_runs(Runs { count: sequences, stride: length, range: 1..length })
    }

    fn read_runs(&self, runs: Runs) -> Result<LabelsRows<'a>> {
        let bytes = self.tensor.view.data();
        let narrow = |elements: Elements<'a, i32>| elements.map(LabelsRows::I32);
        let labels = match self.tensor.view.dtype() {
            Dtype::I32 => narrow(stored(bytes, runs)),
            Dtype::I16 => narrow(converted(bytes, runs, |label: i16| label.into())),
            Dtype::I8 => narrow(converted(bytes, runs, |label: i8| label.into())),
            Dtype::U8 => narrow(converted(bytes, runs, |label: u8| label.into())),
            Dtype::U16 => narrow(converted(bytes, runs, |label: u16| label.into())),
            Dtype::U32 => converted(bytes, runs, |label: u32| label.into()).map(LabelsRows::I64),
            _ => stored(bytes, runs).map(LabelsRows::I64),
        };
        labels.map_err(|_| self.tensor.without_room())
    }
}

impl LabelsRows<'_> {
    pub(crate) fn labels(&self) -> Labels<'_> {
        match self {
            Self::I64(labels) => Labels::I64(labels),
            Self::I32(labels) => Labels::I32(labels),
        }
    }
}
