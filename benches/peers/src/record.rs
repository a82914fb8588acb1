//! What was measured: as CSV, and as a table of medians.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::shape::Shape;

/// One run of one contestant.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) contestant: String,
    pub(crate) dtype: String,
    pub(crate) rows: usize,
    pub(crate) vocab: usize,
    pub(crate) round: usize,
    pub(crate) milliseconds: f64,
}

impl Sample {
    pub(crate) fn new(contestant: &str, shape: Shape, round: usize, milliseconds: f64) -> Self {
        let Shape { rows, vocab, .. } = shape;
        Self { contestant: contestant.to_owned(), dtype: shape.dtype().to_owned(), rows, vocab, round, milliseconds }
    }

    pub(crate) fn shape(&self) -> String {
        format!("{} {} × {}", self.dtype, self.rows, self.vocab)
    }
}

pub(crate) fn write(samples: &[Sample], path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut writer = csv::Writer::from_path(path)?;
    samples.iter().try_for_each(|sample| writer.serialize(sample))?;
    Ok(writer.flush()?)
}

pub(crate) fn read(path: &Path) -> Result<Vec<Sample>> {
    Ok(csv::Reader::from_path(path)?.deserialize().collect::<std::result::Result<_, _>>()?)
}

/// Smallest, middle and largest of the milliseconds of one contestant on one shape.
pub(crate) struct Spread {
    pub(crate) shape: String,
    pub(crate) contestant: String,
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// In the order in which they were measured.
pub(crate) fn spreads(samples: &[Sample]) -> Vec<Spread> {
    let mut keys: Vec<(String, String)> = Vec::new();
    for sample in samples {
        let key = (sample.shape(), sample.contestant.clone());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let spread = |(shape, contestant): (String, String)| {
        let own = samples.iter().filter(|sample| sample.shape() == shape && sample.contestant == contestant);
        let mut times: Vec<f64> = own.map(|sample| sample.milliseconds).collect();
        times.sort_by(f64::total_cmp);
        let [low, median, high] = [0, times.len() / 2, times.len() - 1].map(|index| times[index]);
        Spread { shape, contestant, low, median, high }
    };
    keys.into_iter().map(spread).collect()
}

pub(crate) fn table(samples: &[Sample]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["shape", "", "ms", "× kdloss"]);
    let spreads = spreads(samples);
    for Spread { shape, contestant, low, median, high } in &spreads {
        let ours = spreads.iter().find(|other| other.shape == *shape && other.contestant == "kdloss");
        let ratio = ours.map_or(f64::NAN, |ours| median / ours.median);
        let time = format!("{median:.1} ({low:.1}–{high:.1})");
        table.add_row([shape.clone(), contestant.clone(), time, format!("{ratio:.2}")]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Today's date (Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days).
pub(crate) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = seconds as i64 / 86_400 + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}
