//! The gradient of a tile, made of what was kept of it.
//!
//! | file | holds |
//! |---|---|
//! | [`kept`] | what is kept of each element |
//! | [`source`] | how that becomes the gradient |
//! | [`stream`] | how whole strips of it reach memory |
//! | this one | which strips are whole, and what is left at both ends |

pub(crate) mod kept;
pub(crate) mod source;
pub(crate) mod stream;

use std::ops::Range;

use crate::cpu::recipe::Recipe;
use crate::cpu::simd::element::Element;
use crate::cpu::simd::strips::{CACHE_LINE, STRIP, Strip};
use crate::cpu::simd::{Simd, Store, Task, Vector};
use crate::elements::ElementsMut;
use kept::Kept;
use source::{Factors, Source};
use stream::Stream;

/// Where the gradient of a tile goes, and what makes it of the numbers that were kept.
#[derive(Debug)]
pub(crate) struct Gradient<'g> {
    pub(crate) destination: ElementsMut<'g>,
    pub(crate) factors: Factors,
    /// The label's place in the tile, and what is subtracted there.
    pub(crate) label: Option<(usize, f32)>,
    /// The place in the tile of the class whose entry is known already, and that entry.
    pub(crate) peak: Option<(usize, f32)>,
    pub(crate) store: Store,
}

impl<'g> Gradient<'g> {
    /// Writes the gradient.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        if let Some(stream) = self.stream(simd, recipe, kept) {
            stream.write(simd, recipe, kept);
        }
    }

    /// Writes what gains nothing from arithmetic beside it: what is not in whole strips, and everything that is not `f32`. Returns
    /// the rest.
    #[inline(always)]
    pub(crate) fn stream<S: Simd>(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) -> Option<Stream<'g, f32>> {
        let len = self.destination.len();
        let head = self.head();
        let whole = head..len - (len - head) % STRIP;
        self.write_edges(simd, recipe, kept, &whole);
        let Self { destination, factors, label, peak, store } = self;
        let own = [label, peak].map(|entry| match entry {
            Some((place, _)) if whole.contains(&place) => Some(place - head),
            _ => None,
        });
        match destination {
            ElementsMut::F32(to) => Some(Stream { to: strips(to, whole), head, factors, own, store }),
            ElementsMut::F16(to) => {
                Stream { to: strips(to, whole), head, factors, own, store }.write(simd, recipe, kept);
                None
            }
            ElementsMut::Bf16(to) => {
                Stream { to: strips(to, whole), head, factors, own, store }.write(simd, recipe, kept);
                None
            }
        }
    }

    /// Elements before the first whole strip: past the caches, that begins at a cache line.
    fn head(&self) -> usize {
        match self.store {
            Store::Cached => 0,
            Store::Streaming => elements_to_cache_line(&self.destination).min(self.destination.len()),
        }
    }

    /// Writes what lies before and behind the whole strips, and the entries of the label and the peak if they lie in them.
    #[inline(always)]
    fn write_edges<S: Simd>(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>, whole: &Range<usize>) {
        let [label, peak] = [self.label, self.peak].map(|entry| match entry {
            Some((place, _)) if whole.contains(&place) => place..place + 1,
            _ => 0..0,
        });
        for range in [0..whole.start, label, peak, whole.end..self.destination.len()] {
            if !range.is_empty() {
                simd.run(Edge { gradient: self, recipe, kept, range });
            }
        }
    }
}

fn strips<T>(to: &mut [T], whole: Range<usize>) -> &mut [[T; STRIP]] {
    to[whole].as_chunks_mut().0
}

fn elements_to_cache_line(destination: &ElementsMut<'_>) -> usize {
    match destination {
        ElementsMut::F32(to) => to.as_ptr().align_offset(CACHE_LINE),
        ElementsMut::F16(to) => to.as_ptr().align_offset(CACHE_LINE),
        ElementsMut::Bf16(to) => to.as_ptr().align_offset(CACHE_LINE),
    }
}

/// At most [`STRIP`] entries of a gradient, at either end of a tile, at the label or at the peak. A tile has few of them, so the code that writes
/// them is compiled once for all recipes.
struct Edge<'w, 'g, 'k> {
    gradient: &'w mut Gradient<'g>,
    recipe: Recipe,
    kept: &'w Kept<'k>,
    /// Which entries of the tile.
    range: Range<usize>,
}

impl Task for Edge<'_, '_, '_> {
    type Output = ();

    /// Computes a whole strip that holds the entries, and copies them out of it.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { gradient: Gradient { destination, factors, label, peak, .. }, recipe, kept, range } = self;
        // From the first entry on; from further before, if what is kept would end within that strip.
        let start = range.start.min((kept.strip_count() - 1) * STRIP);
        let mut values: Strip = [0.0; STRIP];
        let source = Source::of_elements(recipe, *factors, kept, start);
        for index in 0..S::V::IN_STRIP {
            source.vector(simd, index).store(&mut values, index, Store::Cached);
        }
        if let Some((place, subtrahend)) = label.filter(|(place, _)| range.contains(place)) {
            values[place - start] -= subtrahend;
        }
        if let Some((place, entry)) = peak.filter(|(place, _)| range.contains(place)) {
            values[place - start] = entry;
        }
        let within = range.start - start..range.end - start;
        match destination {
            ElementsMut::F32(to) => copy(simd, &values, within, &mut to[range]),
            ElementsMut::F16(to) => copy(simd, &values, within, &mut to[range]),
            ElementsMut::Bf16(to) => copy(simd, &values, within, &mut to[range]),
        }
    }
}

/// Copies some values of a strip, rounded to the storage type.
#[inline(always)]
fn copy<S: Simd, T: Element>(simd: S, values: &Strip, within: Range<usize>, to: &mut [T]) {
    let mut rounded = [T::ZERO; STRIP];
    for index in 0..S::V::IN_STRIP {
        T::store(simd.load(values, index), &mut rounded, index, Store::Cached);
    }
    to.copy_from_slice(&rounded[within]);
}
