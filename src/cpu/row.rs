//! Consecutive rows on their way through the loops: while the gradient of one is written, the next is begun.
//!
//! Tiles begin at fixed multiples of [`TILE`] and are joined in their order; nothing of one row enters another.
//! So the bits of a row depend on that row alone: not on the number of threads, nor on how its tiles or the rows were
//! shared among them.

use rayon::prelude::*;

use super::aligned::Strips;
use super::gradient::{Factors, Gradient};
use super::instructions::Detected;
use super::join::Joined;
use super::recipe::Recipe;
use super::simd::{STRIP, Store};
use super::tile::{Strip, Summary, TILE};
use super::visit::{Begin, Visit, Write};
use crate::call::{Call, Denominators, GradientWeights, RowRole};
use crate::elements::{Elements, ElementsMut};
use crate::value::RowLoss;

/// What all rows of a call have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) call: Call,
    pub(super) denominators: Denominators,
    pub(super) instructions: Detected,
    pub(super) store: Store,
    /// The tiles of a row that are one thread's, one after another.
    pub(super) tiles_of_a_thread: usize,
}

/// Student logits to read and gradient entries to write, of the same columns of one row.
#[derive(Debug)]
pub(super) enum Columns<'a> {
    /// The gradient goes to a buffer of its own, or nowhere.
    Apart { student: Elements<'a>, gradient: Option<ElementsMut<'a>> },
    /// The gradient overwrites the student's logits.
    InPlace(ElementsMut<'a>),
}

/// One row of a batch.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The columns that are classes.
    pub(super) columns: Columns<'a>,
    /// The teacher's logits of those columns, where it is read.
    pub(super) teacher: Option<Elements<'a>>,
    /// Columns of the gradient that are not classes.
    pub(super) padding: Option<ElementsMut<'a>>,
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
    gradient: ElementsMut<'a>,
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
    kept: Strips,
    waiting: Option<Waiting<'a>>,
    outcomes: Vec<RowOutcome>,
}

impl<'a, 's> Sweep<'a, 's> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self { settings, kept: Strips::default(), waiting: None, outcomes: Vec::new() }
    }

    /// Computes the row's terms, and writes what is still to be written of the row before.
    pub(super) fn row(mut self, mut row: Row<'a>) -> Self {
        let settings = self.settings;
        if let Some(padding) = &mut row.padding {
            padding.fill(0.0);
        }
        let Some(terms) = settings.call.terms.of_row(row.role) else {
            row.columns.fill_gradient(0.0);
            self.outcomes.push(RowOutcome { row: RowLoss::new(&settings.call.loss, 0.0, 0.0), nonfinite: false });
            return self;
        };
        let recipe = Recipe::new(terms);
        if self.waiting.as_ref().is_some_and(|waiting| waiting.recipe != recipe) {
            self.write();
        }
        let summaries = self.begin(&row, recipe);
        let joined = Joined::new(&summaries, &row, recipe, settings);
        self.outcomes.push(joined.outcome);
        match joined.factors {
            None => row.columns.fill_gradient(f32::NAN),
            Some(factors) => {
                let label_weight = row.weights(settings).hard as f32;
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
        self.write();
        self.outcomes
    }

    /// Goes over the tiles of the next row, and writes the gradient of the row that waits. Both have the same recipe.
    fn begin(&mut self, row: &Row<'a>, recipe: Recipe) -> Vec<Summary> {
        let settings = self.settings;
        let mut waiting = self.waiting.take();
        let keeps = waiting.is_some() || row.columns.has_gradient();
        let strips = if keeps { settings.call.vocab.div_ceil(STRIP) * recipe.kept() } else { 0 };
        let mut kept = self.kept.resize(strips).chunks_mut(TILE / STRIP * recipe.kept());
        let mut gradients = waiting.as_mut().map(|waiting| waiting.tiles(settings));
        let student = row.columns.student();
        let teacher = row.teacher.unwrap_or(student);
        let visits = (0..settings.call.vocab).step_by(TILE).map(|start| {
            let end = settings.call.vocab.min(start + TILE);
            let logits = [student.slice(start, end), teacher.slice(start, end)];
            Visit { logits, kept: kept.next(), previous: gradients.as_mut().and_then(Iterator::next) }
        });
        let visits: Vec<Visit<'_>> = visits.collect();
        let soft = settings.call.soft;
        let summaries: Vec<Vec<Summary>> = visits
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread.min(settings.tiles()))
            .map(|visits| settings.instructions.run(Begin { visits, recipe, soft }))
            .collect();
        summaries.concat()
    }

    /// Writes the gradient of the row that waits.
    fn write(&mut self) {
        let settings = self.settings;
        let Some(mut waiting) = self.waiting.take() else { return };
        let recipe = waiting.recipe;
        let strips = settings.call.vocab.div_ceil(STRIP) * recipe.kept();
        let kept = self.kept.resize(strips).chunks_mut(TILE / STRIP * recipe.kept());
        let tiles: Vec<(Gradient<'_>, &mut [Strip])> = waiting.tiles(settings).zip(kept).collect();
        tiles
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread.min(settings.tiles()))
            .for_each(|tiles| settings.instructions.run(Write { tiles, recipe }));
    }
}

impl Settings {
    fn tiles(&self) -> usize {
        self.call.vocab.div_ceil(TILE)
    }
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

impl Row<'_> {
    pub(super) fn weights(&self, settings: &Settings) -> GradientWeights {
        settings.call.gradient_weights(self.grad_scale, settings.denominators)
    }
}

impl<'a> Columns<'a> {
    fn has_gradient(&self) -> bool {
        match self {
            Self::Apart { gradient, .. } => gradient.is_some(),
            Self::InPlace(_) => true,
        }
    }

    pub(super) fn student(&self) -> Elements<'_> {
        match self {
            Self::Apart { student, .. } => *student,
            Self::InPlace(logits) => logits.as_logits(),
        }
    }

    fn into_gradient(self) -> Option<ElementsMut<'a>> {
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
