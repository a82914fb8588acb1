//! What one thread does with consecutive tiles of a row: while it begins them, it writes the last row's gradient of each.

use super::aligned::Strips;
use super::gradient::Gradient;
use super::kept::Kept;
use super::recipe::{Recipe, by_recipe};
use super::relative::TileBuffer;
use super::simd::{STRIP, Simd, Task};
use super::tile::{Carefully, Pair, Strip, Summary, TILE, Work, summarise};
use crate::divergence::Soft;
use crate::elements::Elements;

/// A tile to begin.
pub(super) struct Visit<'v> {
    /// Student and teacher; the student twice, where no teacher is read.
    pub(super) logits: [Elements<'v>; 2],
    /// Where what is kept stays; `None` if nobody asks for it again.
    pub(super) kept: Option<&'v mut [Strip]>,
    /// What is to be written first, of what was kept there.
    pub(super) previous: Option<Gradient<'v>>,
}

/// Begins tiles.
pub(super) struct Begin<'v> {
    pub(super) visits: Vec<Visit<'v>>,
    pub(super) recipe: Recipe,
    pub(super) soft: Soft,
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
        let summaries = by_recipe!(self.recipe, recipe => begin(simd, recipe, self.soft, self.visits));
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
            by_recipe!(self.recipe, recipe => gradient.begin(simd, recipe, &kept).write(simd, recipe, &kept));
        }
        simd.fence();
    }
}

#[inline(always)]
fn begin<S: Simd>(simd: S, recipe: Recipe, soft: Soft, visits: Vec<Visit<'_>>) -> Vec<Summary> {
    let mut buffers: [TileBuffer; 2] = Default::default();
    let mut room = Strips::default();
    let mut summaries = Vec::with_capacity(visits.len());
    for Visit { logits, kept, previous } in visits {
        let kept = Kept::new(recipe, kept.unwrap_or_else(|| room.resize(TILE / STRIP * recipe.kept())));
        let pair = Pair::sampled(simd, recipe, logits);
        let stream = match previous {
            Some(gradient) => gradient.begin(simd, recipe, &kept).or_write(simd, recipe, &kept),
            None => None,
        };
        let mut work = Work { kept, stream };
        let summary = match summarise(simd, recipe, soft, &pair, &mut work) {
            Some(summary) => summary,
            None => simd.run(Carefully { recipe, soft, pair: &pair, buffers: &mut buffers, work: &mut work }),
        };
        summaries.push(summary);
    }
    summaries
}
