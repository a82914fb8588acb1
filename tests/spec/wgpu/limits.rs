//! Devices with small limits, tensors with many rows, and matrices that start anywhere: the same bits as ever.

use std::sync::Arc;

use kdloss::external::wgpu;
use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Options};
use kdloss::{DType, DistillationLoss, Error};

use super::device::{Gpu, implementation, label_bytes, matrix, run, run_in_place, scale_bytes};
use crate::case::{Case, LabelVec, Table};
use crate::contract::check;
use crate::generate::{self, Rows};
use crate::implementations::{DTYPES, MARK, Outcome, outcome};

/// A device on the default adapter with changed limits; `None` where there is no adapter, which is an error where CI is set.
fn device(change: impl FnOnce(&mut wgpu::Limits), options: Options) -> Option<Arc<Gpu>> {
    let adapter = Adapter::choose(None);
    assert!(adapter.is_ok() || std::env::var_os("CI").is_none(), "the WGSL kernels must be tested here");
    let adapter = adapter.ok()?;
    let mut limits = adapter.limits();
    change(&mut limits);
    let (device, queue) = adapter.open_with(adapter.features(), limits).unwrap();
    Some(Arc::new(Gpu { kernels: Kernels::with_options(&device, &queue, options).unwrap(), queue }))
}

fn case(seed: u64, rows: usize, vocab: usize) -> Case {
    let Rows { student, teacher, labels } = generate::rows(seed, rows, vocab, 3.0);
    let mut case = Case::new(DistillationLoss::new().with_temperature(2.0), &student, &teacher, &labels);
    case.row_grad_scale = Some((0..rows).map(|row| 1.0 + (row % 64) as f32 / 8.0).collect());
    case
}

/// Holds the outcome on `gpu` to the contract.
fn checked(
    name: &'static str,
    gpu: &Arc<Gpu>,
    case: &Case,
    run: fn(&Gpu, &Case) -> kdloss::Result<Outcome>,
) -> Outcome {
    let gpu = Arc::clone(gpu);
    check(&implementation(name, move |case| run(&gpu, case)), case)
}

#[track_caller]
fn assert_same_bits(left: &Outcome, right: &Outcome) {
    assert_eq!(left.value, right.value);
    let bits = |outcome: &Outcome| outcome.gradient.iter().map(|entry| entry.to_bits()).collect::<Vec<_>>();
    assert!(bits(left) == bits(right), "gradients differ");
}

#[test]
fn tensors_beyond_the_binding_limit_give_the_same_bits_in_chunks() {
    let Some(whole) = device(|_| (), Options::new()) else { return };
    // Rows of 4 KB where 12 KB can be bound: two at a time. Grids of 3 by 3: nine rows at a time, and for the last seven a
    // grid with two workgroups too many. A row of 1001 halves starts anywhere in its window.
    let few_bytes = device(|limits| limits.max_storage_buffer_binding_size = 12_288, Options::new()).unwrap();
    let few_groups = device(|limits| limits.max_compute_workgroups_per_dimension = 3, Options::new()).unwrap();
    for vocab in [1000, 1001] {
        for dtype in DTYPES {
            let case = case(21, 43, vocab).stored_as(dtype, DType::F32, dtype);
            let expected = [run(&whole, &case).unwrap(), run_in_place(&whole, &case).unwrap()];
            for gpu in [&few_bytes, &few_groups] {
                assert_same_bits(&checked("wgpu in chunks", gpu, &case, run), &expected[0]);
                assert_same_bits(&checked("wgpu in place, in chunks", gpu, &case, run_in_place), &expected[1]);
            }
        }
    }
}

#[test]
fn a_row_that_no_binding_holds_and_more_rows_than_records_are_refused() {
    let Some(gpu) = device(|limits| limits.max_storage_buffer_binding_size = 12_288, Options::new()) else { return };
    let error = run(&gpu, &case(22, 2, 4000)).unwrap_err();
    assert!(matches!(error, Error::RowTooWide { matrix: "student", bytes: 16_000, .. }), "{error}");
    let error = run(&gpu, &case(22, 800, 2)).unwrap_err();
    assert_eq!(error, Error::TooManyRows { rows: 800, limit: 767 });
}

#[test]
fn more_rows_than_a_grid_has_columns() {
    let Some(gpu) = device(|_| (), Options::new()) else { return };
    let case = case(23, 70_001, 3);
    checked("wgpu", &gpu, &case, run);
}

