//! Consecutive rows on their way through the loops: while the gradient of one is written, the next is begun.
//!
//! Tiles begin at fixed multiples of [`TILE`] and are joined as a binary tree of fixed shape; nothing of one row enters another.
//! So the bits of a row depend on that row alone: not on the number of threads, nor on how its tiles or the rows were
//! shared among them.

use rayon::prelude::*;

use super::gradient::{Factors, Gradient};
use super::instructions::{Detected, Task};
use super::kept::Kept;
use super::load::{Loaded, TileBuffer};
use super::recipe::{Recipe, by_recipe};
use super::simd::{STRIP, Simd, Store};
use super::tile::{self, Form, Pair, Strip, Summary, TILE};
use crate::batch::RowRole;
use crate::logits::{Logits, LogitsMut};
use crate::loss::DistillationLoss;
use crate::row_stats::{RowFlags, RowStats, Temperature};
use crate::value::{Denominators, RowLoss};

/// What all rows of a call have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) loss: DistillationLoss,
    pub(super) temperature: Temperature,
    pub(super) denominators: Denominators,
    pub(super) instructions: Detected,
    pub(super) store: Store,
    pub(super) vocab: usize,
    /// The tiles of a row that are one thread's, one after another.
    pub(super) tiles_of_a_thread: usize,
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

/// A row whose gradient is still to be written, from what is kept of it.
#[derive(Debug)]
struct Waiting<'a> {
    gradient: LogitsMut<'a>,
    recipe: Recipe,
    /// One for each tile.
    factors: Vec<Factors>,
    label: Option<usize>,
    label_weight: f32,
}

/// Consecutive rows.
pub(super) struct Sweep<'a, 's> {
    settings: &'s Settings,
    /// What is kept of a row between its two passes, tile by tile.
    kept: Vec<Strip>,
    waiting: Option<Waiting<'a>>,
    outcomes: Vec<RowOutcome>,
}

impl<'a, 's> Sweep<'a, 's> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self { settings, kept: Vec::new(), waiting: None, outcomes: Vec::new() }
    }

    /// Computes the row's terms, and writes what is still to be written of the row before.
    pub(super) fn row(mut self, mut row: Row<'a>) -> Self {
        let settings = self.settings;
        if let Some(padding) = &mut row.padding {
            padding.fill(0.0);
        }
        let Some(recipe) = Recipe::new(row.role, settings.loss.temperature) else {
            row.columns.fill_gradient(0.0);
            self.outcomes.push(RowOutcome { row: RowLoss::new(&settings.loss, 0.0, 0.0), nonfinite: false });
            return self;
        };
        if self.waiting.as_ref().is_some_and(|waiting| waiting.recipe != recipe) {
            self.pass(None);
        }
        let summaries = self.pass(Some((&row, recipe)));
        let joined = Joined::new(&summaries, &row, recipe, settings);
        self.outcomes.push(joined.outcome);
        match joined.factors {
            None => row.columns.fill_gradient(f32::NAN),
            Some(factors) => {
                let label_weight = row.weights(settings).hard;
                let label = row.role.hard_label;
                self.waiting = row.columns.into_gradient().map(|gradient| Waiting {
                    gradient,
                    recipe,
                    factors,
                    label,
                    label_weight,
                });
            }
        }
        self
    }

    /// Writes what is still to be written.
    pub(super) fn finish(mut self) -> Vec<RowOutcome> {
        self.pass(None);
        self.outcomes
    }

    /// Goes once over the tiles: writes the gradient of the row that waits, and begins the next.
    fn pass(&mut self, next: Option<(&Row<'a>, Recipe)>) -> Vec<Summary> {
        let mut waiting = self.waiting.take();
        let Some(recipe) = next.map(|(_, recipe)| recipe).or(waiting.as_ref().map(|waiting| waiting.recipe)) else {
            return Vec::new();
        };
        let settings = self.settings;
        let tiles = settings.vocab.div_ceil(TILE);
        if waiting.is_some() || next.is_some_and(|(row, _)| row.columns.has_gradient()) {
            let strips = settings.vocab.div_ceil(STRIP) * recipe.kept();
            if self.kept.len() != strips {
                // Zeros that the system has at hand: its pages are filled by the threads that first write them.
                self.kept = vec![[0.0; STRIP]; strips];
            }
        }
        let mut gradients = waiting.as_mut().map(|waiting| waiting.tiles(settings));
        let mut kept = self.kept.chunks_mut(TILE / STRIP * recipe.kept());
        let visits: Vec<Visit<'_>> = (0..tiles)
            .map(|index| {
                let (start, end) = (index * TILE, settings.vocab.min((index + 1) * TILE));
                let next = next.map(|(row, _)| {
                    let student = row.columns.student();
                    let teacher = row.teacher.unwrap_or(student);
                    [student, teacher].map(|logits| logits.slice(start, end))
                });
                Visit { kept: kept.next(), next, previous: gradients.as_mut().and_then(Iterator::next) }
            })
            .collect();
        let summaries: Vec<Vec<Summary>> = visits
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread.min(tiles))
            .map(|visits| settings.instructions.run(Visits { visits, recipe, temperature: settings.temperature }))
            .collect();
        summaries.concat()
    }
}

/// What is done to one tile in a pass.
struct Visit<'v> {
    /// Where what is kept stays; `None` if nobody asks for it again.
    kept: Option<&'v mut [Strip]>,
    /// Student and teacher.
    next: Option<[Logits<'v>; 2]>,
    previous: Option<Gradient<'v>>,
}

/// What one thread does in a pass.
struct Visits<'v> {
    visits: Vec<Visit<'v>>,
    recipe: Recipe,
    temperature: Temperature,
}

