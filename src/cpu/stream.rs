//! A gradient on its way to memory, in the loop that overwrites what it is made of: the loop computes, and the stores drain beside
//! it, which by themselves would keep a core waiting.
//!
//! Past the caches, only whole cache lines go at full speed. What is kept begins at a line, the gradient hardly ever does. So what
//! is kept is read line by line, and each line of the gradient joined of two neighbours.

use super::element::Element;
use super::gradient::{Factors, Source};
use super::kept::Kept;
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Store, Vector};
use crate::elements::ElementsMut;

/// The whole strips of a tile's gradient, still to be written.
pub(super) struct Stream<'a> {
    /// From a cache line on, if that matters.
    pub(super) to: ElementsMut<'a>,
    /// Elements of the tile before.
    pub(super) head: usize,
    pub(super) factors: Factors,
    /// The label's place, and what belongs there.
    pub(super) label: Option<(usize, f32)>,
    pub(super) store: Store,
}

/// Where the next vector goes.
pub(super) struct Lines<'l, S: Simd, T> {
    to: &'l mut [[T; STRIP]],
    next: usize,
    last: S::V,
    shift: S::Shift,
    factors: Factors,
    store: Store,
}

impl<'a> Stream<'a> {
    /// Returns what can be written beside arithmetic; writes what is not `f32`, which gains nothing there.
    #[inline(always)]
    pub(super) fn or_write<S: Simd>(self, simd: S, recipe: Recipe, kept: &Kept<'_>) -> Option<Self> {
        match self.to {
            ElementsMut::F32(_) => Some(self),
            _ => {
                self.write(simd, recipe, kept);
                None
            }
        }
    }

    /// Writes all.
    #[inline(always)]
    pub(super) fn write<S: Simd>(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        let Self { head, factors, store, .. } = self;
        match &mut self.to {
            ElementsMut::F32(to) => Lines::new(simd, to, head, factors, store).write(simd, recipe, kept),
            ElementsMut::F16(to) => Lines::new(simd, to, head, factors, store).write(simd, recipe, kept),
            ElementsMut::Bf16(to) => Lines::new(simd, to, head, factors, store).write(simd, recipe, kept),
        }
        self.write_label();
    }

    /// The lines of `f32`, none if they are not.
    #[inline(always)]
    pub(super) fn lines<S: Simd>(&mut self, simd: S) -> Option<Lines<'_, S, f32>> {
        match &mut self.to {
            ElementsMut::F32(to) => Some(Lines::new(simd, to, self.head, self.factors, self.store)),
            _ => None,
        }
    }

    /// Writes the label's entry, when all lines are written.
    pub(super) fn write_label(self) {
        if let Some((place, value)) = self.label {
            self.to.split_at(place).1.split_at(1).0.fill(value);
        }
    }
}

impl<'l, S: Simd, T: Element> Lines<'l, S, T> {
    #[inline(always)]
    fn new(simd: S, to: &'l mut [T], head: usize, factors: Factors, store: Store) -> Self {
        Self {
            to: to.as_chunks_mut().0,
            // A line ends in the vector after that in which it begins.
            next: 0usize.wrapping_sub(1 + head / S::V::LANES),
            last: simd.splat(0.0),
            shift: simd.shift(head % S::V::LANES),
            factors,
            store,
        }
    }

    #[inline(always)]
    fn write(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        for index in 0..kept.strips() {
            self.write_strip(simd, recipe, kept, index);
        }
        self.finish(simd);
    }

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
        let in_strip = STRIP / S::V::LANES;
        let line = simd.joined(self.last, vector, self.shift);
        if let Some(strip) = self.to.get_mut(self.next / in_strip) {
            T::store(line, strip, self.next % in_strip, self.store);
        }
        self.next = self.next.wrapping_add(1);
        self.last = vector;
    }
}
