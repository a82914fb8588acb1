//! `kdloss temperature`: how soft the teacher becomes, and how far the student is from it, at each temperature.

use std::io::Write;
use std::ops::Range;

use indicatif::{ProgressBar, ProgressStyle};
use kdloss::{Batch, DistillationLoss, cpu};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, DrawingBackend};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::args::TemperatureArgs;
use super::failure::{Failure, Result};
use super::inputs::{Files, Wanted, paths};
use super::logits::{LogitsTensor, vocab};
use super::output::{json_number, json_optional, readable_number, readable_optional, table};
use super::panels::{self, Drawn};
use super::plot::{Drawing, Picture};
use super::softness::{Softness, softness};

/// Rows between two steps of the progress bar: few enough to stay in memory's caches for all temperatures.
const ROWS_AT_A_TIME: usize = 64;

/// Logits times temperatures from which a progress bar is worth showing: about a second's work.
const LONG_WORK: usize = 100_000_000;

/// Of a panel of the plot, and of the title above all.
const PANEL_SIZE: (u32, u32) = (480, 400);
const TITLE_HEIGHT: u32 = 40;

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
    /// Rows without a distribution, which no mean includes.
    pub(crate) left_out_rows: usize,
    pub(crate) levels: Vec<Level>,
}

pub(crate) fn run(args: &TemperatureArgs, out: &mut dyn Write) -> Result<()> {
    let temperatures = ascending(&args.temperatures)?;
    let files = Files::open(&args.logits, None)?;
    let student = Wanted::student(&args.logits).find(false, &files.student_tensors()?)?;
    let student = student.map(|tensor| LogitsTensor::new(&tensor, None)).transpose()?;
    let remedy = "name the teacher's logits with --teacher, and their file with --teacher-file";
    let teacher = Wanted::teacher(&args.logits, remedy).require(&files.teacher_tensors()?)?;
    let teacher = LogitsTensor::new(&teacher, student.as_ref())?;
    let vocab = vocab(args.logits.vocab, &teacher, student.as_ref())?;
    let plot = args.plot.as_deref().map(|path| Picture::create(path, &paths(&args.logits, None))).transpose()?;

    let sources = Sources { teacher, student, vocab };
    let survey = sources.survey(&temperatures, args.json)?;
    if let Some(plot) = plot {
        plot.draw((PANEL_SIZE.0 * survey.panels(), PANEL_SIZE.1 + TITLE_HEIGHT), &survey)?;
    }
    if args.json {
        writeln!(out, "{}", survey.as_json())?;
        return Ok(());
    }
    survey.write_table(out)?;
    if let Some(path) = &args.plot {
        writeln!(out, "plot written to {}", path.display())?;
    }
    Ok(())
}

/// The temperatures in order, each once, and each one that the loss accepts.
fn ascending(temperatures: &[f64]) -> Result<Vec<f64>> {
    for &temperature in temperatures {
        soft_loss(temperature).validate()?;
    }
    let mut temperatures = temperatures.to_vec();
    temperatures.sort_unstable_by(f64::total_cmp);
    temperatures.dedup();
    Ok(temperatures)
}

fn soft_loss(temperature: f64) -> DistillationLoss {
    DistillationLoss::new().with_alpha(0.0).with_temperature(temperature)
}

/// The logits that a survey reads.
struct Sources<'a> {
    teacher: LogitsTensor<'a>,
    student: Option<LogitsTensor<'a>>,
    vocab: usize,
}

impl Sources<'_> {
    fn survey(&self, temperatures: &[f64], quiet: bool) -> Result<Survey> {
        let rows = self.teacher.rows();
        let mut sums = vec![(Softness { entropy: 0.0, top1: 0.0, outside_head: 0.0 }, 0.0); temperatures.len()];
        let mut left_out_rows = 0;
        let long = rows.saturating_mul(self.vocab).saturating_mul(temperatures.len()) >= LONG_WORK;
        let progress = progress_bar(rows, long && !quiet);
        for start in (0..rows).step_by(ROWS_AT_A_TIME) {
            let part = start..rows.min(start + ROWS_AT_A_TIME);
            let soft = self.soft_terms(part.clone(), temperatures)?;
            for (index, teacher) in self.teacher_softness(part.clone(), temperatures).into_iter().enumerate() {
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
        Ok(Survey { rows, vocab: self.vocab, left_out_rows, levels: levels.collect() })
    }

    /// The teacher's softness in each of the rows, at each temperature.
    fn teacher_softness(&self, rows: Range<usize>, temperatures: &[f64]) -> Vec<Option<Vec<Softness>>> {
        let of_row = |buffer: &mut Vec<f32>, row| {
            self.teacher.read_row(row, self.vocab, buffer);
            softness(buffer, temperatures)
        };
        rows.into_par_iter().map_init(Vec::new, of_row).collect()
    }

    /// `T² · KL` at each temperature, of each of the rows; nothing without a student.
    fn soft_terms(&self, rows: Range<usize>, temperatures: &[f64]) -> Result<Vec<Vec<f64>>> {
        let Some(student) = &self.student else {
            return Ok(Vec::new());
        };
        let batch = Batch::new(student.matrix_of(rows.clone()))
            .with_teacher(self.teacher.matrix_of(rows))
            .with_vocab(self.vocab);
        let terms = |&temperature: &f64| {
            let value = cpu::forward(&soft_loss(temperature), &batch)?;
            Ok(value.rows.iter().map(|row| row.total).collect())
        };
        temperatures.iter().map(terms).collect()
    }
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

impl Level {
    pub(crate) fn divergence(&self) -> Option<f64> {
        self.soft.map(|soft| soft / (self.temperature * self.temperature))
    }
}

impl Drawing for Survey {
    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        let counted = self.rows - self.left_out_rows;
        let title = format!("What temperature does to the teacher: mean over {counted} rows, {} classes", self.vocab);
        let body = root.margin(8, 0, 0, 0).titled(&title, ("sans-serif", 20))?;
        let areas = body.split_evenly((1, self.panels() as usize));
        for (index, area) in areas.iter().enumerate() {
            match index {
                0 => panels::mass(area, &self.levels)?,
                1 => panels::entropy(area, &self.levels, self.vocab)?,
                _ => panels::divergence(area, &self.levels)?,
            }
        }
        Ok(())
    }
}

impl Survey {
    /// Panels of the plot: the last is about the student.
    fn panels(&self) -> u32 {
        if self.levels.iter().any(|level| level.soft.is_some()) { 3 } else { 2 }
    }

    fn as_json(&self) -> Value {
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
            "left_out_rows": self.left_out_rows,
            "temperatures": self.levels.iter().map(level).collect::<Vec<_>>(),
        })
    }

    fn write_table(&self, out: &mut dyn Write) -> Result<()> {
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
            self.rows - self.left_out_rows,
            self.vocab
        )?;
        if self.left_out_rows > 0 {
            writeln!(out, "{} rows left out: they hold NaN or +inf, or are masked throughout", self.left_out_rows)?;
        }
        Ok(())
    }
}
