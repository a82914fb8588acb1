//! The gradient of a tile, from what was kept of it.

use super::element::Element;
use super::rule::Rule;
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
    pub(super) fn write_special<S: Simd, R: Rule>(&mut self, simd: S, kept: &[R::Kept]) {
        let last = self.destination.len() / STRIP;
        for index in [self.label.map(|(place, _)| place / STRIP), Some(last)].into_iter().flatten() {
            if let Some(kept) = kept.get(index) {
                self.write_one::<S, R>(simd, index, kept);
            }
        }
    }

    /// Writes any other strip; leaves those of [`write_special`](Self::write_special).
    #[inline(always)]
    pub(super) fn write<S: Simd, R: Rule>(&mut self, simd: S, index: usize, kept: &R::Kept) {
        if self.label.is_some_and(|(place, _)| place / STRIP == index) {
            return;
        }
        let (factors, store) = (self.factors, self.store);
        match &mut self.destination {
            LogitsMut::F32(to) => write_strip::<S, R, _>(simd, to, index, kept, factors, store),
            LogitsMut::F16(to) => write_strip::<S, R, _>(simd, to, index, kept, factors, store),
            LogitsMut::Bf16(to) => write_strip::<S, R, _>(simd, to, index, kept, factors, store),
        }
    }

    /// Writes all strips.
    #[inline(always)]
    pub(super) fn write_all<S: Simd, R: Rule>(mut self, simd: S, kept: &[R::Kept]) {
        self.write_special::<S, R>(simd, kept);
        for (index, kept) in kept.iter().enumerate() {
            self.write::<S, R>(simd, index, kept);
        }
    }

    /// Writes one strip, whole or not, by way of a strip of its own.
    #[inline(always)]
    fn write_one<S: Simd, R: Rule>(&mut self, simd: S, index: usize, kept: &R::Kept) {
        let mut values = [0.0; STRIP];
        for part in 0..STRIP / S::V::LANES {
            combined::<S, R>(simd, kept, self.factors, part).store(&mut values, part, Store::Cached);
        }
        if let Some((place, subtrahend)) = self.label.filter(|(place, _)| place / STRIP == index) {
            values[place % STRIP] -= subtrahend;
        }
        match &mut self.destination {
            LogitsMut::F32(to) => copy_strip(simd, &values, to, index),
            LogitsMut::F16(to) => copy_strip(simd, &values, to, index),
            LogitsMut::Bf16(to) => copy_strip(simd, &values, to, index),
        }
    }
}

#[inline(always)]
fn write_strip<S: Simd, R: Rule, T: Element>(
    simd: S,
    to: &mut [T],
    index: usize,
    kept: &R::Kept,
    factors: Factors,
    store: Store,
) {
    if let Some(strip) = to.as_chunks_mut::<STRIP>().0.get_mut(index) {
        for part in 0..STRIP / S::V::LANES {
            T::store(combined::<S, R>(simd, kept, factors, part), strip, part, store);
        }
    }
}

/// Stores as much of a strip as there is room for.
#[inline(always)]
fn copy_strip<S: Simd, T: Element>(simd: S, values: &Strip, to: &mut [T], index: usize) {
    let mut stored = [T::ZERO; STRIP];
    for part in 0..STRIP / S::V::LANES {
        T::store(simd.load(values, part), &mut stored, part, Store::Cached);
    }
    let to = &mut to[index * STRIP..];
    let len = to.len().min(STRIP);
    to[..len].copy_from_slice(&stored[..len]);
}

/// One vector of the gradient.
#[inline(always)]
fn combined<S: Simd, R: Rule>(simd: S, kept: &R::Kept, factors: Factors, part: usize) -> S::V {
    let kept: &[Strip] = kept.as_ref();
    let hard = simd.splat(factors.hard);
    let first = simd.load(&kept[0], part);
    if !R::SOFT {
        return first * hard;
    }
    let student = simd.splat(factors.student);
    let student = match R::POWER {
        1 => student + hard,
        2 => first.mul_add(hard, student),
        4 => (first * first * first).mul_add(hard, student),
        _ => student,
    };
    let soft = first.mul_add(student, simd.load(&kept[1], part) * simd.splat(factors.teacher));
    if R::HARD && R::POWER == 0 { simd.load(&kept[2], part).mul_add(hard, soft) } else { soft }
}
