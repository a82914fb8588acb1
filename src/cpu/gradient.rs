//! The gradient of a tile, from what was kept of it.

use std::ops::Range;

use super::aligned::CACHE_LINE;
use super::element::Element;
use super::kept::Kept;
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Store, Task, Vector};
use super::stream::Stream;
use super::tile::Strip;
use crate::elements::ElementsMut;

/// Where the gradient of a tile goes, and what makes it of the kept numbers.
#[derive(Debug)]
pub(super) struct Gradient<'a> {
    pub(super) destination: ElementsMut<'a>,
    pub(super) factors: Factors,
    /// The label's place in the tile, and what is subtracted there.
    pub(super) label: Option<(usize, f32)>,
    pub(super) store: Store,
}

/// Factors of the kept numbers of one tile: weights, reduction, scale, and what makes the tile's sums the row's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Factors {
    /// Of `e^((s - m_s) / T)`.
    pub(super) student: f32,
    /// Of what [`Form`](super::tile::Form) says.
    pub(super) teacher: f32,
    /// Of `e^(s - m_s)`.
    pub(super) hard: f32,
}

impl<'a> Gradient<'a> {
    /// Writes what is not in whole strips, of which those that go past the caches begin at a cache line. Returns what is.
    #[inline(always)]
    pub(super) fn begin<S: Simd>(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) -> Stream<'a> {
        let len = self.destination.len();
        let head = self.head();
        let end = len - (len - head) % STRIP;
        self.write_few(simd, recipe, kept, head, end);
        let Self { destination, factors, label, store } = self;
        let to = destination.split_at(end).0.split_at(head).1;
        let place = label.and_then(|(place, _)| place.checked_sub(head)).filter(|&place| place < to.len());
        let label = place.map(|place| (place, to.as_logits().get(place)));
        Stream { to, head, factors, label, store }
    }

    /// Elements before the first cache line, if that matters.
    fn head(&self) -> usize {
        match self.store {
            Store::Cached => 0,
            Store::Streaming => elements_to_cache_line(&self.destination).min(self.destination.len()),
        }
    }

    /// Writes what lies before and behind a range, and the label's entry if it is in it.
    #[inline(always)]
    fn write_few<S: Simd>(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>, start: usize, end: usize) {
        let place = self.label.map(|(place, _)| place).filter(|place| (start..end).contains(place));
        let of_label = place.map_or(0..0, |place| place..place + 1);
        for range in [0..start, of_label, end..self.destination.len()] {
            if !range.is_empty() {
                simd.run(WriteFew { gradient: self, recipe, kept, range });
            }
        }
    }
}

/// Writes at most a strip, by way of one of its own. At both ends of a tile and at the label, and so compiled once for all recipes.
struct WriteFew<'w, 'a, 'k> {
    gradient: &'w mut Gradient<'a>,
    recipe: Recipe,
    kept: &'w Kept<'k>,
    range: Range<usize>,
}

impl Task for WriteFew<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { gradient: Gradient { destination, factors, label, .. }, recipe, kept, range } = self;
        // The last whole strip of what is kept may have to do: it holds them too.
        let start = range.start.min((kept.strips() - 1) * STRIP);
        let mut values: Strip = [0.0; STRIP];
        let source = Source::new(recipe, *factors, kept, start);
        for part in 0..STRIP / S::V::LANES {
            source.vector(simd, part).store(&mut values, part, Store::Cached);
        }
        if let Some((place, subtrahend)) = label.filter(|(place, _)| range.contains(place)) {
            values[place - start] -= subtrahend;
        }
        let within = range.start - start..range.end - start;
        match destination {
            ElementsMut::F32(to) => store_few(simd, &values, within, &mut to[range]),
            ElementsMut::F16(to) => store_few(simd, &values, within, &mut to[range]),
            ElementsMut::Bf16(to) => store_few(simd, &values, within, &mut to[range]),
        }
    }
}

fn elements_to_cache_line(destination: &ElementsMut<'_>) -> usize {
    match destination {
        ElementsMut::F32(to) => to.as_ptr().align_offset(CACHE_LINE),
        ElementsMut::F16(to) => to.as_ptr().align_offset(CACHE_LINE),
        ElementsMut::Bf16(to) => to.as_ptr().align_offset(CACHE_LINE),
    }
}

#[inline(always)]
fn store_few<S: Simd, T: Element>(simd: S, values: &Strip, within: Range<usize>, to: &mut [T]) {
    let mut stored = [T::ZERO; STRIP];
    for part in 0..STRIP / S::V::LANES {
        T::store(simd.load(values, part), &mut stored, part, Store::Cached);
    }
    to.copy_from_slice(&stored[within]);
}

/// The numbers that a recipe does not keep.
const NONE: Strip = [0.0; STRIP];

/// What a strip of the gradient is made of.
pub(super) struct Source<'k> {
    recipe: Recipe,
    factors: Factors,
    student: &'k Strip,
    teacher: &'k Strip,
    hard: &'k Strip,
}

impl<'k> Source<'k> {
    /// What is kept of a strip.
    #[inline(always)]
    pub(super) fn of_strip(recipe: Recipe, factors: Factors, kept: &'k Kept<'_>, index: usize) -> Self {
        let strip = |plane: &'k [Strip]| plane.get(index).unwrap_or(&NONE);
        Self { recipe, factors, student: strip(kept.student), teacher: strip(kept.teacher), hard: strip(kept.hard) }
    }

    /// What is kept of the strip that begins at an element of the tile.
    #[inline(always)]
    fn new(recipe: Recipe, factors: Factors, kept: &'k Kept<'_>, start: usize) -> Self {
        let strip = |plane: &'k [Strip], is_used: bool| match is_used {
            true => plane.as_flattened()[start..].first_chunk().unwrap_or(&NONE),
            false => &NONE,
        };
        Self {
            recipe,
            factors,
            student: strip(kept.student, recipe.has_soft()),
            teacher: strip(kept.teacher, recipe.has_soft()),
            hard: strip(kept.hard, recipe.has_own_exponential()),
        }
    }

    /// One vector of the gradient.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(&self, simd: S, part: usize) -> S::V {
        let Self { recipe, factors, .. } = *self;
        let hard = simd.splat(factors.hard);
        if recipe == Recipe::Hard {
            return simd.load(self.hard, part) * hard;
        }
        let first = simd.load(self.student, part);
        let student = simd.splat(factors.student);
        let student = match recipe {
            Recipe::SameExponential => student + hard,
            Recipe::Square => first.mul_add(hard, student),
            Recipe::FourthPower => (first * first * first).mul_add(hard, student),
            _ => student,
        };
        let teacher = simd.load(self.teacher, part) * simd.splat(factors.teacher);
        let soft = first.mul_add(student, teacher);
        match recipe {
            Recipe::OwnExponential => simd.load(self.hard, part).mul_add(hard, soft),
            _ => soft,
        }
    }
}
