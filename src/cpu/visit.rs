//! What one thread does with consecutive tiles of a row: while it begins them, it writes the last row's gradient of each.

use super::ahead::Ahead;
use super::aligned::Strips;
use super::gradient::Gradient;
use super::kept::Kept;
use super::load::{Load, Loaded, TileBuffer};
use super::recipe::{Recipe, by_recipe};
use super::simd::{STRIP, Simd, Task};
use super::tile::{Pair, Strip, Summary, TILE, Work, summarise};
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
            by_recipe!(self.recipe, recipe => gradient.write(simd, recipe, &kept));
        }
        simd.fence();
    }
}

#[inline(always)]
fn begin<S: Simd>(simd: S, recipe: Recipe, temperature: Temperature, visits: Vec<Visit<'_>>) -> Vec<Summary> {
    let mut buffers: [TileBuffer; 2] = Default::default();
    let mut room = Strips::default();
    let scale = temperature.exponent_scale.max(LOG2_E);
    let mut summaries = Vec::with_capacity(visits.len());
    for Visit { logits: [student, teacher], kept, previous } in visits {
        let mut ahead = Ahead::behind([student, teacher]);
        let memory = kept.unwrap_or_else(|| room.resize(TILE / STRIP * recipe.kept()));
        if previous.is_some() {
            ahead = ahead.and_kept_behind(recipe, memory);
        }
        let kept = Kept::new(recipe, memory);
        let [student_buffer, teacher_buffer] = &mut buffers;
        // Used where they were written: a copy of what was written a moment ago waits for all stores before it.
        let loaded_student = simd.run(Load { logits: student, scale, buffer: student_buffer });
        let loaded_teacher;
        let pair = match recipe.has_soft() {
            true => {
                loaded_teacher = simd.run(Load { logits: teacher, scale, buffer: teacher_buffer });
                Pair { student: &loaded_student, teacher: &loaded_teacher }
            }
            false => Pair { student: &loaded_student, teacher: &loaded_student },
        };
        let stream = match previous {
            // There is arithmetic enough for stores to drain beside.
            Some(gradient) if recipe.has_soft() => gradient.begin(simd, recipe, &kept),
            Some(gradient) => {
                gradient.write(simd, recipe, &kept);
                None
            }
            None => None,
        };
        let mut work = Work { kept, stream, ahead };
        let mut summary = summarise(simd, recipe, temperature, pair, &mut work);
        if summary.is_nan() {
            work.stream = None;
            let [student_buffer, teacher_buffer] = &mut buffers;
            let student = Loaded::cleaned(student, student_buffer);
            let teacher = if recipe.has_soft() { Loaded::cleaned(teacher, teacher_buffer) } else { student };
            let pair = Pair { student: &student, teacher: &teacher };
            summary = summarise(simd, recipe, temperature, pair, &mut work);
        }
        summaries.push(summary);
    }
    summaries
}
