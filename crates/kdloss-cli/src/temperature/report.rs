//! What is said about a survey: a table for people, a JSON object for programs.

use std::io::Write;

use serde_json::{Value, json};

use crate::failure::Result;
use crate::output::{json_number, json_optional, readable_number, readable_optional, table};

use super::survey::{Level, Survey};

impl Survey {
    pub(crate) fn as_json(&self) -> Value {
        let level = |level: &Level| {
            json!({
                "temperature": level.temperature,
                "entropy": json_number(level.teacher.entropy),
                "top1_probability": json_number(level.teacher.top1),
                "mass_outside_top10": json_number(level.teacher.outside_head),
                "kl": json_optional(level.divergence()),
                "t2_kl": json_optional(level.soft),
            })
        };
        json!({
            "rows": self.rows,
            "vocab": self.vocab,
            "dropped_teacher_columns": self.dropped_teacher_columns,
            "left_out_rows": self.left_out_rows,
            "temperatures": self.levels.iter().map(level).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn write_table(&self, out: &mut dyn Write) -> Result<()> {
        let header = ["T", "entropy (nats)", "top-1 probability", "mass outside top 10", "KL", "T²·KL"];
        let mut table = table(&header, 0..header.len());
        for level in &self.levels {
            table.add_row([
                level.temperature.to_string(),
                readable_number(level.teacher.entropy),
                readable_number(level.teacher.top1),
                readable_number(level.teacher.outside_head),
                readable_optional(level.divergence()),
                readable_optional(level.soft),
            ]);
        }
        writeln!(out, "{table}")?;
        let uniform = (self.vocab as f64).ln();
        writeln!(
            out,
            "means over {} rows; {} classes, so the entropy is at most {uniform:.3}",
            self.counted_rows(),
            self.vocab
        )?;
        if self.dropped_teacher_columns > 0 {
            writeln!(out, "{} more of the teacher's columns are dropped", self.dropped_teacher_columns)?;
        }
        if self.left_out_rows > 0 {
            writeln!(out, "{} rows left out: they hold NaN or +inf, or are masked throughout", self.left_out_rows)?;
        }
        Ok(())
    }
}
