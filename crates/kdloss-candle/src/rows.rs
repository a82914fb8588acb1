//! A tensor's memory as a matrix: its leading dimensions are the rows, wherever candle's strides put them.

use candle_core::{CpuStorage, Error, Layout, Result};

use kdloss::{Elements, Matrix};

/// The distance between consecutive rows, if there is one: if columns are neighbours, every leading dimension carries on
/// where the one after it ends, and rows do not overlap.
pub(super) fn stride(layout: &Layout) -> Option<usize> {
    let (&cols, leading) = layout.dims().split_last()?;
    let (&col_stride, strides) = layout.stride().split_last()?;
    if cols > 1 && col_stride != 1 {
        return None;
    }
    // The stride of a dimension of size 1 is never used, and may be anything.
    let mut dimensions = leading.iter().copied().zip(strides.iter().copied()).rev().filter(|&(size, _)| size != 1);
    let Some((rows, row_stride)) = dimensions.next() else {
        return Some(cols);
    };
    let mut end = rows * row_stride;
    for (size, stride) in dimensions {
        if stride != end {
            return None;
        }
        end *= size;
    }
    (row_stride >= cols).then_some(row_stride)
}

/// The rows of a tensor whose layout has a [`stride`].
pub(super) fn matrix<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Matrix<'a>> {
    let contiguous = || Error::RequiresContiguous { op: "distillation_loss" }.bt();
    let row_stride = stride(layout).ok_or_else(contiguous)?;
    let cols = layout.dims().last().copied().unwrap_or(0);
    let rows = layout.dims().iter().rev().skip(1).product();
    Ok(Matrix::new(elements(storage, layout.start_offset())?, rows, cols).with_row_stride(row_stride))
}

/// The elements from `start` on. An empty tensor may start behind the end of its storage.
fn elements(storage: &CpuStorage, start: usize) -> Result<Elements<'_>> {
    match storage {
        CpuStorage::F32(elements) => Ok(elements.get(start..).unwrap_or_default().into()),
        CpuStorage::F16(elements) => Ok(elements.get(start..).unwrap_or_default().into()),
        CpuStorage::BF16(elements) => Ok(elements.get(start..).unwrap_or_default().into()),
        _ => Err(Error::Msg("logits are f32, f16 or bf16".into()).bt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    fn stride_of(tensor: candle_core::Result<Tensor>) -> Option<usize> {
        stride(tensor.unwrap().layout())
    }

    #[test]
    fn evenly_spaced_rows_need_no_copy() {
        assert_eq!(stride_of(Ok(zeros(&[3, 8]))), Some(8));
        assert_eq!(stride_of(zeros(&[3, 8]).narrow(1, 2, 5)), Some(8));
        assert_eq!(stride_of(zeros(&[3, 8]).narrow(0, 1, 2)), Some(8));
        assert_eq!(stride_of(zeros(&[2, 3, 8]).narrow(2, 0, 7)), Some(8));
        assert_eq!(stride_of(zeros(&[2, 3, 8]).narrow(1, 1, 1)), Some(24));
        assert_eq!(stride_of(Ok(zeros(&[8]))), Some(8));
        assert_eq!(stride_of(zeros(&[8, 1]).t()), Some(8));
    }

    #[test]
    fn other_layouts_do() {
        assert_eq!(stride_of(zeros(&[8, 3]).t()), None);
        assert_eq!(stride_of(zeros(&[3, 8, 2]).narrow(2, 0, 1).unwrap().squeeze(2)), None);
        assert_eq!(stride_of(zeros(&[1, 8]).broadcast_as((3, 8))), None);
        assert_eq!(stride_of(zeros(&[3, 1]).broadcast_as((3, 8))), None);
        assert_eq!(stride_of(zeros(&[2, 3, 8]).narrow(1, 0, 2)), None);
        assert_eq!(stride_of(zeros(&[2, 3, 8]).transpose(0, 1)), None);
    }
}
