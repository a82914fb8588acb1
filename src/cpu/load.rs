//! The logits of a tile as the loops want them: `f32`, whole strips, and every number finite.
//!
//! Ordinary logits are below 1e30 in magnitude, which one maximum of magnitudes tells while the maximum itself is found. Only
//! a tile that holds others (masked entries, NaN, infinities) is cleaned, number by number; the loops over exponentials
//! know nothing of them.

use std::ops::Range;

use super::element::Element;
use super::simd::{STRIP, Simd, Store, Vector};
use super::tile::{Strip, TILE};
use crate::logits::Logits;
use crate::row_stats::{MASKED, is_masked};

/// Room for one tile, from its first use on.
#[derive(Default)]
pub(super) struct TileBuffer(Vec<Strip>);

/// One tile of one matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded<'a> {
    /// The logits, padded with [`MASKED`] to whole strips. None is below that, and none is NaN or infinite.
    pub(super) strips: &'a [Strip],
    /// The largest of them.
    pub(super) largest: f32,
    /// Whether NaN or +∞ was among them; each was replaced by 0.
    pub(super) nonfinite: bool,
    /// Whether one of the logits may be masked.
    pub(super) masked: bool,
    /// What lies behind the logits.
    pub(super) behind: Behind,
}

impl<'a> Loaded<'a> {
    /// Loads at most [`TILE`] logits: in place where they are whole strips of ordinary `f32` numbers, else to the buffer.
    #[inline(always)]
    pub(super) fn new<S: Simd>(simd: S, logits: Logits<'a>, buffer: &'a mut TileBuffer) -> Self {
        let behind = Behind::new(logits);
        match logits {
            Logits::F32(slice) => {
                if let (strips, []) = slice.as_chunks() {
                    let scan = scan(simd, strips, |_, _, _| ());
                    if scan.ordinary {
                        return Self { strips, largest: scan.largest, nonfinite: false, masked: false, behind };
                    }
                }
                Self::copied(simd, slice, buffer, behind)
            }
            Logits::F16(slice) => Self::copied(simd, slice, buffer, behind),
            Logits::Bf16(slice) => Self::copied(simd, slice, buffer, behind),
        }
    }

    #[inline(always)]
    fn copied<S: Simd, T: Element>(simd: S, logits: &[T], buffer: &'a mut TileBuffer, behind: Behind) -> Self {
        let (strips, rest) = logits.as_chunks();
        buffer.0.resize(TILE / STRIP, [0.0; STRIP]);
        let to = &mut buffer.0[..logits.len().div_ceil(STRIP)];
        let mut scanned = scan(simd, strips, |index, part, vector| vector.store(&mut to[index], part, Store::Cached));
        if let (Some(last), [first, ..]) = (to.get_mut(strips.len()), rest) {
            // Scanned with the first of its numbers in the place of padding, which is no ordinary number.
            *last = [first.to_f32(); STRIP];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = from.to_f32());
            let part = scan(simd, &[*last], |_, _, _| ());
            last[rest.len()..].fill(MASKED);
            scanned.largest = if strips.is_empty() { part.largest } else { scanned.largest.max(part.largest) };
            scanned.ordinary &= part.ordinary;
        }
        if scanned.ordinary {
            return Self { strips: to, largest: scanned.largest, nonfinite: false, masked: false, behind };
        }
        clean(to, behind)
    }
}

/// The memory behind a tile: the next tile's, or the next row's first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    start: *const u8,
    strip_bytes: usize,
}

impl Behind {
    fn new(tile: Logits<'_>) -> Self {
        let start: *const u8 = match tile {
            Logits::F32(slice) => slice.as_ptr_range().end.cast(),
            Logits::F16(slice) => slice.as_ptr_range().end.cast(),
            Logits::Bf16(slice) => slice.as_ptr_range().end.cast(),
        };
        Self { start, strip_bytes: tile.dtype().size() * STRIP }
    }

    /// Asks for the cache lines of strips. There may be no such memory.
    #[inline(always)]
    pub(super) fn prefetch<S: Simd>(self, simd: S, strips: Range<usize>) {
        let mut strip = self.start.wrapping_add(strips.start * self.strip_bytes);
        for _ in strips {
            simd.prefetch(strip);
            simd.prefetch(strip.wrapping_add(64));
            strip = strip.wrapping_add(self.strip_bytes);
        }
    }
}

/// What one reading of a tile tells.
struct Scan {
    /// The largest number, where all are ordinary.
    largest: f32,
    ordinary: bool,
}

#[inline(always)]
fn scan<S: Simd, T: Element>(simd: S, strips: &[[T; STRIP]], mut each: impl FnMut(usize, usize, S::V)) -> Scan {
    let mut largest = [simd.splat(MASKED); 2];
    let mut magnitude = [simd.splat(0.0); 2];
    for (index, strip) in strips.iter().enumerate() {
        for part in 0..STRIP / S::V::LANES {
            let vector = T::load(simd, strip, part);
            largest[part % 2] = vector.max_or_second(largest[part % 2]);
            magnitude[part % 2] = magnitude[part % 2].max_magnitude(vector);
            each(index, part, vector);
        }
    }
    let magnitude = magnitude[0].max_magnitude(magnitude[1]);
    Scan { largest: largest[0].max_or_second(largest[1]).largest(), ordinary: magnitude.all_abs_less_than(-MASKED) }
}

/// Replaces NaN and +∞ by 0 and what is below [`MASKED`] by that.
#[cold]
#[inline(never)]
fn clean(strips: &mut [Strip], behind: Behind) -> Loaded<'_> {
    let (mut largest, mut nonfinite) = (MASKED, false);
    for logit in strips.as_flattened_mut() {
        let bad = logit.is_nan() || *logit == f32::INFINITY;
        *logit = if bad { 0.0 } else { logit.max(MASKED) };
        nonfinite |= bad;
        largest = largest.max(*logit);
    }
    Loaded { strips, largest, nonfinite, masked: true, behind }
}

/// Whether the student is masked somewhere where the teacher is not.
#[cold]
#[inline(never)]
pub(super) fn masked_apart(student: Loaded<'_>, teacher: Loaded<'_>) -> bool {
    let (student, teacher) = (student.strips.as_flattened(), teacher.strips.as_flattened());
    student.iter().zip(teacher).any(|(&s, &t)| is_masked(s) && !is_masked(t))
}
