//! Consecutive rows on their way through the loops.
//!
//! Each row is passed over twice: the first pass takes exponentials and adds them up, the second writes the gradient. The second
//! pass of a row goes along with the first pass of the next.
//!
//! Tiles begin at fixed multiples of [`TILE`] and are joined in their order, and nothing of one row enters another. So a row's bits
//! depend on that row alone, whichever threads took its tiles or the rows beside it.

use std::slice::ChunksMut;

use rayon::prelude::*;

use super::gradient::Gradient;
use super::gradient::kept::Kept;
use super::gradient::source::Factors;
use super::join::{JoinedRow, RowOutcome};
use super::peak::{Peak, WholeRow};
use super::recipe::{Recipe, by_recipe};
use super::settings::Settings;
use super::simd::strips::{STRIP, Strip, StripBuffer};
use super::simd::{Simd, Task};
use super::tile::logits::Pair;
use super::tile::others::Others;
use super::tile::summarise::{OddTile, Summary, summarise};
use super::tile::{TILE, Work};
use crate::call::{GradientWeights, RowRole};
use crate::divergence::Soft;
use crate::elements::{Elements, ElementsMut};
use crate::row_part::{Place, RowPart};
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

/// Consecutive rows, one after another. What a row needs for itself is kept for the next: no memory is asked for row by row.
pub(super) struct Sweep<'a, 's> {
    settings: &'s Settings,
    /// What is kept of a row between its two passes, tile by tile.
    kept: StripBuffer,
    last_row: Option<LastRow<'a>>,
    /// Of each tile of the last row.
    factors: Vec<Factors>,
    /// Of each tile of the row that is being taken.
    summaries: Vec<Summary>,
    /// What each of these tiles is to its row.
    places: Vec<Place>,
    room: Room,
    outcomes: Vec<RowOutcome>,
}

impl<'a, 's> Sweep<'a, 's> {
    pub(super) fn new(settings: &'s Settings) -> Self {
        Self {
            settings,
            kept: StripBuffer::default(),
            last_row: None,
            factors: Vec::new(),
            summaries: Vec::new(),
            places: Vec::new(),
            room: Room::default(),
            outcomes: Vec::new(),
        }
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
        self.first_pass(&row, recipe);
        // Read before the gradient overwrites it.
        let label_logit = row.role.hard_label.map(|label| row.columns.student().get(label));
        let joined = JoinedRow::new(&self.summaries, &mut self.places, recipe, &settings.call, label_logit);
        self.outcomes.push(joined.outcome);
        if joined.outcome.nonfinite {
            row.columns.fill_gradient(f32::NAN);
        } else if row.columns.has_gradient() {
            self.last_row = self.prepared(row, recipe, &joined.whole);
        }
        self
    }

    /// Writes the gradient of the last row.
    pub(super) fn finish(mut self) -> Vec<RowOutcome> {
        self.second_pass();
        self.outcomes
    }

    /// Prepares the second pass over a row whose tiles are joined.
    fn prepared(&mut self, row: Row<'a>, recipe: Recipe, whole: &RowPart) -> Option<LastRow<'a>> {
        let weights = row.weights(self.settings);
        let tiles = self.summaries.iter().zip(&self.places);
        self.factors.clear();
        self.factors.extend(tiles.map(|(tile, place)| tile.factors(place, whole, weights, recipe)));
        let peak = self.peak(&row, recipe, whole, weights);
        let is_peak = |class: usize| peak.is_some_and(|(peak, _)| peak == class);
        let label = row.role.hard_label.filter(|&label| !is_peak(label)).map(|label| (label, weights.hard as f32));
        Some(LastRow { gradient: row.columns.into_gradient()?, recipe, label, peak })
    }

    /// The row's largest class and its entry, if that takes a way of its own.
    fn peak(
        &mut self,
        row: &Row<'_>,
        recipe: Recipe,
        whole: &RowPart,
        weights: GradientWeights,
    ) -> Option<(usize, f32)> {
        let Self { settings, summaries, places, kept, .. } = self;
        let whole_row = WholeRow { whole, tiles: summaries, places, recipe, label: row.role.hard_label };
        let student = row.columns.student();
        let peak = Peak::of(&whole_row, &settings.call.soft, student, row.teacher.unwrap_or(student))?;
        let kept = Kept::new(recipe, kept_tiles(kept, settings, recipe).nth(peak.tile())?);
        let others = Others { recipe, kept, place: peak.class % TILE };
        let (of_class, of_others) = settings.instructions.run(others);
        Some((peak.class, peak.entry(&whole_row, weights, of_class, of_others)))
    }

    /// The first pass over a row, and the second over the last row, if there is one. Both have the same recipe.
    fn first_pass(&mut self, row: &Row<'a>, recipe: Recipe) {
        let Self { settings, kept, factors, summaries, room, .. } = self;
        let (vocab, soft) = (settings.call.vocab, settings.call.soft);
        let mut last_row = self.last_row.take();
        let keeps = last_row.is_some() || row.columns.has_gradient();
        let mut kept = keeps.then(|| kept_tiles(kept, settings, recipe));
        let mut gradients = last_row.as_mut().map(|last_row| last_row.tiles(factors, settings));
        let student = row.columns.student();
        let teacher = row.teacher.unwrap_or(student);
        let mut visits = (0..vocab).step_by(TILE).map(|start| {
            let end = vocab.min(start + TILE);
            let logits = [student.slice(start, end), teacher.slice(start, end)];
            let kept = kept.as_mut().and_then(Iterator::next);
            Visit { logits, kept, last_row: gradients.as_mut().and_then(Iterator::next) }
        });
        summaries.clear();
        if settings.tiles_of_a_thread >= settings.tile_count() {
            settings.instructions.run(FirstPass { visits: &mut visits, recipe, soft, room, summaries });
            return;
        }
        let visits: Vec<Visit<'_>> = visits.collect();
        let of_threads: Vec<Vec<Summary>> = visits
            .into_par_iter()
            .chunks(settings.tiles_of_a_thread)
            .map(|visits| {
                let (mut room, mut summaries) = (Room::default(), Vec::with_capacity(visits.len()));
                let visits = &mut visits.into_iter();
                let (room, summaries_of_thread) = (&mut room, &mut summaries);
                settings.instructions.run(FirstPass { visits, recipe, soft, room, summaries: summaries_of_thread });
                summaries
            })
            .collect();
        summaries.extend(of_threads.into_iter().flatten());
    }

    /// The second pass over the last row, if there is one.
    fn second_pass(&mut self) {
        let Self { settings, kept, factors, .. } = self;
        let Some(mut last_row) = self.last_row.take() else { return };
        let recipe = last_row.recipe;
        let kept = kept_tiles(kept, settings, recipe);
        let mut tiles = last_row.tiles(factors, settings).zip(kept);
        if settings.tiles_of_a_thread >= settings.tile_count() {
            settings.instructions.run(SecondPass { tiles: &mut tiles, recipe });
            return;
        }
        let tiles: Vec<(Gradient<'_>, &mut [Strip])> = tiles.collect();
        tiles.into_par_iter().chunks(settings.tiles_of_a_thread).for_each(|tiles| {
            settings.instructions.run(SecondPass { tiles: &mut tiles.into_iter(), recipe });
        });
    }
}

/// What is kept of a row, tile by tile.
fn kept_tiles<'k>(kept: &'k mut StripBuffer, settings: &Settings, recipe: Recipe) -> ChunksMut<'k, Strip> {
    let strip_count = settings.call.vocab.div_ceil(STRIP) * recipe.kept();
    kept.resize(strip_count).chunks_mut(TILE / STRIP * recipe.kept())
}

