//! A gradient of `f32` on its way past the caches, in the loop that overwrites what it is made of: the loop computes, and the
//! stores drain beside it, which by themselves would keep a core waiting.
//!
//! Only whole cache lines go past the caches at full speed. What is kept begins at a line, the gradient hardly ever does. So
//! what is kept is read line by line, and each line of the gradient joined of two neighbours.

use super::gradient::{Factors, Source};
use super::kept::Kept;
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Vector};

/// The whole lines of a tile's gradient, still to be written.
pub(super) struct Stream<'a> {
    /// From a cache line on.
    pub(super) to: &'a mut [f32],
    /// Elements of the tile before.
    pub(super) head: usize,
    pub(super) factors: Factors,
    /// The label's place, and what belongs there.
    pub(super) label: Option<(usize, f32)>,
}

/// Where the next line goes.
pub(super) struct Lines<'l, S: Simd> {
    lines: &'l mut [<S::V as Vector>::Lanes],
    next: usize,
    last: S::V,
    shift: S::Shift,
    factors: Factors,
}

impl Stream<'_> {
    #[inline(always)]
    pub(super) fn lines<S: Simd>(&mut self, simd: S) -> Lines<'_, S> {
        let (skipped, shift) = (self.head / S::V::LANES, self.head % S::V::LANES);
        Lines {
            lines: S::lines_mut(self.to),
            // A line ends in the vector after that in which it begins.
            next: 0usize.wrapping_sub(1 + skipped),
            last: simd.splat(0.0),
            shift: simd.shift(shift),
            factors: self.factors,
        }
    }

    /// Writes the label's entry, when all lines are written.
    pub(super) fn write_label(&mut self) {
        if let Some((place, value)) = self.label {
            self.to[place] = value;
        }
    }
}

impl<S: Simd> Lines<'_, S> {
    /// Writes what can be written of a strip, which is no longer read.
    #[inline(always)]
    pub(super) fn write_strip(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>, index: usize) {
        let source = Source::of_strip(recipe, self.factors, kept, index);
        for part in 0..STRIP / S::V::LANES {
            self.push(simd, source.vector(simd, part));
        }
    }

    /// Writes the line that ends at the last strip's end, if one does.
    #[inline(always)]
    pub(super) fn finish(mut self, simd: S) {
        self.push(simd, simd.splat(0.0));
    }

    #[inline(always)]
    fn push(&mut self, simd: S, vector: S::V) {
        let line = simd.joined(self.last, vector, self.shift);
        if let Some(lanes) = self.lines.get_mut(self.next) {
            line.stream_lanes(lanes);
        }
        self.next = self.next.wrapping_add(1);
        self.last = vector;
    }
}
