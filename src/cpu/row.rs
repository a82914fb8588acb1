//! One row: the statistics of its tiles, merged; then its gradient and soft term, tile by tile.
//!
//! Tiles begin at fixed multiples of [`TILE`] and are joined as a binary tree of fixed shape. So the bits of a row depend
//! on that row alone: not on the number of threads, nor on how its tiles were shared among them.

use rayon::prelude::*;

use super::instructions::Instructions;
use super::storage::{TileBuffer, store};
use super::tile::{GradientWeights, TILE, Terms, Tile};
use crate::batch::RowRole;
use crate::logits::{Logits, LogitsMut};
use crate::loss::DistillationLoss;
use crate::row_stats::{Normalizer, RowFlags, RowStats, Temperature};
use crate::value::{Denominators, RowLoss};

/// What all rows of a call have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) loss: DistillationLoss,
    pub(super) temperature: Temperature,
    pub(super) denominators: Denominators,
    pub(super) instructions: Instructions,
    /// The fewest tiles of a row that are given to a thread of their own.
    pub(super) min_tiles: usize,
}

/// Student logits to read and gradient entries to write, of the same columns of one row.
#[derive(Debug)]
pub(super) enum Columns<'a> {
    /// The gradient goes to a buffer of its own, or nowhere.
    Apart { student: Logits<'a>, gradient: Option<LogitsMut<'a>> },
    /// The gradient overwrites the student's logits.
    InPlace(LogitsMut<'a>),
}

/// One row of a batch.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The columns that are classes.
    pub(super) columns: Columns<'a>,
    /// The teacher's logits of those columns, where it is read.
    pub(super) teacher: Option<Logits<'a>>,
    /// Columns of the gradient that are not classes.
    pub(super) padding: Option<LogitsMut<'a>>,
    pub(super) role: RowRole,
    /// Factor of this row's gradient.
    pub(super) grad_scale: f64,
}

/// The terms of a row, and whether they are NaN for what the row holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOutcome {
    pub(super) row: RowLoss,
    pub(super) nonfinite: bool,
}

impl Row<'_> {
    /// Computes the row's terms and writes its gradient, padding included, where it has one.
    pub(super) fn evaluate(mut self, settings: &Settings) -> RowOutcome {
        if let Some(padding) = &mut self.padding {
            padding.fill(0.0);
        }
        let Some(terms) = terms(self.role) else {
            self.columns.fill_gradient(0.0);
            return RowOutcome { row: RowLoss::new(&settings.loss, 0.0, 0.0), nonfinite: false };
        };
        let stats = self.stats(terms, settings);
        if stats.is_nonfinite(terms != Terms::Hard) {
            self.columns.fill_gradient(f32::NAN);
            let nan_if = |counts: bool| if counts { f64::NAN } else { 0.0 };
            let row = RowLoss::new(&settings.loss, nan_if(terms != Terms::Soft), nan_if(terms != Terms::Hard));
            return RowOutcome { row, nonfinite: true };
        }
        // Read before the gradient overwrites it.
        let label_logit = self.role.hard_label.map(|label| self.columns.student().get(label));
        let hard = label_logit.map_or(0.0, |logit| stats.hard(logit));
        let divergence = self.second_pass(terms, &stats.finish(settings.temperature), settings);
        let soft = if stats.flags.contains(RowFlags::INFINITE_SOFT) {
            f64::INFINITY
        } else {
            settings.loss.temperature * settings.loss.temperature * f64::from(divergence)
        };
        RowOutcome { row: RowLoss::new(&settings.loss, hard, soft), nonfinite: false }
    }

    /// First pass: the statistics of the row.
    fn stats(&mut self, terms: Terms, settings: &Settings) -> RowStats {
        let (student, teacher) = (self.columns.student(), self.teacher);
        let vocab = student.len();
        let mut parts: Vec<RowStats> = (0..vocab.div_ceil(TILE))
            .into_par_iter()
            .with_min_len(settings.min_tiles)
            .map_init(
                || (TileBuffer::new(vocab), TileBuffer::new(vocab)),
                |(student_buffer, teacher_buffer), index| {
                    let (start, end) = (index * TILE, vocab.min((index + 1) * TILE));
                    let tile = Tile {
                        student: student_buffer.load(student.slice(start, end)),
                        teacher: load_teacher(teacher_buffer, teacher, start, end),
                    };
                    settings.instructions.stats(terms, tile, settings.temperature)
                },
            )
            .collect();
        pairwise(&mut parts, |a, b| a.merge(b, settings.temperature)).unwrap_or(RowStats::IDENTITY)
    }

    /// Second pass: writes the gradient where there is one to write, and returns the divergence (0 if the row has none).
    fn second_pass(&mut self, terms: Terms, normalizer: &Normalizer, settings: &Settings) -> f32 {
        if terms == Terms::Hard && self.columns.gradient().is_none() {
            return 0.0;
        }
        let vocab = self.columns.student().len();
        let (teacher, label) = (self.teacher, self.role.hard_label);
        let weights = self.gradient_weights(settings);
        let mut parts: Vec<f32> = self
            .columns
            .tiles()
            .into_par_iter()
            .enumerate()
            .with_min_len(settings.min_tiles)
            .map_init(
                || [(); 3].map(|()| TileBuffer::new(vocab)),
                |[student_buffer, teacher_buffer, gradient_buffer], (index, mut columns)| {
                    let start = index * TILE;
                    let student = columns.student();
                    let end = start + student.len();
                    let gradient = gradient_buffer.room(student.len());
                    let tile = Tile {
                        student: student_buffer.load(student),
                        teacher: load_teacher(teacher_buffer, teacher, start, end),
                    };
                    let part = settings.instructions.gradient(terms, tile, normalizer, weights, gradient);
                    if let Some(label) = label.filter(|label| (start..end).contains(label)) {
                        gradient[label - start] -= weights.hard;
                    }
                    if let Some(destination) = columns.gradient() {
                        store(gradient, destination);
                    }
                    part
                },
            )
            .collect();
        pairwise(&mut parts, |a, b| a + b).unwrap_or(0.0)
    }

    fn gradient_weights(&self, settings: &Settings) -> GradientWeights {
        let Settings { loss, denominators, .. } = settings;
        GradientWeights {
            hard: (self.grad_scale * loss.alpha / denominators.hard) as f32,
            soft: (self.grad_scale * (1.0 - loss.alpha) * loss.temperature / denominators.soft) as f32,
        }
    }
}