#[test]
fn the_least_limits_of_webgpu_are_enough() {
    let Some(gpu) = device(|limits| *limits = wgpu::Limits::defaults(), Options::new().with_workgroup_size(256)) else {
        return;
    };
    let limits = gpu.kernels.device().limits();
    assert_eq!(
        (limits.max_compute_invocations_per_workgroup, limits.max_compute_workgroup_storage_size),
        (256, 16_384)
    );
    checked("wgpu with the least limits", &gpu, &case(24, 5, 5000), run);
    let device = gpu.kernels.device();
    let error = Kernels::with_options(device, &gpu.queue, Options::new().with_workgroup_size(512)).unwrap_err();
    assert_eq!(error, Error::WorkgroupSize { size: 512, largest: 256 });
    let error = Kernels::with_options(device, &gpu.queue, Options::new().with_workgroup_size(48)).unwrap_err();
    assert_eq!(error, Error::WorkgroupSize { size: 48, largest: 256 });
}

#[test]
fn every_workgroup_size_with_and_without_subgroups() {
    for size in [1, 2, 4, 8, 16, 64, 256, 512, 1024] {
        for options in [Options::new(), Options::new().without_subgroups()] {
            let Some(gpu) = device(|_| (), options.with_workgroup_size(size)) else { return };
            // Fewer groups of four elements than lanes, and many more.
            for vocab in [3, 9001] {
                checked("wgpu at another workgroup size", &gpu, &case(25, 3, vocab), run);
            }
        }
    }
}

#[test]
fn slowly_rising_logits_do_not_wear_out_the_sums() {
    // Each group's maximum is a little above the last one's: online softmax would rescale at every step.
    let rows = |step: f32| vec![(0..262_144).map(|column| column as f32 * step).collect::<Vec<f32>>()];
    for options in [Options::new(), Options::new().with_workgroup_size(64).without_subgroups()] {
        let Some(gpu) = device(|_| (), options) else { return };
        for (student, teacher) in [(1e-4, 1e-4), (1e-5, 3e-5), (1e-2, 1e-3)] {
            for temperature in [0.5, 1.0, 3.0] {
                let loss = DistillationLoss::new().with_temperature(temperature);
                checked("wgpu", &gpu, &Case::new(loss, &rows(student), &rows(teacher), &[262_000]), run);
            }
        }
    }
}

/// A case whose every part starts somewhere within its buffer.
fn run_at_offsets(gpu: &Gpu, case: &Case, offsets: [usize; 5]) -> kdloss::Result<Outcome> {
    let [student, teacher, labels, scale, gradient] = offsets;
    let mut target = Table::filled(case.student.rows, case.gradient, MARK);
    let teacher_table = case.teacher.as_ref().unwrap();
    let moved = |bytes: Vec<u8>, offset: usize| gpu.upload_bytes(&[vec![0xa5; offset], bytes].concat());
    let buffers = [
        gpu.upload(&case.student.buffer, student),
        gpu.upload(&teacher_table.buffer, teacher),
        moved(label_bytes(case.labels.as_ref().unwrap()), labels),
        moved(scale_bytes(case.row_grad_scale.as_ref().unwrap()), scale),
        gpu.upload(&target.buffer, gradient),
    ];
    let all_labels = match case.labels {
        Some(LabelVec::I32(_)) => Labels::i32(&buffers[2]),
        _ => Labels::i64(&buffers[2]),
    };
    let batch = Batch::new(matrix(&buffers[0], &case.student).with_offset(student as u64))
        .with_teacher(matrix(&buffers[1], teacher_table).with_offset(teacher as u64))
        .with_labels(all_labels.with_offset(labels as u64))
        .with_row_grad_scale(&buffers[3], scale as u64);
    let (pending, encoder) = gpu.encode(|encoder| {
        let gradient = matrix(&buffers[4], &target).with_offset(gradient as u64);
        gpu.kernels.encode_forward_backward(encoder, &case.loss, &batch, gradient)
    })?;
    gpu.queue.submit([encoder.finish()]);
    let value = pending.read()?;
    target.buffer = gpu.download(&buffers[4], gradient, &target.buffer);
    Ok(outcome(case, value, target))
}

#[test]
fn every_part_may_start_anywhere_in_its_buffer() {
    let Some(gpu) = device(|_| (), Options::new()) else { return };
    // Elements and words apart, whole vectors apart, and beyond the alignment of bindings.
    for (dtype, offsets) in [
        (DType::F32, [4, 12, 4, 4, 36]),
        (DType::F32, [16, 48, 8, 16, 32]),
        (DType::F32, [260, 256, 12, 300, 272]),
        (DType::F16, [2, 6, 4, 8, 4]),
        (DType::Bf16, [8, 34, 20, 12, 520]),
    ] {
        for vocab in [1000, 1002] {
            let case = case(26, 5, vocab).stored_as(dtype, dtype, dtype);
            let name = "wgpu at offsets";
            let moved = Arc::clone(&gpu);
            let got = check(&implementation(name, move |case| run_at_offsets(&moved, case, offsets)), &case);
            assert_same_bits(&got, &run(&gpu, &case).unwrap());
        }
    }
}
