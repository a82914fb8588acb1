//! Consecutive rows on their way through the loops.
//!
//! Each row is passed over twice: the first pass takes exponentials and adds them up, the second writes the gradient. The second
//! pass of a row goes along with the first pass of the next.
//!
//! Tiles begin at fixed multiples of [`TILE`] and are joined in their order, and nothing of one row enters another. So a row's bits
//! depend on that row alone, whichever threads took its tiles or the rows beside it.

use rayon::prelude::*;

use super::gradient::Gradient;
use super::gradient::kept::Kept;
use super::gradient::source::Factors;
use super::join::{JoinedRow, RowOutcome};
use super::recipe::{Recipe, by_recipe};
use super::settings::Settings;
use super::simd::strips::{STRIP, Strip, StripBuffer};
use super::simd::{Simd, Task};
use super::tile::logits::Pair;
use super::tile::summarise::{OddTile, Summary, summarise};
use super::tile::{TILE, Work};
use crate::call::{GradientWeights, RowRole};
use crate::divergence::Soft;
use crate::elements::{Elements, ElementsMut};
use crate::value::RowLoss;

/// Student logits to read and gradient entries to write, of the same columns of one row.
#[derive(Debug)]
pub(super) enum Columns<'a> {
    /// The gradient goes to a buffer of its own, or nowhere.
    Apart { student: Elements<'a>, gradient: Option<ElementsMut<'a>> },
    /// The gradient overwrites the student's logits.
    InPlace(ElementsMut<'a>),
}

impl<'a> Columns<'a> {
    fn has_gradient(&self) -> bool {
        match self {
            Self::Apart { gradient, .. } => gradient.is_some(),
            Self::InPlace(_) => true,
        }
    }

    fn student(&self) -> Elements<'_> {
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

/// One row of a batch.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The columns that are classes.
    pub(super) columns: Columns<'a>,
    /// The teacher's logits of those columns, if it is read.
    pub(super) teacher: Option<Elements<'a>>,
    /// Columns of the gradient that are no classes.
    pub(super) padding: Option<ElementsMut<'a>>,
    pub(super) role: RowRole,
    /// Multiplies this row's gradient.
    pub(super) grad_scale: f64,
}

impl Row<'_> {
    fn weights(&self, settings: &Settings) -> GradientWeights {
        settings.call.gradient_weights(self.grad_scale, settings.denominators)
    }
}

/// Consecutive rows, one after another.
pub(super) struct Sweep<'a, 's> {
    settings: &'s Settings,
    /// What is kept of a row between its two passes, tile by tile.
    kept: StripBuffer,
    last_row: Option<LastRow<'a>>,
    outcomes: Vec<RowOutcome>,
}

impl<'a, 's> Sweep<'a, 's> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self { settings, kept: StripBuffer::default(), last_row: None, outcomes: Vec::new() }
    }

    /// Takes one more row: computes its terms, and writes the gradient of the row before.
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
        if self.last_row.as_ref().is_some_and(|last_row| last_row.recipe != recipe) {
            self.second_pass();
        }
        let summaries = self.first_pass(&row, recipe);
        let weights = row.weights(settings);
        let label = row.role.hard_label;
        let label_weight = weights.hard as f32;
        // Read before the gradient overwrites it.
        let label_logit = label.map(|label| row.columns.student().get(label));
        let joined = JoinedRow::new(&summaries, recipe, &settings.call, weights, label_logit);
        self.outcomes.push(joined.outcome);
        match joined.factors {
            None => row.columns.fill_gradient(f32::NAN),
            Some(factors) => {
                let gradient = row.columns.into_gradient();
                self.last_row = gradient.map(|gradient| LastRow { gradient, recipe, factors, label, label_weight });
            }
        }
        self
    }

    /// Writes the gradient of the last row.
    pub(super) fn finish(mut self) -> Vec<RowOutcome> {
        self.second_pass();
        self.outcomes
    }

    /// The first pass over a row, and the second over the last row, if there is one. Both have the same recipe.
    fn first_pass(&mut self, row: &Row<'a>, recipe: Recipe) -> Vec<Summary> {
        let settings = self.settings;
        let vocab = settings.call.vocab;
        let mut last_row = self.last_row.take();
        let keeps = last_row.is_some() || row.columns.has_gradient();
        let strip_count = if keeps { vocab.div_ceil(STRIP) * recipe.kept() } else { 0 };
        let mut kept = self.kept.resize(strip_count).chunks_mut(TILE / STRIP * recipe.kept());
        let mut gradients = last_row.as_mut().map(|last_row| last_row.tiles(settings));
        let student = row.columns.student();
        let teacher = row.teacher.unwrap_or(student);
        let visits = (0..vocab).step_by(TILE).map(|start| {
            let end = vocab.min(start + TILE);
            let logits = [student.slice(start, end), teacher.slice(start, end)];
            Visit { logits, kept: kept.next(), last_row: gradients.as_mut().and_then(Iterator::next) }
        });
        let visits: Vec<Visit<'_>> = visits.collect();
        let soft = settings.call.soft;
        let summaries: Vec<Vec<Summary>> = visits
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread.min(settings.tile_count()))
            .map(|visits| settings.instructions.run(FirstPass { visits, recipe, soft }))
            .collect();
        summaries.concat()
    }

    /// The second pass over the last row, if there is one.
    fn second_pass(&mut self) {
        let settings = self.settings;
        let Some(mut last_row) = self.last_row.take() else { return };
        let recipe = last_row.recipe;
        let strip_count = settings.call.vocab.div_ceil(STRIP) * recipe.kept();
        let kept = self.kept.resize(strip_count).chunks_mut(TILE / STRIP * recipe.kept());
        let tiles: Vec<(Gradient<'_>, &mut [Strip])> = last_row.tiles(settings).zip(kept).collect();
        tiles
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread.min(settings.tile_count()))
            .for_each(|tiles| settings.instructions.run(SecondPass { tiles, recipe }));
    }
}