/// The row before, whose gradient is still to be written.
#[derive(Debug)]
struct LastRow<'a> {
    gradient: ElementsMut<'a>,
    recipe: Recipe,
    /// The label, and what is subtracted there.
    label: Option<(usize, f32)>,
    /// The class whose entry is known already, and that entry.
    peak: Option<(usize, f32)>,
}

impl LastRow<'_> {
    /// The gradient as tiles, which different threads may take, with the factors of each.
    fn tiles<'t>(&'t mut self, factors: &'t [Factors], settings: &Settings) -> impl Iterator<Item = Gradient<'t>> {
        let (label, peak, store) = (self.label, self.peak, settings.store);
        let tiles = self.gradient.reborrow().chunks(TILE).zip(factors).enumerate();
        tiles.map(move |(index, (destination, &factors))| {
            let [label, peak] = [label, peak].map(|entry| {
                entry.filter(|(class, _)| class / TILE == index).map(|(class, number)| (class % TILE, number))
            });
            Gradient { destination, factors, label, peak, store }
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

/// Room that a thread needs beside what is kept.
#[derive(Debug, Default)]
struct Room {
    /// For the logits of a tile, sanitised: student and teacher.
    logits: [StripBuffer; 2],
    /// For what is kept of a tile if nobody asks for it again.
    kept: StripBuffer,
}

/// The first pass over consecutive tiles of a row. Adds a summary of each. Writes the last row's gradient on its way.
struct FirstPass<'v, 'w> {
    visits: &'w mut dyn Iterator<Item = Visit<'v>>,
    recipe: Recipe,
    soft: Soft,
    room: &'w mut Room,
    summaries: &'w mut Vec<Summary>,
}

impl Task for FirstPass<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        by_recipe!(self.recipe, recipe => self.summarise_all(simd, recipe));
        // Whoever learns that the row is done may read the gradient.
        simd.fence();
    }
}

impl FirstPass<'_, '_> {
    #[inline(always)]
    fn summarise_all<S: Simd>(self, simd: S, recipe: Recipe) {
        let Self { visits, soft, room, summaries, .. } = self;
        for Visit { logits, kept, last_row } in visits {
            let kept = Kept::new(recipe, kept.unwrap_or_else(|| room.kept.resize(TILE / STRIP * recipe.kept())));
            let pair = &Pair::sampled(simd, recipe, logits);
            let stream = match last_row {
                Some(gradient) => gradient.stream(simd, recipe, &kept),
                None => None,
            };
            let work = &mut Work { kept, stream };
            let summary = match summarise(simd, recipe, soft, pair, work) {
                Some(summary) => summary,
                None => simd.run(OddTile { recipe, soft, pair, buffers: &mut room.logits, work }),
            };
            summaries.push(summary);
        }
    }
}

/// The second pass over tiles of a row: writes the gradient of what was kept.
struct SecondPass<'v, 'w> {
    tiles: &'w mut dyn Iterator<Item = (Gradient<'v>, &'v mut [Strip])>,
    recipe: Recipe,
}

impl Task for SecondPass<'_, '_> {
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
