//! What a user would run instead of kdloss, measured beside it: the loss and its gradient composed of candle's operations, of
//! burn's (on its Flex backend), and of PyTorch's, eager and compiled. All take turns on the same shapes.
//!
//! ```text
//! python3 -m venv target/peers && target/peers/bin/pip install torch==2.15.0 numpy
//! export THP_MEM_ALLOC_ENABLE=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184
//! cargo run --release -p kdloss-peers -- measure --python target/peers/bin/python   # writes benches/record/DATE.csv
//! cargo run --release -p kdloss-peers -- plot benches/record/DATE.csv docs/peers.png
//! cargo run --release -p kdloss-peers -- vectors   # the CPU path's vectors, and those of three crates
//! ```
//!
//! The variables let the allocator keep large temporaries: without them most of what peers take is page faults. Not part of
//! the tests: it compiles two frameworks.

mod burn;
mod candle;
mod ours;
mod plot;
mod python;
mod record;
mod shape;
mod vectors;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use record::Sample;
use shape::{Contestant, SHAPES, Shape};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures kdloss and its peers in turn.
#[derive(Debug, Parser)]
#[command(name = "kdloss-peers")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measures all, prints a table and writes a record.
    Measure {
        /// A Python with PyTorch; without it PyTorch is left out.
        #[arg(long)]
        python: Option<PathBuf>,
        /// Rounds that count, after one that does not.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Where the record goes [default: benches/record/DATE.csv]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Draws a record.
    Plot {
        /// The record.
        record: PathBuf,
        /// The picture, a PNG.
        picture: PathBuf,
    },
    /// Times the loop over exponentials with kdloss's vectors and with other crates'.
    Vectors,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Measure { python, rounds, out } => measure(python, rounds, out),
        Task::Plot { record, picture } => plot::draw(&record::read(&record)?, &picture),
        Task::Vectors => vectors::compare(),
    }
}

fn measure(python: Option<PathBuf>, rounds: usize, out: Option<PathBuf>) -> Result<()> {
    let mut python = python.map(|path| python::Python::start(&path)).transpose()?;
    let mut samples = Vec::new();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left")?;
    let progress = ProgressBar::new((SHAPES.len() * (rounds + 1)) as u64).with_style(style);
    for shape in SHAPES {
        let mut contestants = contestants(shape, python.as_mut())?;
        for round in 0..=rounds {
            for contestant in &mut contestants {
                progress.set_message(format!("{shape}: {}", contestant.name()));
                let milliseconds = contestant.run()?;
                if round > 0 {
                    samples.push(Sample::new(contestant.name(), shape, round, milliseconds));
                }
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    println!("{}", record::table(&samples));
    let path = out.unwrap_or_else(|| PathBuf::from(format!("benches/record/{}.csv", record::today())));
    record::write(&samples, &path)?;
    println!("written to {}", path.display());
    Ok(())
}

fn contestants<'p>(shape: Shape, python: Option<&'p mut python::Python>) -> Result<Vec<Box<dyn Contestant + 'p>>> {
    let mut all: Vec<Box<dyn Contestant + 'p>> =
        vec![Box::new(ours::Floor::new(shape)), Box::new(ours::Kdloss::new(shape))];
    if let Some(python) = python {
        all.extend(python.contestants(shape)?.into_iter().map(|peer| Box::new(peer) as Box<dyn Contestant + 'p>));
    }
    all.push(Box::new(candle::Candle::new(shape)?));
    all.push(Box::new(burn::Burn::new(shape)));
    Ok(all)
}
