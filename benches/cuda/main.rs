//! Speed of the CUDA kernels at a language model's sizes, forward and backward.
//!
//! ```text
//! cargo bench --bench cuda --features cuda
//! KDLOSS_BENCH_ROWS=1024 KDLOSS_BENCH_VOCABULARIES=32000,151936 cargo bench --bench cuda --features cuda
//! ```
//!
//! Three contestants on the same logits, taking turns: the kernels; `copy`, which moves the bytes that they have to move and
//! computes nothing; and `composed`, the same loss as separate kernels, the way frameworks do it. Times are those of CUDA
//! events around each run. Over a driver that executes PTX on the CPU (`cargo xtask test` runs it so, at small sizes) they
//! are no timings, and it says so.

mod composed;
mod problem;

use std::sync::Arc;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use kdloss::DType;
use kdloss::cuda::{Kernels, Workspace, context, devices, driver_version};
use kdloss::external::cudarc::driver::CudaStream;
use kdloss::external::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;

use composed::{Composed, Copy, Module};
use problem::{Problem, Result};

const VOCABULARIES: &str = "32000,128256,151936";
const DTYPES: [DType; 2] = [DType::F32, DType::Bf16];

/// Turns before those that count, and turns that count.
const WARM_UP: usize = 3;
const ROUNDS: usize = 21;

/// Milliseconds of one round: kdloss, copy, composed.
type Round = [f64; 3];

/// Everything that is measured on one problem.
struct Contest<'k> {
    kernels: &'k Kernels,
    problem: Problem,
    workspace: Workspace,
    copy: Copy,
    composed: Composed,
    turn: usize,
}

impl<'k> Contest<'k> {
    fn new(kernels: &'k Kernels, stream: &Arc<CudaStream>, rows: usize, vocab: usize, dtype: DType) -> Result<Self> {
        let problem = Problem::new(stream, rows, vocab, dtype)?;
        let module = Module::new(kernels, dtype)?;
        let (copy, composed) = (Copy::new(&module)?, Composed::new(&module, &problem)?);
        let workspace = Workspace::with_rows(stream, rows)?;
        Ok(Self { kernels, problem, workspace, copy, composed, turn: 0 })
    }

    /// Both compute the same loss.
    fn check(&mut self) -> Result<()> {
        self.problem.launch(self.kernels, &mut self.workspace, 0)?;
        self.composed.launch(&mut self.problem, 0)?;
        let ours = self.workspace.read()?.loss;
        let composed = f64::from(self.problem.stream.clone_dtoh(&self.composed.loss)?[0]);
        if (ours - composed).abs() <= 1e-4 * ours { Ok(()) } else { Err(format!("{ours} is not {composed}").into()) }
    }

    /// One run of each, each on a set that the cache does not hold.
    fn round(&mut self) -> Result<Round> {
        let mut round = [0.0; 3];
        for (contestant, milliseconds) in round.iter_mut().enumerate() {
            self.turn = (self.turn + 1) % self.problem.sets.len();
            let stream = Arc::clone(&self.problem.stream);
            let start = stream.record_event(Some(CU_EVENT_DEFAULT))?;
            match contestant {
                0 => self.problem.launch(self.kernels, &mut self.workspace, self.turn)?,
                1 => self.copy.launch(&mut self.problem, self.turn)?,
                _ => self.composed.launch(&mut self.problem, self.turn)?,
            }
            let end = stream.record_event(Some(CU_EVENT_DEFAULT))?;
            *milliseconds = f64::from(start.elapsed_ms(&end)?);
        }
        Ok(round)
    }

    /// A line of the table.
    fn row(&self, rounds: &[Round]) -> [String; 8] {
        let statistic = |of: &dyn Fn(&Round) -> f64, digits: usize| {
            let mut values: Vec<f64> = rounds.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let [low, median, high] = [0, values.len() / 2, values.len() - 1].map(|index| values[index]);
            format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
        };
        let bytes = self.problem.ideal_bytes() as f64;
        let megabytes = |bytes: usize| format!("{:.1}", bytes as f64 / 1e6);
        [
            self.problem.dtype.to_string(),
            self.problem.vocab.to_string(),
            statistic(&|round| round[0], 3),
            statistic(&|round| bytes / round[0] / 1e6, 0),
            statistic(&|round| 100.0 * round[1] / round[0], 0),
            statistic(&|round| round[2] / round[0], 2),
            megabytes(self.workspace.bytes()),
            megabytes(self.composed.extra_bytes()),
        ]
    }
}

fn main() -> Result<()> {
    // `cargo bench` passes this argument, `cargo test --bench cuda` does not: then all of it runs, on something small.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let device = devices()?.swap_remove(0);
    let context = context(device.ordinal)?;
    let (kernels, stream) = (Kernels::new(&context)?, context.default_stream());
    let (rows, vocabularies) = if is_test { ("2", "1000,20000") } else { ("8192", VOCABULARIES) };
    let (warm_up, rounds) = if is_test { (1, 3) } else { (WARM_UP, ROUNDS) };
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let rows: usize = setting("KDLOSS_BENCH_ROWS", rows).parse()?;
    let vocabularies = setting("KDLOSS_BENCH_VOCABULARIES", vocabularies);
    let vocabularies = vocabularies.split(',').map(str::parse).collect::<std::result::Result<Vec<usize>, _>>()?;
    if let Some(odd) = vocabularies.iter().find(|&vocab| vocab % 4 != 0 || *vocab == 0) {
        return Err(format!("vocabulary {odd}: the kernels to compare with take multiples of 4").into());
    }
    println!("{}, driver for CUDA {}: {rows} rows, by CUDA events", device.name, driver_version()?);

    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new((DTYPES.len() * vocabularies.len() * rounds) as u64).with_style(style);
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header([
        "dtype",
        "vocabulary",
        "kdloss ms",
        "GB/s (ideal bytes)",
        "% of copy bandwidth",
        "composed / kdloss",
        "extra MB",
        "composed's extra MB",
    ]);
    for dtype in DTYPES {
        for &vocab in &vocabularies {
            progress.set_message(format!("{dtype} {rows} x {vocab}"));
            let mut contest = Contest::new(&kernels, &stream, rows, vocab, dtype)?;
            contest.check()?;
            for _ in 0..warm_up {
                contest.round()?;
            }
            let mut measured = Vec::new();
            for _ in 0..rounds {
                measured.push(contest.round()?);
                progress.inc(1);
            }
            table.add_row(contest.row(&measured));
        }
    }
    progress.finish_and_clear();
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\nmedians of rounds in turn, and the smallest and largest");
    if device.name.contains("Mock") {
        println!("THESE ARE NO TIMINGS: the driver is a mock that executes PTX on the CPU");
    }
    Ok(())
}
