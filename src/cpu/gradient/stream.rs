//! The whole strips of a gradient on their way to memory.
//!
//! Stores alone would keep a core waiting. So the loop over a tile writes the last row's gradient, strip by strip, just before it
//! overwrites what that strip is made of: it computes while the stores drain.
//!
//! Past the caches, only whole cache lines go at full speed. What is kept begins at a cache line, but the gradient, which the caller
//! placed, hardly ever does. So each vector that is stored is joined of two neighbouring vectors of the gradient.

use super::kept::Kept;
use super::source::{Factors, Source};
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::element::Element;
use crate::cpu::simd::strips::STRIP;
use crate::cpu::simd::{Simd, Store, Vector};

/// The whole strips of a tile's gradient, still to be written.
pub(crate) struct Stream<'g, T> {
    /// Where they go. Begins at a cache line, if they go past the caches.
    pub(super) to: &'g mut [[T; STRIP]],
    /// Elements of the tile before them.
    pub(super) head: usize,
    pub(super) factors: Factors,
    /// The places among them of the label and the peak. Their entries are there already, and are to be there in the end.
    pub(super) own: [Option<usize>; 2],
    pub(super) store: Store,
}

impl<'g, T: Element> Stream<'g, T> {
    /// What writes the strips. `None` if there are none, or if they were taken before.
    #[inline(always)]
    fn take<S: Simd>(&mut self, simd: S) -> Option<StripWriter<'g, S, T>> {
        let to = std::mem::take(&mut self.to);
        if to.is_empty() {
            return None;
        }
        let own = self.own.map(|place| place.map(|place| (place, to.as_flattened()[place])));
        Some(StripWriter {
            to,
            // A stored vector ends in the vector of the gradient after the one in which it begins.
            next: 0usize.wrapping_sub(1 + self.head / S::V::LANES),
            last: simd.splat(0.0),
            shift: simd.shift(self.head % S::V::LANES),
            factors: self.factors,
            own,
            store: self.store,
        })
    }

    /// Writes all strips.
    #[inline(always)]
    pub(super) fn write<S: Simd>(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        if let Some(mut writer) = self.take(simd) {
            for index in 0..kept.strip_count() {
                writer.write_strip(simd, recipe, kept, index);
            }
            writer.finish(simd);
        }
    }
}

/// Writes the last row's gradient, if there is one, beside a loop over a tile.
pub(crate) struct LastRowWriter<'g, S: Simd>(Option<StripWriter<'g, S, f32>>);

impl<'g, S: Simd> LastRowWriter<'g, S> {
    /// Takes a stream, if there is one and if no loop took it before.
    #[inline(always)]
    pub(crate) fn take(simd: S, stream: &mut Option<Stream<'g, f32>>) -> Self {
        match stream {
            Some(stream) => Self(stream.take(simd)),
            None => Self(None),
        }
    }

    /// Writes what was kept of a strip, before the loop overwrites it.
    #[inline(always)]
    pub(crate) fn write_strip(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>, index: usize) {
        if let Some(writer) = &mut self.0 {
            writer.write_strip(simd, recipe, kept, index);
        }
    }

    /// Writes what is left, behind the loop.
    #[inline(always)]
    pub(crate) fn finish(self, simd: S) {
        if let Some(writer) = self.0 {
            writer.finish(simd);
        }
    }
}

/// Writes strips, given what was kept of each strip of the tile in turn.
struct StripWriter<'g, S: Simd, T> {
    to: &'g mut [[T; STRIP]],
    /// The number of the vector that is stored next. It wraps around: vectors before the beginning of `to` have the largest numbers.
    next: usize,
    /// The vector of the gradient before the one that comes next.
    last: S::V,
    shift: S::Shift,
    factors: Factors,
    /// The places of the label and the peak, and what belongs there.
    own: [Option<(usize, T)>; 2],
    store: Store,
}

impl<S: Simd, T: Element> StripWriter<'_, S, T> {
    /// Writes the vectors that end within strip number `index` of the tile. What was kept of that strip is not read again.
    #[inline(always)]
    fn write_strip(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>, index: usize) {
        let source = Source::of_strip(recipe, self.factors, kept, index);
        for index in 0..S::V::IN_STRIP {
            self.push(simd, source.vector(simd, index));
        }
    }

    /// Writes the vector that ends with the last strip, if there is one, and the entries of the label and the peak.
    #[inline(always)]
    fn finish(mut self, simd: S) {
        self.push(simd, simd.splat(0.0));
        for (place, entry) in self.own.into_iter().flatten() {
            self.to.as_flattened_mut()[place] = entry;
        }
    }

    #[inline(always)]
    fn push(&mut self, simd: S, vector: S::V) {
        let joined = simd.joined(self.last, vector, self.shift);
        if let Some(strip) = self.to.get_mut(self.next / S::V::IN_STRIP) {
            T::store(joined, strip, self.next % S::V::IN_STRIP, self.store);
        }
        self.next = self.next.wrapping_add(1);
        self.last = vector;
    }
}
