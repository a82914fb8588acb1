//! Logits to measure on.

use half::{bf16, f16};
use kdloss::{Batch, DType, DistillationLoss, Elements, ElementsMut, Matrix};
use rayon::prelude::*;

use crate::args::BenchArgs;
use crate::failure::{Failure, Result};

/// Student, teacher and labels, and room for the gradient where it is measured too.
pub(crate) struct Problem {
    pub(crate) loss: DistillationLoss,
    pub(crate) rows: usize,
    pub(crate) vocab: usize,
    /// OwnedElements between the starts of two rows.
    pub(crate) stride: usize,
    pub(crate) student: OwnedElements,
    pub(crate) teacher: OwnedElements,
    pub(crate) labels: Vec<i64>,
    pub(crate) gradient: Option<OwnedElements>,
}

/// OwnedElements of one of the storage types.
pub(crate) enum OwnedElements {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl Problem {
    /// Rows begin at multiples of so many elements.
    pub(crate) fn new(args: &BenchArgs, dtype: DType, vocab: usize, multiple: usize) -> Result<Self> {
        let (rows, stride) = (args.rows, vocab.next_multiple_of(multiple));
        let elements = rows.checked_mul(stride).filter(|&elements| elements > 0 && elements < 1 << 40);
        let elements = elements
            .ok_or_else(|| Failure::new(format!("{rows} rows of {vocab} logits: choose other --rows or --vocab")))?;
        let gradient = (!args.forward_only).then(|| OwnedElements::new(dtype, elements, |_| 0.0)).transpose()?;
        Ok(Self {
            loss: DistillationLoss::new().with_temperature(args.temperature).with_alpha(0.5),
            rows,
            vocab,
            stride,
            student: OwnedElements::new(dtype, elements, |index| logit(index, 1))?,
            teacher: OwnedElements::new(dtype, elements, |index| logit(index, 2))?,
            labels: (0..rows).map(|row| (row % vocab) as i64).collect(),
            gradient,
        })
    }

    /// The batch, and where its gradient goes.
    pub(crate) fn parts(&mut self) -> (Batch<'_>, Option<ElementsMut<'_>>) {
        let Self { rows, vocab, stride, student, teacher, labels, gradient, .. } = self;
        let (student, teacher) = (student.logits(), teacher.logits());
        let matrix = |logits| Matrix::new(logits, *rows, *vocab).with_row_stride(*stride);
        let batch = Batch::new(matrix(student)).with_teacher(matrix(teacher)).with_labels(&*labels);
        (batch, gradient.as_mut().map(OwnedElements::logits_mut))
    }
}

impl OwnedElements {
    fn new(dtype: DType, len: usize, value: impl Fn(usize) -> f32 + Sync) -> Result<Self> {
        fn filled<T: Copy + Default + Send>(len: usize, value: impl Fn(usize) -> T + Sync) -> Result<Vec<T>> {
            let mut values = Vec::new();
            let too_large = |_| Failure::new("the logits do not fit in memory: choose fewer --rows");
            values.try_reserve_exact(len).map_err(too_large)?;
            values.resize(len, T::default());
            values.par_iter_mut().enumerate().for_each(|(index, element)| *element = value(index));
            Ok(values)
        }
        Ok(match dtype {
            DType::F16 => Self::F16(filled(len, |index| f16::from_f32(value(index)))?),
            DType::Bf16 => Self::Bf16(filled(len, |index| bf16::from_f32(value(index)))?),
            _ => Self::F32(filled(len, value)?),
        })
    }

    pub(crate) fn logits(&self) -> Elements<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    pub(crate) fn logits_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::F16(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::F16(values) => bytemuck::cast_slice(values),
            Self::Bf16(values) => bytemuck::cast_slice(values),
        }
    }
}

/// A number between −6 and 6, without a pattern that a processor could learn.
fn logit(index: usize, seed: usize) -> f32 {
    let hash = (index ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    hash as f32 / (1 << 24) as f32 * 12.0 - 6.0
}
