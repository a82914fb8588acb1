//! What temperatures do to the teacher's distributions, row after row.

use std::ops::Range;

use indicatif::{ProgressBar, ProgressStyle};
use kdloss::{Batch, DistillationLoss, cpu};
use rayon::prelude::*;

use crate::doubts::{self, Doubts};
use crate::failure::{Failure, Result};
use crate::logits::{LogitsRows, LogitsTensor};

use super::softness::{Softness, softness};

/// Rows between two steps of the progress bar: few enough to stay in memory's caches for all temperatures.
const ROWS_AT_A_TIME: usize = 64;

/// Logits times temperatures from which a progress bar is worth showing: about a second's work.
const LONG_WORK: usize = 100_000_000;

/// What one temperature does, as means over rows.
pub(crate) struct Level {
    pub(crate) temperature: f64,
    pub(crate) teacher: Softness,
    /// `T² · KL(teacher ‖ student)`, if there is a student.
    pub(crate) soft: Option<f64>,
}

/// What all temperatures do.
pub(crate) struct Survey {
    pub(crate) rows: usize,
    pub(crate) vocab: usize,
    /// Columns that the teacher has beyond those.
    pub(crate) dropped_teacher_columns: usize,
    /// Rows without a distribution, which no mean includes.
    pub(crate) left_out_rows: usize,
    pub(crate) levels: Vec<Level>,
}

/// The logits that a survey reads.
pub(crate) struct Sources<'a> {
    pub(crate) teacher: LogitsTensor<'a>,
    pub(crate) student: Option<LogitsTensor<'a>>,
    pub(crate) vocab: usize,
}

impl Sources<'_> {
    /// Raises what is doubtful about the tensors; the width is not where it was asked for.
    pub(crate) fn raise(&self, doubts: &Doubts, vocab_is_given: bool) -> Result<()> {
        doubts.raise(doubts::probabilities("teacher", &first_rows(&self.teacher)?))?;
        let Some(student) = &self.student else {
            return Ok(());
        };
        doubts.raise(doubts::probabilities("student", &first_rows(student)?))?;
        doubts.raise(doubts::dropped_columns(self.teacher.cols, self.vocab).filter(|_| !vocab_is_given))
    }

    pub(crate) fn survey(&self, temperatures: &[f64], quiet: bool) -> Result<Survey> {
        let rows = self.teacher.rows();
        let mut sums = vec![(Softness { entropy: 0.0, top1: 0.0, outside_head: 0.0 }, 0.0); temperatures.len()];
        let mut left_out_rows = 0;
        let long = rows.saturating_mul(self.vocab).saturating_mul(temperatures.len()) >= LONG_WORK;
        let progress = progress_bar(rows, long && !quiet);
        for start in (0..rows).step_by(ROWS_AT_A_TIME) {
            let part = start..rows.min(start + ROWS_AT_A_TIME);
            let teacher = self.teacher.read(part.clone())?;
            let soft = self.soft_terms(part.clone(), &teacher, temperatures)?;
            for (index, teacher) in self.teacher_softness(&teacher, temperatures).into_iter().enumerate() {
                let Some(teacher) = teacher.filter(|_| soft.iter().all(|terms| !terms[index].is_nan())) else {
                    left_out_rows += 1;
                    continue;
                };
                for (level, ((sum, soft_sum), row)) in sums.iter_mut().zip(teacher).enumerate() {
                    sum.entropy += row.entropy;
                    sum.top1 += row.top1;
                    sum.outside_head += row.outside_head;
                    *soft_sum += soft.get(level).map_or(0.0, |terms| terms[index]);
                }
            }
            progress.inc(part.len() as u64);
        }
        progress.finish_and_clear();

        let counted = rows - left_out_rows;
        if counted == 0 {
            return Err(Failure::new(format!(
                "none of the {rows} rows has finite, unmasked logits: check what wrote the file"
            )));
        }
        let mean = |sum: f64| sum / counted as f64;
        let levels = temperatures.iter().zip(sums).map(|(&temperature, (sum, soft_sum))| Level {
            temperature,
            teacher: Softness {
                entropy: mean(sum.entropy),
                top1: mean(sum.top1),
                outside_head: mean(sum.outside_head),
            },
            soft: self.student.as_ref().map(|_| mean(soft_sum)),
        });
        let dropped_teacher_columns = self.teacher.cols - self.vocab;
        Ok(Survey { rows, vocab: self.vocab, dropped_teacher_columns, left_out_rows, levels: levels.collect() })
    }

    /// The teacher's softness in each of its rows, at each temperature.
    fn teacher_softness(&self, teacher: &LogitsRows<'_>, temperatures: &[f64]) -> Vec<Option<Vec<Softness>>> {
        let of_row = |buffer: &mut Vec<f32>, row| {
            teacher.read_row(row, self.vocab, buffer);
            softness(buffer, temperatures)
        };
        (0..teacher.rows).into_par_iter().map_init(Vec::new, of_row).collect()
    }

    /// `T² · KL` at each temperature, of each of the rows; nothing without a student.
    fn soft_terms(&self, rows: Range<usize>, teacher: &LogitsRows<'_>, temperatures: &[f64]) -> Result<Vec<Vec<f64>>> {
        let Some(student) = &self.student else {
            return Ok(Vec::new());
        };
        let student = student.read(rows)?;
        let batch = Batch::new(student.matrix()).with_teacher(teacher.matrix()).with_vocab(self.vocab);
        let terms = |&temperature: &f64| {
            let value = cpu::forward(&soft_loss(temperature), &batch)?;
            Ok(value.rows.iter().map(|row| row.total).collect())
        };
        temperatures.iter().map(terms).collect()
    }
}

impl Level {
    pub(crate) fn divergence(&self) -> Option<f64> {
        self.soft.map(|soft| soft / (self.temperature * self.temperature))
    }
}

impl Survey {
    /// Rows that the means include.
    pub(crate) fn counted_rows(&self) -> usize {
        self.rows - self.left_out_rows
    }
}

/// As many rows as are read at a time.
fn first_rows<'a>(logits: &LogitsTensor<'a>) -> Result<LogitsRows<'a>> {
    logits.read(0..logits.rows().min(ROWS_AT_A_TIME))
}

/// The loss that is the soft term alone.
pub(crate) fn soft_loss(temperature: f64) -> DistillationLoss {
    DistillationLoss::new().with_alpha(0.0).with_temperature(temperature)
}

/// On stderr, and only where that is a terminal.
fn progress_bar(rows: usize, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(rows as u64);
    match ProgressStyle::with_template("{bar:40} {pos}/{len} rows, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