/// The row before, whose gradient is still to be written.
#[derive(Debug)]
struct LastRow<'a> {
    gradient: ElementsMut<'a>,
    recipe: Recipe,
    /// The factors of each tile.
    factors: Vec<Factors>,
    label: Option<usize>,
    label_weight: f32,
}

impl LastRow<'_> {
    /// The gradient as tiles, which different threads may take.
    fn tiles(&mut self, settings: &Settings) -> impl Iterator<Item = Gradient<'_>> {
        let Self { gradient, factors, label, label_weight, .. } = self;
        gradient.reborrow().chunks(TILE).zip(factors.iter()).enumerate().map(|(index, (destination, &factors))| {
            let label = label.filter(|label| label / TILE == index).map(|label| (label % TILE, *label_weight));
            Gradient { destination, factors, label, store: settings.store }
        })
    }
}

/// A tile to be passed over.
struct Visit<'v> {
    /// Student and teacher; the student twice, if no teacher is read.
    logits: [Elements<'v>; 2],
    /// Where to keep what the gradient needs; `None` if nobody asks for it again.
    kept: Option<&'v mut [Strip]>,
    /// The last row's gradient, made of what was kept there.
    last_row: Option<Gradient<'v>>,
}

/// The first pass over consecutive tiles of a row. Writes the last row's gradient on its way.
struct FirstPass<'v> {
    visits: Vec<Visit<'v>>,
    recipe: Recipe,
    soft: Soft,
}

impl Task for FirstPass<'_> {
    type Output = Vec<Summary>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Summary> {
        let Self { visits, recipe, soft } = self;
        let summaries = by_recipe!(recipe, recipe => summaries(simd, recipe, soft, visits));
        // Whoever learns that the row is done may read the gradient.
        simd.fence();
        summaries
    }
}

#[inline(always)]
fn summaries<S: Simd>(simd: S, recipe: Recipe, soft: Soft, visits: Vec<Visit<'_>>) -> Vec<Summary> {
    let mut buffers: [StripBuffer; 2] = Default::default();
    let mut room = StripBuffer::default();
    let mut summaries = Vec::with_capacity(visits.len());
    for Visit { logits, kept, last_row } in visits {
        let kept = Kept::new(recipe, kept.unwrap_or_else(|| room.resize(TILE / STRIP * recipe.kept())));
        let pair = &Pair::sampled(simd, recipe, logits);
        let stream = match last_row {
            Some(gradient) => gradient.stream(simd, recipe, &kept),
            None => None,
        };
        let work = &mut Work { kept, stream };
        let summary = match summarise(simd, recipe, soft, pair, work) {
            Some(summary) => summary,
            None => simd.run(OddTile { recipe, soft, pair, buffers: &mut buffers, work }),
        };
        summaries.push(summary);
    }
    summaries
}

/// The second pass over tiles of a row: writes the gradient of what was kept.
struct SecondPass<'v> {
    tiles: Vec<(Gradient<'v>, &'v mut [Strip])>,
    recipe: Recipe,
}

impl Task for SecondPass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (gradient, kept) in self.tiles {
            let kept = &Kept::new(self.recipe, kept);
            by_recipe!(self.recipe, recipe => gradient.write(simd, recipe, kept));
        }
        simd.fence();
    }
}