impl Task for Visits<'_> {
    type Output = Vec<Summary>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Summary> {
        let Self { visits, recipe, temperature } = self;
        let mut buffers = Buffers::default();
        let mut summaries = Vec::with_capacity(visits.len());
        for Visit { kept, next, previous } in visits {
            let memory = kept.unwrap_or_else(|| {
                buffers.kept.resize(TILE / STRIP * recipe.kept(), [0.0; STRIP]);
                &mut buffers.kept
            });
            let mut kept = Kept::new(recipe, memory);
            let Some([student, teacher]) = next else {
                if let Some(previous) = previous {
                    by_recipe!(recipe, recipe => previous.write_all(simd, recipe, &kept));
                }
                continue;
            };
            let student = Loaded::new(simd, student, &mut buffers.student);
            let teacher = if recipe.has_soft() { Loaded::new(simd, teacher, &mut buffers.teacher) } else { student };
            let pair = Pair { student, teacher };
            summaries
                .push(by_recipe!(recipe, recipe => tile::begin(simd, recipe, temperature, pair, &mut kept, previous)));
        }
        // Whoever learns that the row is done may read the gradient.
        simd.fence();
        summaries
    }
}

/// What a thread needs beside the caller's memory, in its first-level cache.
#[derive(Default)]
struct Buffers {
    student: TileBuffer,
    teacher: TileBuffer,
    /// Room for what is kept of one tile, where nobody asks for it again.
    kept: Vec<Strip>,
}

impl Waiting<'_> {
    /// The gradient as tiles, which different threads may hold.
    fn tiles(&mut self, settings: &Settings) -> impl Iterator<Item = Gradient<'_>> {
        let Self { gradient, factors, label, label_weight, .. } = self;
        gradient.reborrow().chunks(TILE).zip(factors.iter()).enumerate().map(|(index, (destination, &factors))| {
            let label = label.filter(|label| label / TILE == index).map(|label| (label % TILE, *label_weight));
            Gradient { destination, factors, label, store: settings.store }
        })
    }
}

/// What the tiles of a row come to.
struct Joined {
    outcome: RowOutcome,
    /// What makes the gradient of each tile; `None` if it is NaN.
    factors: Option<Vec<Factors>>,
}

impl Joined {
    fn new(summaries: &[Summary], row: &Row<'_>, recipe: Recipe, settings: &Settings) -> Self {
        let Settings { loss, temperature, .. } = settings;
        let mut parts: Vec<RowStats> = summaries.iter().map(|summary| summary.stats).collect();
        let stats = pairwise(&mut parts, |a, b| a.merge(b, *temperature)).unwrap_or(RowStats::IDENTITY);
        if stats.is_nonfinite(recipe.has_soft()) {
            let nan_if = |counts: bool| if counts { f64::NAN } else { 0.0 };
            let row = RowLoss::new(loss, nan_if(recipe.has_hard()), nan_if(recipe.has_soft()));
            return Self { outcome: RowOutcome { row, nonfinite: true }, factors: None };
        }
        let normalizer = stats.finish(*temperature);
        let weights = row.weights(settings);
        let mut divergence = 0.0;
        let factors = summaries.iter().map(|summary| {
            let part = normalizer.part(&summary.stats, summary.log_ratio);
            if part.p > 0.0 {
                divergence += f64::from(part.p) * f64::from(summary.divergence);
            }
            divergence += f64::from(part.element.divergence);
            let (student, teacher) = match summary.form {
                Form::Exponential => (part.student_factor, -part.teacher_factor),
                Form::Difference => (part.element.difference / summary.stats.student_tempered_sum, part.p),
            };
            Factors {
                student: weights.soft * student,
                teacher: weights.soft * teacher,
                hard: weights.hard * part.hard_factor,
            }
        });
        let factors = factors.collect();
        // Read before the gradient overwrites it.
        let hard = row.role.hard_label.map_or(0.0, |label| stats.hard(row.columns.student().get(label)));
        let soft = if stats.flags.contains(RowFlags::INFINITE_SOFT) {
            f64::INFINITY
        } else {
            loss.temperature * loss.temperature * divergence
        };
        Self { outcome: RowOutcome { row: RowLoss::new(loss, hard, soft), nonfinite: false }, factors: Some(factors) }
    }
}

/// Factors of the gradient of one row: weight, reduction and scale in one.
struct Weights {
    /// Multiplies `softmax(s) - onehot(y)`.
    hard: f32,
    /// Multiplies `q - p`.
    soft: f32,
}

impl Row<'_> {
    fn weights(&self, settings: &Settings) -> Weights {
        let Settings { loss, denominators, .. } = settings;
        Weights {
            hard: (self.grad_scale * loss.alpha / denominators.hard) as f32,
            soft: (self.grad_scale * (1.0 - loss.alpha) * loss.temperature / denominators.soft) as f32,
        }
    }
}

impl<'a> Columns<'a> {
    fn has_gradient(&self) -> bool {
        match self {
            Self::Apart { gradient, .. } => gradient.is_some(),
            Self::InPlace(_) => true,
        }
    }

    fn student(&self) -> Logits<'_> {
        match self {
            Self::Apart { student, .. } => *student,
            Self::InPlace(logits) => logits.as_logits(),
        }
    }

    fn into_gradient(self) -> Option<LogitsMut<'a>> {
        match self {
            Self::Apart { gradient, .. } => gradient,
            Self::InPlace(logits) => Some(logits),
        }
    }

    fn fill_gradient(self, value: f32) {
        if let Some(mut gradient) = self.into_gradient() {
            gradient.fill(value);
        }
    }
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
