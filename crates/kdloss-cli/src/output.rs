//! How numbers and tables are printed.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

/// Columns of a terminal below which tables keep their own width.
const NARROWEST: u16 = 60;

/// A number in JSON, which has no infinities and no NaN: those are strings.
pub(crate) fn json_number(number: f64) -> Value {
    if number.is_finite() { Value::from(number) } else { Value::from(readable_number(number).to_ascii_lowercase()) }
}

/// A number in JSON, null where it is not computed.
pub(crate) fn json_optional(number: Option<f64>) -> Value {
    number.map_or(Value::Null, json_number)
}

/// A number for a person: six digits are enough to compare by eye.
pub(crate) fn readable_number(number: f64) -> String {
    match number.abs() {
        size if size == 0.0 || (1e-3..1e6).contains(&size) => format!("{number:.6}"),
        size if size.is_finite() => format!("{number:.5e}"),
        _ => number.to_string().to_lowercase(),
    }
}

/// A number for a person, a dash where it is not computed.
pub(crate) fn readable_optional(number: Option<f64>) -> String {
    number.map_or("–".to_owned(), readable_number)
}

/// A number of bytes for a person, in the largest unit that there is one of.
pub(crate) fn readable_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    match (bytes.max(1).ilog2() / 10) as usize {
        0 => format!("{bytes} bytes"),
        power => format!("{:.1} {}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power - 1]),
    }
}

/// An empty table in the program's style, whose columns `numbers` hold numbers, aligned right.
pub(crate) fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header.to_vec());
    // Text wraps in a terminal that has room for it; some have, or claim, next to none.
    if table.width().is_some_and(|width| width >= NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for column in table.column_iter_mut().enumerate().filter(|(index, _)| numbers.contains(index)).map(|(_, c)| c) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
