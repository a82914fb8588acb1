//! How numbers and tables are printed.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::Value;

/// Columns that are filled where the output is no terminal.
const COLUMNS: u16 = 100;

/// Columns that are filled at least: some terminals have, or claim, next to none.
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

/// Columns to fill: the terminal's, if the output is one.
fn columns() -> u16 {
    Table::new().width().map_or(COLUMNS, |columns| columns.max(NARROWEST))
}

/// A sentence for a person, in as many lines as it takes. A word stays whole, also one that is longer than a line.
pub(crate) fn sentence(text: &str) -> String {
    let columns = usize::from(columns());
    let mut lines = String::new();
    let mut filled = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if filled > 0 && filled + 1 + length > columns {
            lines.push('\n');
            filled = 0;
        } else if filled > 0 {
            lines.push(' ');
            filled += 1;
        }
        lines.push_str(word);
        filled += length;
    }
    lines
}

/// An empty table in the program's style, whose columns `numbers` hold numbers, aligned right. Text wraps where the table
/// would be wider than the output.
pub(crate) fn table(header: &[&str], numbers: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(columns())
        .set_header(header.to_vec());
    for column in table.column_iter_mut().enumerate().filter(|(index, _)| numbers.contains(index)).map(|(_, c)| c) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
