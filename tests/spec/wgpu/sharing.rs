//! Several calls at a time: kernels, results, encoders and buffers shared between threads and with each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kdloss::external::wgpu;
use kdloss::wgpu::{Options, Pending};
use kdloss::{DType, DistillationLoss, LossValue};

use super::device::{Buffers, Gpu, implementation, matrix, open, run};
use crate::case::Case;
use crate::contract::check;
use crate::generate::{self, Rows};
use crate::implementations::DTYPES;

fn case(seed: u64, rows: usize, vocab: usize) -> Case {
    let Rows { student, teacher, labels } = generate::rows(seed, rows, vocab, 3.0);
    Case::new(DistillationLoss::new().with_temperature(2.0), &student, &teacher, &labels)
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.kernels.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

fn forward(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, case: &Case) -> Pending {
    gpu.kernels.encode_forward(encoder, &case.loss, &Buffers::new(gpu, case).batch(case)).unwrap()
}

/// The loss of a case, by a call of its own.
fn alone(gpu: &Gpu, case: &Case) -> LossValue {
    let mut encoder = encoder(gpu);
    let pending = forward(gpu, &mut encoder, case);
    gpu.queue.submit([encoder.finish()]);
    pending.read().unwrap()
}

#[test]
fn a_result_is_read_again_and_from_several_threads() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let mut encoder = encoder(&gpu);
    let pending = forward(&gpu, &mut encoder, &case(41, 300, 100));
    gpu.queue.submit([encoder.finish()]);
    let first = pending.read().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| assert_eq!(pending.read().as_ref(), Ok(&first))));
        }
    });
}

#[test]
fn threads_share_the_kernels() {
    let Some(gpu) = open(None, Options::new()).map(Arc::new) else { return };
    thread::scope(|scope| {
        for seed in 0..4 {
            let gpu = &gpu;
            // Each meets kernels that others are compiling.
            scope.spawn(move || {
                for dtype in DTYPES {
                    let gpu = Arc::clone(gpu);
                    let shared = implementation("wgpu on one of several threads", move |case| run(&gpu, case));
                    check(&shared, &case(seed, 5, 1001).stored_as(dtype, DType::F32, dtype));
                }
            });
        }
    });
}

#[test]
fn a_kernel_is_compiled_once() {
    let compiled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&compiled);
    let count = move |_, source| {
        counter.fetch_add(1, Ordering::Relaxed);
        source
    };
    let Some(gpu) = open(None, Options::new().with_source_edit(count)) else { return };
    assert_eq!(compiled.load(Ordering::Relaxed), 2, "those that count and fold");
    for (seed, dtype, want) in [(1, DType::F32, 3), (2, DType::F32, 3), (3, DType::F16, 4), (4, DType::F32, 4)] {
        run(&gpu, &case(seed, 3, 100).stored_as(dtype, DType::F32, DType::F32)).unwrap();
        assert_eq!(compiled.load(Ordering::Relaxed), want);
    }
}

#[test]
fn encoders_may_be_interleaved_and_results_left_unread() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let cases = [case(42, 3, 500), case(43, 70, 20), case(44, 9, 1000)];
    let mut encoders = [encoder(&gpu), encoder(&gpu)];
    let pendings: Vec<_> =
        cases.iter().flat_map(|case| encoders.each_mut().map(|encoder| forward(&gpu, encoder, case))).collect();
    drop(forward(&gpu, &mut encoders[0], &cases[0]));
    gpu.queue.submit(encoders.map(wgpu::CommandEncoder::finish).into_iter().rev());
    for (index, pending) in pendings.iter().enumerate() {
        assert_eq!(pending.read().unwrap(), alone(&gpu, &cases[index / 2]));
    }
}

#[test]
fn a_call_may_use_what_an_earlier_one_of_the_same_encoder_writes() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let mut case = case(45, 40, 1000);
    case.loss = case.loss.with_grad_scale(1e4);
    // The gradient of the first call is the student of the second, which overwrites it with its own.
    let run = |together: bool| {
        let (buffers, gradient) = (Buffers::new(&gpu, &case), gpu.upload(&case.student.buffer, 0));
        let mut second = Buffers::new(&gpu, &case);
        second.student = gradient.clone();
        let mut encoder = encoder(&gpu);
        let target = matrix(&gradient, &case.student);
        gpu.kernels.encode_forward_backward(&mut encoder, &case.loss, &buffers.batch(&case), target).unwrap();
        if !together {
            gpu.queue.submit([encoder.finish()]);
            encoder = self::encoder(&gpu);
        }
        let batch = second.batch(&case);
        let pending = gpu.kernels.encode_forward_backward_in_place(&mut encoder, &case.loss, &batch).unwrap();
        gpu.queue.submit([encoder.finish()]);
        (pending.read().unwrap(), gpu.download_bytes(&gradient))
    };
    assert_eq!(run(true), run(false));
    assert!(run(true).0.loss != alone(&gpu, &case).loss, "the second call has another student");
}
