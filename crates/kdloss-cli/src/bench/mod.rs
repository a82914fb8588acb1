//! `kdloss bench`: how fast this machine computes the loss, against the least that its memory takes.

mod plot;
mod report;

use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};
use kdloss::DType;

use crate::args::BenchArgs;
use crate::backend::{Pick, Problem};
use crate::failure::{Failure, Result};
use crate::plot::Picture;
use report::{Line, Round};

/// Rounds before those that count: caches, clocks and page tables settle.
const WARM_UP: usize = 2;

pub(crate) fn run(args: &BenchArgs, out: &mut dyn Write) -> Result<()> {
    let picture = args.plot.as_deref().map(|path| Picture::create(path, &[])).transpose()?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(args.threads.unwrap_or(0))
        .build()
        .map_err(|error| Failure::new(format!("--threads: {error}")))?;
    let pick = Pick::new(args.backend, args.adapter.as_deref())?;
    let device = pool.install(|| Ok::<_, Failure>(pick.open()?.device()))?;
    let progress = progress(args);
    let mut lines = Vec::new();
    for dtype in args.dtypes() {
        for &vocab in &args.vocab {
            progress.set_message(format!("{dtype} {} x {vocab}", args.rows));
            let line = pool.install(|| line(args, &pick, dtype, vocab, &progress))?;
            if args.json {
                writeln!(out, "{}", line.as_json())?;
                out.flush()?;
            }
            lines.push(line);
        }
    }
    progress.finish_and_clear();
    if !args.json {
        report::write_table(&lines, args, &device, out)?;
    }
    if let Some(picture) = picture {
        plot::draw(picture, &lines, args, &device)?;
    }
    Ok(())
}

/// Measures one vocabulary in one storage type: rounds in which the floor and the loss take turns, each loss between two
/// floors.
fn line(args: &BenchArgs, pick: &Pick, dtype: DType, vocab: usize, progress: &ProgressBar) -> Result<Line> {
    let mut contest = pick.contest(Problem::new(args, dtype, vocab, pick.row_multiple())?)?;
    let mut rounds = Vec::with_capacity(args.rounds);
    let mut before = contest.floor()?;
    for round in 0..WARM_UP + args.rounds {
        let loss = contest.loss()?;
        let after = contest.floor()?;
        if round >= WARM_UP {
            rounds.push(Round { loss, floor: (before + after) / 2.0 });
            progress.inc(1);
        }
        before = after;
    }
    Ok(Line { backend: pick.name(), dtype, rows: args.rows, vocab, rounds, extra_bytes: contest.extra_bytes() })
}

fn progress(args: &BenchArgs) -> ProgressBar {
    if args.json {
        return ProgressBar::hidden();
    }
    let length = args.dtypes().len() * args.vocab.len() * args.rounds;
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
