//! Times that mean something on a machine that others use too: each run stands between two runs of the floor.
//!
//! Such a machine's speed changes by a factor of two within minutes. The ratio of a run to the mean of the two floors beside it does
//! not.

use std::time::{Duration, Instant};

/// The runs of one candidate.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// How long each run took.
    pub times: Vec<Duration>,
    /// Each time over the mean of the two floors beside it.
    pub ratios: Vec<f64>,
}

/// Lower quartile, median and upper quartile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// A quarter of the runs were below.
    pub low: f64,
    /// Half of the runs were below.
    pub median: f64,
    /// Three quarters of the runs were below.
    pub high: f64,
}

/// Runs every candidate in turn, `rounds` times, and the floor before the first and behind each. One more round goes ahead and is not
/// counted. Returns the times of the floor, and the runs of each candidate.
pub fn bracketed(
    rounds: usize,
    floor: &mut dyn FnMut(),
    candidates: &mut [&mut dyn FnMut()],
) -> (Vec<Duration>, Vec<Runs>) {
    let mut floors = Vec::new();
    let mut results = vec![Runs::default(); candidates.len()];
    let mut before = time(floor);
    for round in 0..=rounds {
        for (candidate, result) in candidates.iter_mut().zip(&mut results) {
            let run = time(*candidate);
            let after = time(floor);
            if round > 0 {
                floors.push(after);
                result.times.push(run);
                result.ratios.push(2.0 * run.as_secs_f64() / (before + after).as_secs_f64());
            }
            before = after;
        }
    }
    (floors, results)
}

/// The spread of some numbers; NaN if there are none.
#[must_use]
pub fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values.get((quarter * values.len()) / 4).copied().unwrap_or(f64::NAN);
    Spread { low: at(1), median: at(2), high: at(3) }
}

fn time(run: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}
