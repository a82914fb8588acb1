//! Speed of the CPU path at language models' sizes, with every set of vector instructions that the processor has, on one thread
//! and on two.
//!
//! ```text
//! cargo bench --bench cpu                 # criterion's samples, then the table of ratios
//! cargo bench --bench cpu -- ratios       # the table alone
//! ```
//!
//! Throughput counts the bytes that must be moved: two matrices read and, with the gradient, one written. `floor` moves them past
//! the caches, `copy` through them; neither computes anything. Samples taken minutes apart say little on a machine that others
//! use too. So the table at the end takes turns: each run stands between two runs of the floor (`kdloss::cpu::bracket`).
//! `benches/peers/pytorch.py` times the same loss in PyTorch.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use criterion::{BenchmarkId, Criterion, Throughput};
use half::bf16;
use kdloss::cpu::bracket::{Spread, bracketed, spread};
use kdloss::cpu::{Instructions, Options, floor};
use kdloss::{Batch, DType, DistillationLoss, Elements, ElementsMut, Matrix, MatrixMut};
use rayon::prelude::*;

const SHAPES: [(usize, usize); 2] = [(128, 151_936), (256, 32_000)];
/// For the table: a row alone, and rows of other widths.
const MORE_SHAPES: [(usize, usize); 3] = [(1, 151_936), (64, 262_144), (64, 151_936)];
/// For the table: rows of other kinds, and narrow ones.
const OTHER_KINDS: [(Kind, usize, usize); 5] = [
    (Kind::NearlyEqual, 128, 49_152),
    (Kind::HeavyTailed, 128, 49_152),
    (Kind::Independent, 100_000, 4),
    (Kind::Independent, 50_000, 19),
    (Kind::Independent, 10_000, 100),
];
const TEMPERATURES: [f64; 2] = [2.0, 3.0];
const THREADS: [usize; 2] = [1, 2];
const ROUNDS: usize = 12;

/// A buffer of either type.
enum Buffer {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Buffer {
    /// Numbers between −6 and 6 without a pattern that a processor could learn.
    fn logits(dtype: DType, elements: usize, seed: usize) -> Self {
        let hash = |index: usize| (index ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let numbers = (0..elements).map(|index| hash(index) as f32 / (1 << 24) as f32 * 12.0 - 6.0);
        match dtype {
            DType::F32 => Self::F32(numbers.collect()),
            _ => Self::Bf16(numbers.map(bf16::from_f32).collect()),
        }
    }

    fn get(&self) -> Elements<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    fn get_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }
}

/// What the rows of a problem are like. How a tile is taken depends on that.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Student and teacher know nothing of each other.
    Independent,
    /// Heavy tails, with a standard deviation of 7, and a student that differs from the teacher by 0.3: where training ends.
    NearlyEqual,
    /// The same tails, and a student that differs by as much.
    HeavyTailed,
}

impl Kind {
    /// The student's logits and the teacher's.
    fn logits(self, dtype: DType, elements: usize) -> [Buffer; 2] {
        if self == Self::Independent {
            return [1, 2].map(|seed| Buffer::logits(dtype, elements, seed));
        }
        let mut random = fastrand::Rng::with_seed(1);
        // A sum of three uniform numbers, with standard deviation 1; its cube, spread as wide, has heavy tails.
        let mut bell = || 2.0 * (random.f32() + random.f32() + random.f32() - 1.5);
        let mut heavy = || 7.0 * bell().powi(3) / 3.1;
        let teacher: Vec<f32> = (0..elements).map(|_| heavy()).collect();
        let noise: Vec<f32> = (0..elements).map(|_| heavy()).collect();
        let share = if self == Self::NearlyEqual { 0.3 / 7.0 } else { 1.0 };
        let student = teacher.iter().zip(&noise).map(|(teacher, noise)| teacher + share * noise).collect();
        [student, teacher].map(|logits: Vec<f32>| match dtype {
            DType::F32 => Buffer::F32(logits),
            _ => Buffer::Bf16(logits.into_iter().map(bf16::from_f32).collect()),
        })
    }
}

/// One problem, and what can be done with it.
struct Problem {
    kind: Kind,
    rows: usize,
    vocab: usize,
    dtype: DType,
    student: Buffer,
    teacher: Buffer,
    gradient: Buffer,
    labels: Vec<i64>,
}

impl Problem {
    fn new(kind: Kind, rows: usize, vocab: usize, dtype: DType) -> Self {
        let [student, teacher] = kind.logits(dtype, rows * vocab);
        let gradient = Buffer::logits(dtype, rows * vocab, 3);
        let labels = (0..rows as i64).map(|row| row % vocab as i64).collect();
        Self { kind, rows, vocab, dtype, student, teacher, gradient, labels }
    }

    fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Independent => "",
            Kind::NearlyEqual => ", nearly equal",
            Kind::HeavyTailed => ", heavy-tailed",
        };
        format!("{} {} x {}{kind}", self.dtype, self.rows, self.vocab)
    }

    fn bytes(&self, matrices: usize) -> Throughput {
        Throughput::Bytes((matrices * self.rows * self.vocab * self.dtype.size()) as u64)
    }

    fn floor(&mut self, instructions: Instructions, backward: bool) {
        let (student, teacher) = (self.student.get(), self.teacher.get());
        if backward {
            floor::read_and_write(instructions, student, teacher, self.gradient.get_mut()).expect("available");
        } else {
            std::hint::black_box(floor::read(instructions, student, teacher).expect("available"));
        }
    }

    fn copy(&mut self) {
        fn sum<T: Copy + Send + Sync>(to: &mut [T], a: &[T], b: &[T], add: impl Fn(T, T) -> T + Sync) {
            const CHUNK: usize = 1 << 16;
            let chunks = to.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK));
            chunks.for_each(|((to, a), b)| to.iter_mut().zip(a).zip(b).for_each(|((to, a), b)| *to = add(*a, *b)));
        }
        match (&mut self.gradient, &self.student, &self.teacher) {
            (Buffer::F32(to), Buffer::F32(a), Buffer::F32(b)) => sum(to, a, b, |a, b| a + b),
            (Buffer::Bf16(to), Buffer::Bf16(a), Buffer::Bf16(b)) => {
                sum(to, a, b, |a, b| bf16::from_bits(a.to_bits() ^ b.to_bits()));
            }
            _ => unreachable!("the three have one type"),
        }
    }

    fn loss(&mut self, instructions: Instructions, temperature: f64, backward: bool) {
        let loss = DistillationLoss::new().with_temperature(temperature);
        let options = Options::new().with_instructions(instructions);
        let (rows, vocab) = (self.rows, self.vocab);
        let batch = Batch::new(Matrix::new(self.student.get(), rows, vocab))
            .with_teacher(Matrix::new(self.teacher.get(), rows, vocab))
            .with_labels(&self.labels);
        let value = if backward {
            options.forward_backward(&loss, &batch, &mut MatrixMut::new(self.gradient.get_mut(), rows, vocab))
        } else {
            options.forward(&loss, &batch)
        };
        std::hint::black_box(value.expect("a loss"));
    }
}

/// The sets that this processor has, the fastest first.
fn available() -> Vec<Instructions> {
    Instructions::ALL.into_iter().filter(|set| set.is_available()).collect()
}

fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(run)
}

/// Criterion's samples of one problem.
fn sample(criterion: &mut Criterion, problem: &mut Problem) {
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("{}, threads: {threads}", problem.name()));
        for (pass, backward) in [("forward", false), ("forward + backward", true)] {
            group.throughput(problem.bytes(if backward { 3 } else { 2 }));
            let best = available()[0];
            group.bench_function(BenchmarkId::new("floor", pass), |b| {
                on_threads(threads, || b.iter(|| problem.floor(best, backward)));
            });
            for temperature in TEMPERATURES {
                for set in available() {
                    group.bench_function(BenchmarkId::new(format!("{pass}, {set}"), temperature), |b| {
                        on_threads(threads, || b.iter(|| problem.loss(set, temperature, backward)));
                    });
                }
            }
        }
        group.bench_function("copy", |b| on_threads(threads, || b.iter(|| problem.copy())));
    }
}

/// The ratios of one problem to the floor, on some threads, as lines of the table.
fn ratios(table: &mut Table, problem: &mut Problem, threads: usize) {
    let name = problem.name();
    let problem = std::sync::Mutex::new(problem);
    let locked = || problem.lock().expect("no panic before");
    for (pass, backward) in [("forward", false), ("forward + backward", true)] {
        for set in available() {
            let [mut first, mut second] =
                TEMPERATURES.map(|temperature| move || locked().loss(set, temperature, backward));
            let mut floor = || locked().floor(set, backward);
            let (floors, results) =
                on_threads(threads, || bracketed(ROUNDS, &mut floor, &mut [&mut first, &mut second]));
            let milliseconds = |Spread { low, median, high }: Spread| {
                format!("{:.2} ({:.2}-{:.2})", median * 1e3, low * 1e3, high * 1e3)
            };
            let floor = milliseconds(spread(floors.iter().map(|time| time.as_secs_f64())));
            for (temperature, result) in TEMPERATURES.iter().zip(results) {
                let time = milliseconds(spread(result.times.iter().map(|time| time.as_secs_f64())));
                let Spread { low, median, high } = spread(result.ratios);
                table.add_row([
                    name.clone(),
                    threads.to_string(),
                    pass.to_owned(),
                    set.to_string(),
                    temperature.to_string(),
                    floor.clone(),
                    time,
                    format!("{median:.2} ({low:.2}-{high:.2})"),
                ]);
            }
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let asked_for = |what: &str| std::env::args().any(|argument| argument == what);
    let (only_ratios, only_test) = (asked_for("ratios"), asked_for("--test"));
    for instructions in Instructions::ALL.into_iter().filter(|set| !set.is_available()) {
        println!("skipped: {instructions}, which this processor lacks");
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header([
        "problem",
        "threads",
        "pass",
        "instructions",
        "T",
        "floor, ms",
        "time, ms",
        "time / floor",
    ]);
    let shapes = SHAPES.into_iter().chain(MORE_SHAPES).map(|(rows, vocab)| (Kind::Independent, rows, vocab));
    for (index, (kind, rows, vocab)) in shapes.chain(OTHER_KINDS).enumerate() {
        for dtype in [DType::F32, DType::Bf16] {
            let mut problem = Problem::new(kind, rows, vocab, dtype);
            if index < SHAPES.len() && !only_ratios {
                sample(&mut criterion, &mut problem);
            }
            if !only_test {
                THREADS.iter().for_each(|&threads| ratios(&mut table, &mut problem, threads));
            }
        }
    }
    criterion.final_summary();
    if only_test {
        return;
    }
    println!("medians and quartiles of {ROUNDS} runs, each between two of the floor\n{table}");
}
