//! What was measured, in words and tables.

use std::fmt::Display;

use comfy_table::{CellAlignment, Table, presets};

use crate::experiment::{Method, SEEDS, Settings, Trials};

/// The learning curves of one method, a curve per seed.
pub(crate) struct Curves {
    /// What the students were told.
    pub method: Method,
    /// Test accuracies, by seed and then by time.
    pub by_seed: Vec<Vec<f64>>,
}

impl Curves {
    /// Mean and standard deviation over seeds, at every point of time.
    pub(crate) fn over_seeds(&self) -> Vec<Spread> {
        let points = self.by_seed.iter().map(Vec::len).min().unwrap_or(0);
        (0..points).map(|point| Spread::of(self.by_seed.iter().map(|curve| curve[point]))).collect()
    }

    /// The accuracies at the end of training, by seed.
    pub(crate) fn last(&self) -> impl Iterator<Item = f64> {
        self.by_seed.iter().filter_map(|curve| curve.last().copied())
    }
}

/// Mean and standard deviation of shares, shown as percentages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the sample.
    pub deviation: f64,
    count: usize,
}

impl Spread {
    /// Of some numbers.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, deviation: (squares / (count as f64 - 1.0)).sqrt(), count }
    }

    /// Whether the mean is more than two of its standard errors away from 0.
    fn is_clear(self) -> bool {
        self.mean.abs() > 2.0 * self.standard_error()
    }

    fn standard_error(self) -> f64 {
        self.deviation / (self.count as f64).sqrt()
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if f.sign_plus() {
            write!(f, "{:+.1} ± {:.1}", 100.0 * self.mean, 100.0 * self.deviation)
        } else {
            write!(f, "{:.1} ± {:.1}", 100.0 * self.mean, 100.0 * self.deviation)
        }
    }
}

/// Validation accuracies: a row per temperature, a column per `alpha`.
pub(crate) fn trial_table(trials: &Trials) -> Table {
    let mut temperatures: Vec<f64> = trials.iter().map(|(settings, _)| settings.temperature).collect();
    temperatures.dedup();
    let row_of = |temperature: f64| trials.iter().filter(move |(settings, _)| settings.temperature == temperature);
    let mut table = table();
    let alphas = row_of(temperatures[0]).map(|(Settings { alpha, .. }, _)| format!("alpha = {alpha}"));
    table.set_header([String::new()].into_iter().chain(alphas));
    for temperature in temperatures {
        let accuracies = row_of(temperature).map(|(_, accuracy)| format!("{:.1} %", 100.0 * accuracy));
        table.add_row([format!("T = {temperature}")].into_iter().chain(accuracies));
    }
    align(table)
}

/// Test accuracies: a row per method, with the difference to labels alone seed by seed.
pub(crate) fn result_table(results: &[Curves], teacher: f64) -> Table {
    let mut table = table();
    table.set_header(["", "test accuracy, %", "against labels alone, per seed", "seeds that gained"]);
    for curves in results {
        let mut row = vec![curves.method.name().to_owned(), Spread::of(curves.last()).to_string()];
        if curves.method != Method::Labels {
            let differences = differences(results, curves);
            let gains = differences.iter().filter(|&&difference| difference > 0.0).count();
            row.push(format!("{:+}", Spread::of(differences.into_iter())));
            row.push(format!("{gains} of {}", SEEDS.count()));
        }
        table.add_row(row);
    }
    table.add_row(["the teacher".to_owned(), format!("{:.1}", 100.0 * teacher)]);
    align(table)
}

/// What the means say about a method, and whether the spread lets them.
pub(crate) fn sentence(results: &[Curves], curves: &Curves) -> String {
    let difference = Spread::of(differences(results, curves).into_iter());
    let verdict = if difference.is_clear() { "more" } else { "no more" };
    format!(
        "{}: {difference:+} points against labels alone, {verdict} than two standard errors ({:.1} each).",
        curves.method.name(),
        100.0 * difference.standard_error(),
    )
}

/// Accuracies at the end less those of the student on labels alone, seed by seed.
fn differences(results: &[Curves], curves: &Curves) -> Vec<f64> {
    let baseline = results.iter().filter(|results| results.method == Method::Labels).flat_map(Curves::last);
    curves.last().zip(baseline).map(|(accuracy, baseline)| accuracy - baseline).collect()
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table
}

/// Numbers to the right, names to the left.
fn align(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
