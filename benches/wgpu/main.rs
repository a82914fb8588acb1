//! Speed of the WGSL kernels at a language model's sizes, forward and backward.
//!
//! ```text
//! cargo bench --bench wgpu --features wgpu
//! KDLOSS_ADAPTER=nvidia KDLOSS_BENCH_ROWS=1024 cargo bench --bench wgpu --features wgpu
//! ```
//!
//! Four contestants on the same logits: the kernels; `copy`, which moves the bytes that they have to move and computes
//! nothing; `composed`, the same loss as separate passes, the way frameworks do it; and the CPU backend. Criterion
//! measures each by itself; the table at the end has ratios, from rounds in which the four take turns.

mod passes;
mod problem;
mod stopwatch;

use std::time::{Duration, Instant};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use kdloss::DType;
use kdloss::wgpu::{Adapter, Kernels};

use passes::Passes;
use problem::Problem;
use stopwatch::Stopwatch;

const VOCABULARIES: [usize; 4] = [32_000, 50_257, 128_256, 151_936];
const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

/// Rounds of the table.
const ROUNDS: usize = 9;

const CONTESTANTS: [&str; 4] = ["kdloss", "copy", "composed", "cpu"];

/// Everything that is measured on one problem.
struct Contest<'k> {
    problem: Problem<'k>,
    copy: Passes,
    composed: Passes,
    stopwatch: &'k Stopwatch,
}

impl<'k> Contest<'k> {
    fn new(kernels: &'k Kernels, stopwatch: &'k Stopwatch, rows: usize, vocab: usize, dtype: DType) -> Self {
        let problem = Problem::new(kernels, rows, vocab, dtype);
        let (copy, composed) = (Passes::copy(&problem), Passes::composed(&problem));
        Self { problem, copy, composed, stopwatch }
    }

    fn time(&mut self, contestant: &str) -> Duration {
        match contestant {
            "kdloss" => self.stopwatch.time(|encoder| drop(self.problem.encode(encoder))),
            "copy" => self.stopwatch.time(|encoder| self.copy.encode(encoder)),
            "composed" => self.stopwatch.time(|encoder| self.composed.encode(encoder)),
            _ => {
                let start = Instant::now();
                self.problem.on_cpu();
                start.elapsed()
            }
        }
    }

    /// All of them compute the same loss.
    fn check(&mut self, queue: &kdloss::external::wgpu::Queue) {
        let device = self.problem.kernels.device();
        let mut encoder = device.create_command_encoder(&Default::default());
        let pending = self.problem.encode(&mut encoder);
        self.composed.encode(&mut encoder);
        queue.submit([encoder.finish()]);
        let ours = pending.read().expect("a loss").loss;
        let (sender, receiver) = std::sync::mpsc::channel();
        kdloss::external::wgpu::util::DownloadBuffer::read_buffer(
            device,
            queue,
            &self.composed.loss.slice(..),
            move |bytes| {
                let bytes = bytes.expect("the loss can be read");
                sender.send(bytemuck::pod_read_unaligned::<f32>(&bytes)).expect("someone waits for it");
            },
        );
        device.poll(kdloss::external::wgpu::PollType::wait_indefinitely()).expect("the device answers");
        let composed = f64::from(receiver.recv().expect("the loss has been read"));
        let cpu = self.problem.on_cpu().loss;
        for other in [composed, cpu] {
            assert!((ours - other).abs() <= 1e-4 * ours, "kdloss {ours}, composed {composed}, cpu {cpu}");
        }
    }
}

fn main() {
    let adapter = Adapter::choose(std::env::var("KDLOSS_ADAPTER").ok().as_deref()).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let (device, queue) = adapter.open().expect("the adapter opens");
    let kernels = Kernels::new(&device, &queue).expect("the kernels compile");
    let stopwatch = Stopwatch::new(&device, &queue);
    let rows = std::env::var("KDLOSS_BENCH_ROWS").map_or(32, |rows| rows.parse().expect("a number of rows"));
    let info = adapter.info();
    println!("{adapter}, {} {}: by {}, {rows} rows", info.driver, info.driver_info, stopwatch.name());

    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header([
        "dtype",
        "vocabulary",
        "kdloss ms",
        "GB/s (ideal bytes)",
        "kdloss / copy",
        "composed / kdloss",
        "cpu / kdloss",
    ]);
    for dtype in DTYPES {
        for vocab in VOCABULARIES {
            let mut contest = Contest::new(&kernels, &stopwatch, rows, vocab, dtype);
            contest.check(&queue);
            let mut group = criterion.benchmark_group(format!("{dtype} {rows} x {vocab}"));
            group.throughput(Throughput::Bytes(contest.problem.ideal_bytes())).sampling_mode(SamplingMode::Flat);
            for contestant in CONTESTANTS {
                group.bench_function(BenchmarkId::from_parameter(contestant), |bencher| {
                    bencher.iter_custom(|iterations| (0..iterations).map(|_| contest.time(contestant)).sum());
                });
            }
            group.finish();
            table.add_row(row(&mut contest));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\nmedians of {ROUNDS} rounds in turn, and the smallest and largest of each ratio's rounds");
    criterion.final_summary();
}

/// A line of the table: medians and spread over rounds in which the contestants take turns.
fn row(contest: &mut Contest<'_>) -> [String; 7] {
    let rounds: Vec<[f64; 4]> =
        (0..ROUNDS).map(|_| CONTESTANTS.map(|contestant| contest.time(contestant).as_secs_f64())).collect();
    let statistic = |of: &dyn Fn(&[f64; 4]) -> f64, digits: usize| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let [low, median, high] = [0, ROUNDS / 2, ROUNDS - 1].map(|index| values[index]);
        format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
    };
    let bytes = contest.problem.ideal_bytes() as f64;
    [
        contest.problem.storage.dtype.to_string(),
        contest.problem.vocab.to_string(),
        statistic(&|round| round[0] * 1e3, 1),
        statistic(&|round| bytes / round[0] / 1e9, 1),
        statistic(&|round| round[0] / round[1], 2),
        statistic(&|round| round[2] / round[0], 2),
        statistic(&|round| round[3] / round[0], 2),
    ]
}