impl Columns<'_> {
    fn student(&self) -> Logits<'_> {
        match self {
            Self::Apart { student, .. } => *student,
            Self::InPlace(logits) => logits.as_logits(),
        }
    }

    fn gradient(&mut self) -> Option<LogitsMut<'_>> {
        match self {
            Self::Apart { gradient, .. } => gradient.as_mut().map(LogitsMut::reborrow),
            Self::InPlace(logits) => Some(logits.reborrow()),
        }
    }

    fn fill_gradient(&mut self, value: f32) {
        if let Some(mut gradient) = self.gradient() {
            gradient.fill(value);
        }
    }

    /// The same columns as tiles, which different threads may hold.
    fn tiles(&mut self) -> Vec<Columns<'_>> {
        match self {
            Self::Apart { student, gradient } => {
                let mut gradients = gradient.as_mut().map(|gradient| gradient.reborrow().chunks(TILE));
                let tiles = student.chunks(TILE);
                tiles
                    .map(|student| Columns::Apart { student, gradient: gradients.as_mut().and_then(Iterator::next) })
                    .collect()
            }
            Self::InPlace(logits) => logits.reborrow().chunks(TILE).map(Columns::InPlace).collect(),
        }
    }
}

fn terms(role: RowRole) -> Option<Terms> {
    match (role.hard_label, role.soft) {
        (Some(_), true) => Some(Terms::Both),
        (Some(_), false) => Some(Terms::Hard),
        (None, true) => Some(Terms::Soft),
        (None, false) => None,
    }
}

/// The teacher's tile, empty where it is not read.
fn load_teacher<'b>(buffer: &'b mut TileBuffer, teacher: Option<Logits<'b>>, start: usize, end: usize) -> &'b [f32] {
    teacher.map_or(&[], |teacher| buffer.load(teacher.slice(start, end)))
}

/// Joins neighbours until one is left: a binary tree whose shape depends on the number of parts only.
fn pairwise<T: Copy>(parts: &mut [T], join: impl Fn(T, T) -> T) -> Option<T> {
    let mut len = parts.len();
    while len > 1 {
        for index in 0..len / 2 {
            parts[index] = join(parts[2 * index], parts[2 * index + 1]);
        }
        if !len.is_multiple_of(2) {
            parts[len / 2] = parts[len - 1];
        }
        len = len.div_ceil(2);
    }
    parts.first().copied()
}
