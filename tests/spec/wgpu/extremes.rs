//! Shapes, offsets and limits at the far ends of their types: refused, or computed, but no panic (tests are built with
//! overflow checks) and no validation error of wgpu, which would be one.

use kdloss::external::wgpu;
use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Matrix, Options};
use kdloss::{DType, DistillationLoss, Error, Result, cpu};

use super::device::{Gpu, open};

const SIZES: [usize; 11] =
    [0, 1, 3, 4, 1 << 30, 1 << 31, (1 << 32) - 1, (1 << 32) + 3, 1 << 62, usize::MAX - 3, usize::MAX];
const OFFSETS: [u64; 6] = [0, 4, 16, 24, 1 << 32, u64::MAX - 3];

/// Buffers of 24 bytes for a student, a teacher, a gradient, and labels.
fn buffers(gpu: &Gpu) -> [wgpu::Buffer; 4] {
    [(); 4].map(|()| gpu.upload_bytes(&[0; 24]))
}

/// The loss of a batch of zeros.
fn loss_of_zeros(gpu: &Gpu, batch: &Batch<'_>, gradient: Matrix<'_>) -> Result<f64> {
    let loss = DistillationLoss::new().with_alpha(0.0);
    let (pending, encoder) =
        gpu.encode(|encoder| gpu.kernels.encode_forward_backward(encoder, &loss, batch, gradient))?;
    gpu.queue.submit([encoder.finish()]);
    Ok(pending.read()?.loss)
}

#[test]
fn any_shape_at_any_offset_is_refused_or_computed() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let [student, teacher, gradient, labels] = buffers(&gpu);
    let mut computed = 0;
    for rows in [0, 1, 2, usize::MAX] {
        for (cols, row_stride) in SIZES.into_iter().flat_map(|cols| SIZES.map(|row_stride| (cols, row_stride))) {
            for (vocab, offset) in [1, cols].into_iter().flat_map(|vocab| OFFSETS.map(|offset| (vocab, offset))) {
                let dtype = [DType::F32, DType::Bf16][cols % 2];
                let strange =
                    |buffer| Matrix::new(buffer, dtype, rows, cols).with_row_stride(row_stride).with_offset(offset);
                let usual = |buffer| Matrix::new(buffer, DType::F32, rows, if rows == 0 { cols } else { 3 });
                for (student, teacher, gradient) in [
                    (strange(&student), usual(&teacher), usual(&gradient)),
                    (usual(&student), strange(&teacher), usual(&gradient)),
                    (usual(&student), usual(&teacher), strange(&gradient)),
                ] {
                    let batch = Batch::new(student).with_teacher(teacher).with_vocab(vocab);
                    let labels = Labels::i64(&labels).with_offset(if rows == 0 { offset } else { 0 });
                    if let Ok(loss) = loss_of_zeros(&gpu, &batch.with_labels(labels), gradient) {
                        assert_eq!(loss, 0.0);
                        computed += 1;
                    }
                }
            }
        }
    }
    assert!(computed > 1000, "only {computed} shapes were computed");
}

#[test]
fn host_slices_without_rows_may_have_any_vocabulary() {
    let Some(gpu) = open(None, Options::new()) else { return };
    for vocab in SIZES {
        let matrix = kdloss::Matrix::new(&[0.0f32; 0], 0, vocab);
        let batch = kdloss::Batch::new(matrix).with_teacher(matrix).with_labels(&[0i64; 0]);
        let loss = DistillationLoss::new();
        assert_eq!(gpu.kernels.evaluate(&loss, &batch, None), cpu::forward(&loss, &batch), "vocabulary {vocab}");
    }
}

#[test]
fn a_device_that_can_bind_next_to_nothing_refuses() {
    let Ok(adapter) = Adapter::choose(None) else { return };
    for size in [0, 8, 16, 32] {
        let limits = wgpu::Limits { max_storage_buffer_binding_size: size, ..adapter.limits() };
        let (device, queue) = adapter.open_with(adapter.features(), limits).unwrap();
        let gpu = Gpu { kernels: Kernels::new(&device, &queue).unwrap(), queue };
        let [student, teacher, gradient, _] = buffers(&gpu);
        let matrix = |buffer| Matrix::new(buffer, DType::F32, 1, 3);
        let batch = Batch::new(matrix(&student)).with_teacher(matrix(&teacher));
        let error = loss_of_zeros(&gpu, &batch, matrix(&gradient)).unwrap_err();
        assert!(matches!(error, Error::TooManyRows { limit: 0, .. } | Error::RowTooWide { limit: 0, .. }), "{error}");
    }
}
