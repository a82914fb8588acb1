//! What one thread does with consecutive tiles of a row: while it begins them, it writes the last row's gradient of each.
//!
//! A tile's exponentials need its largest logits, and its comparison the logarithm of its sums: numbers that come late, at the end
//! of a chain of instructions. So the next tile is loaded before this one is compared: a processor that looks ahead finds other
//! work there.

use super::ahead::Ahead;
use super::aligned::Strips;
use super::gradient::Gradient;
use super::kept::Kept;
use super::load::{Load, Loaded, TileBuffer};
use super::recipe::{Recipe, by_recipe};
use super::simd::{STRIP, Simd, Task};
use super::tile::{Compare, Pair, Strip, Summary, TILE, Work, is_nan, statistics};
use crate::logits::Logits;
use crate::math::LOG2_E;
use crate::row_stats::Temperature;

/// A tile to begin.
pub(super) struct Visit<'v> {
    /// Student and teacher; the student twice, where no teacher is read.
    pub(super) logits: [Logits<'v>; 2],
    /// Where what is kept stays; `None` if nobody asks for it again.
    pub(super) kept: Option<&'v mut [Strip]>,
    /// What is to be written first, of what was kept there.
    pub(super) previous: Option<Gradient<'v>>,
}

/// Begins tiles.
pub(super) struct Begin<'v> {
    pub(super) visits: Vec<Visit<'v>>,
    pub(super) recipe: Recipe,
    pub(super) temperature: Temperature,
}

/// Writes the gradient of tiles, of what was kept of each.
pub(super) struct Write<'v> {
    pub(super) tiles: Vec<(Gradient<'v>, &'v mut [Strip])>,
    pub(super) recipe: Recipe,
}

impl Task for Begin<'_> {
    type Output = Vec<Summary>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Summary> {
        let summaries = by_recipe!(self.recipe, recipe => begin(simd, recipe, self.temperature, self.visits));
        // Whoever learns that the row is done may read the gradient.
        simd.fence();
        summaries
    }
}

impl Task for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (gradient, kept) in self.tiles {
            let kept = Kept::new(self.recipe, kept);
            by_recipe!(self.recipe, recipe => gradient.begin(simd, recipe, &kept).write_all(simd, recipe, &kept));
        }
        simd.fence();
    }
}

#[inline(always)]
fn begin<S: Simd>(simd: S, recipe: Recipe, temperature: Temperature, visits: Vec<Visit<'_>>) -> Vec<Summary> {
    let mut buffers = LogitsBuffers::default();
    let (mut distances, mut room) = (Strips::default(), Strips::default());
    let scale = temperature.exponent_scale.max(LOG2_E);
    let mut summaries = Vec::with_capacity(visits.len());
    let mut ahead = visits.first().map_or(Ahead::NOWHERE, |visit| Ahead::behind(visit.logits));
    let mut visits = visits.into_iter().peekable();
    let mut pair = visits.peek().map(|visit| buffers.load(simd, recipe, visit.logits, scale));
    while let (Some(visit), Some(mut tile)) = (visits.next(), pair) {
        let Visit { logits, kept, previous } = visit;
        let kept = Kept::new(recipe, kept.unwrap_or_else(|| room.resize(TILE / STRIP * recipe.kept())));
        let previous = previous.map(|gradient| gradient.begin(simd, recipe, &kept));
        let mut work = Work { kept, distances: distances.resize(TILE / STRIP), previous, ahead };
        let stats = loop {
            let stats = statistics(simd, recipe, temperature, tile, &mut work);
            if !is_nan(&stats) {
                break stats;
            }
            // What was kept is the last row's no more.
            work.previous = None;
            tile = buffers.clean(recipe, logits);
        };
        pair = visits.peek().map(|next| {
            work.ahead = Ahead::behind(next.logits);
            buffers.load(simd, recipe, next.logits, scale)
        });
        let strips = logits[0].len().div_ceil(STRIP);
        summaries.push(match recipe.has_soft() {
            true => simd.run(Compare { temperature, stats, strips, work: &mut work }),
            false => Summary::of_hard_term(stats),
        });
        ahead = work.ahead;
    }
    summaries
}

/// Room for a tile of student and teacher.
#[derive(Default)]
struct LogitsBuffers {
    student: TileBuffer,
    teacher: TileBuffer,
}

impl LogitsBuffers {
    fn load<'b, S: Simd>(
        &'b mut self,
        simd: S,
        recipe: Recipe,
        [student, teacher]: [Logits<'b>; 2],
        scale: f32,
    ) -> Pair<'b> {
        let student = simd.run(Load { logits: student, scale, buffer: &mut self.student });
        let teacher = match recipe.has_soft() {
            true => simd.run(Load { logits: teacher, scale, buffer: &mut self.teacher }),
            false => student,
        };
        Pair { student, teacher }
    }

    /// As [`load`](Self::load), whatever the logits are.
    fn clean<'b>(&'b mut self, recipe: Recipe, [student, teacher]: [Logits<'b>; 2]) -> Pair<'b> {
        let student = Loaded::cleaned(student, &mut self.student);
        let teacher = if recipe.has_soft() { Loaded::cleaned(teacher, &mut self.teacher) } else { student };
        Pair { student, teacher }
    }
}
