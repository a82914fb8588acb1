//! The gradient of a tile, from what was kept of it.

use std::ops::Range;

use super::element::Element;
use super::kept::Kept;
use super::recipe::Recipe;
use super::simd::{STRIP, Simd, Store, Vector};
use super::tile::Strip;
use crate::logits::LogitsMut;

/// Where the gradient of a tile goes, and what makes it of the kept numbers.
#[derive(Debug)]
pub(super) struct Gradient<'a> {
    pub(super) destination: LogitsMut<'a>,
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

impl Gradient<'_> {
    /// Writes the strips that need care: the one that holds the label, and the one that the row ends in.
    #[inline(always)]
    pub(super) fn write_special<S: Simd>(&mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        let Self { destination, factors, label, .. } = self;
        let source = Source { recipe, kept, factors: *factors };
        let ragged = destination.len() / STRIP;
        for index in [label.map(|(place, _)| place / STRIP), Some(ragged)].into_iter().flatten() {
            let label =
                label.filter(|(place, _)| place / STRIP == index).map(|(place, weight)| (place % STRIP, weight));
            match destination {
                LogitsMut::F32(to) => source.write_one(simd, to, index, label),
                LogitsMut::F16(to) => source.write_one(simd, to, index, label),
                LogitsMut::Bf16(to) => source.write_one(simd, to, index, label),
            }
        }
    }

    /// Writes the others of some strips.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&mut self, simd: S, recipe: Recipe, strips: Range<usize>, kept: &Kept<'_>) {
        let Self { destination, factors, label, store } = self;
        let source = Source { recipe, kept, factors: *factors };
        let label = label.map(|(place, _)| place / STRIP);
        match destination {
            LogitsMut::F32(to) => source.write(simd, to, strips, label, *store),
            LogitsMut::F16(to) => source.write(simd, to, strips, label, *store),
            LogitsMut::Bf16(to) => source.write(simd, to, strips, label, *store),
        }
    }

    /// Writes all strips.
    #[inline(always)]
    pub(super) fn write_all<S: Simd>(mut self, simd: S, recipe: Recipe, kept: &Kept<'_>) {
        let strips = self.destination.len() / STRIP;
        self.write_special(simd, recipe, kept);
        self.write(simd, recipe, 0..strips, kept);
    }
}

/// What the gradient of a tile is made of.
struct Source<'k, 'a> {
    recipe: Recipe,
    kept: &'k Kept<'a>,
    factors: Factors,
}

impl Source<'_, '_> {
    /// Writes whole strips, but for one.
    #[inline(always)]
    fn write<S: Simd, T: Element>(
        &self,
        simd: S,
        to: &mut [T],
        strips: Range<usize>,
        except: Option<usize>,
        store: Store,
    ) {
        let to = to.as_chunks_mut().0;
        for index in strips.start..strips.end.min(to.len()) {
            if except != Some(index) {
                for part in 0..STRIP / S::V::LANES {
                    T::store(self.vector(simd, index, part), &mut to[index], part, store);
                }
            }
        }
    }

    /// Writes as much of a strip as there is room for, by way of one of its own.
    #[inline(always)]
    fn write_one<S: Simd, T: Element>(&self, simd: S, to: &mut [T], index: usize, label: Option<(usize, f32)>) {
        let Some(to) = to.chunks_mut(STRIP).nth(index) else { return };
        let mut values: Strip = [0.0; STRIP];
        for part in 0..STRIP / S::V::LANES {
            self.vector(simd, index, part).store(&mut values, part, Store::Cached);
        }
        if let Some((place, subtrahend)) = label {
            values[place] -= subtrahend;
        }
        let mut stored = [T::ZERO; STRIP];
        for part in 0..STRIP / S::V::LANES {
            T::store(simd.load(&values, part), &mut stored, part, Store::Cached);
        }
        to.copy_from_slice(&stored[..to.len()]);
    }

    /// One vector of the gradient.
    #[inline(always)]
    fn vector<S: Simd>(&self, simd: S, strip: usize, part: usize) -> S::V {
        let Self { recipe, kept, factors } = self;
        let hard = simd.splat(factors.hard);
        if *recipe == Recipe::Hard {
            return simd.load(&kept.hard[strip], part) * hard;
        }
        let first = simd.load(&kept.student[strip], part);
        let student = simd.splat(factors.student);
        let student = match recipe {
            Recipe::SameExponential => student + hard,
            Recipe::Square => first.mul_add(hard, student),
            Recipe::FourthPower => (first * first * first).mul_add(hard, student),
            _ => student,
        };
        let teacher = simd.load(&kept.teacher[strip], part) * simd.splat(factors.teacher);
        let soft = first.mul_add(student, teacher);
        match recipe {
            Recipe::OwnExponential => simd.load(&kept.hard[strip], part).mul_add(hard, soft),
            _ => soft,
        }
    }
}
