//! Times that mean something on a machine that others use too: each run stands between two runs of the floor.
//!
//! A machine's speed drifts by a factor of two within minutes. What holds still is the ratio of a run to the mean of the floor
//! just before and just after it. For benchmarks; not part of the crate's interface.

use std::time::{Duration, Instant};

/// The runs of one candidate.
#[derive(Debug, Clone, Default)]
pub struct Bracketed {
    /// How long each run took.
    pub times: Vec<Duration>,
    /// Each of them over the mean of the two runs of the floor beside it.
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

/// Runs every candidate in turn, `rounds` times, the floor before the first and behind each. A first round is not counted.
/// Returns the times of the floor, and the candidates'.
pub fn bracketed(
    rounds: usize,
    floor: &mut dyn FnMut(),
    candidates: &mut [&mut dyn FnMut()],
) -> (Vec<Duration>, Vec<Bracketed>) {
    let mut floors = Vec::new();
    let mut results = vec![Bracketed::default(); candidates.len()];
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

/// The spread of any numbers; NaN of none.
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
