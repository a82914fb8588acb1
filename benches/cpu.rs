//! Speed of the CPU path at a language model's size, in bytes of logits read and gradient written per second.
//!
//! ```text
//! cargo bench --bench cpu
//! ```
//!
//! `copy` moves as many bytes as forward and backward must (two matrices read, one written) without computing anything.
//! `benches/peers/pytorch.py` times the same loss in PyTorch.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use kdloss::{Batch, DistillationLoss, Logits, LogitsMut, Matrix, MatrixMut, cpu};
use rayon::prelude::*;

const ROWS: usize = 128;
const VOCAB: usize = 151_936;
const ELEMENTS: usize = ROWS * VOCAB;

/// Numbers between −6 and 6 without a pattern that a processor could learn.
fn logits(seed: usize) -> Vec<f32> {
    let hash = |index: usize| (index ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..ELEMENTS).map(|index| hash(index) as f32 / (1 << 24) as f32 * 12.0 - 6.0).collect()
}

fn bench(criterion: &mut Criterion) {
    let labels: Vec<i64> = (0..ROWS as i64).collect();
    let (student, teacher) = (logits(1), logits(2));
    let mut gradient = vec![0.0f32; ELEMENTS];
    loss(criterion, "f32", &labels, (&student).into(), (&teacher).into(), (&mut gradient).into());
    criterion.benchmark_group("f32").throughput(Throughput::Bytes(12 * ELEMENTS as u64)).bench_function("copy", |b| {
        b.iter(|| {
            let chunks = gradient.par_chunks_mut(VOCAB).zip(student.par_chunks(VOCAB)).zip(teacher.par_chunks(VOCAB));
            chunks.for_each(|((g, s), t)| g.iter_mut().zip(s).zip(t).for_each(|((g, s), t)| *g = s + t));
        });
    });

    let narrow = |row: &[f32]| row.iter().copied().map(bf16::from_f32).collect::<Vec<_>>();
    let (student, teacher, mut gradient) = (narrow(&student), narrow(&teacher), narrow(&gradient));
    loss(criterion, "bf16", &labels, (&student).into(), (&teacher).into(), (&mut gradient).into());
}

fn loss(
    criterion: &mut Criterion,
    name: &str,
    labels: &[i64],
    student: Logits<'_>,
    teacher: Logits<'_>,
    gradient: LogitsMut<'_>,
) {
    let bytes = (student.dtype().size() * ELEMENTS) as u64;
    let mut gradient = MatrixMut::new(gradient, ROWS, VOCAB);
    let student = Matrix::new(student, ROWS, VOCAB);
    let batch = Batch::new(student).with_teacher(Matrix::new(teacher, ROWS, VOCAB)).with_labels(labels);
    let mut group = criterion.benchmark_group(name);
    for temperature in [2.0, 3.0] {
        let loss = DistillationLoss::new().with_temperature(temperature);
        group.throughput(Throughput::Bytes(2 * bytes));
        group.bench_function(BenchmarkId::new("forward", temperature), |b| b.iter(|| cpu::forward(&loss, &batch)));
        group.throughput(Throughput::Bytes(3 * bytes));
        group.bench_function(BenchmarkId::new("forward + backward", temperature), |b| {
            b.iter(|| cpu::forward_backward(&loss, &batch, &mut gradient));
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench
}
criterion_main!(benches);
