//! The logits of a tile as the loops take them: strip by strip, as `f32`, relative to one of them.
//!
//! Exponentials want a reference that keeps them in range, and the largest logit is the usual one. To find it takes a loop of its
//! own, which mostly waits for memory. So a tile is taken relative to the largest of a [sample](Relative::sampled), and the loop
//! that takes the exponentials finds the largest of all on its way. Where that is too far above, the tile is taken again
//! [relative to it](Relative::relative_to); where a logit is no plain number, after it was [cleaned](Clean). The sample depends on
//! the tile alone, and so do the tile's bits. In the files of these loops `m_s` and `m_t` are such references.

use super::aligned::{CACHE_LINE, Strips};
use super::element::Element;
use super::simd::{STRIP, Simd, Store, Task, Vector};
use super::tile::{Strip, TILE};
use crate::elements::Elements;
use crate::row_part::MASKED;

/// Strips of a sample, the first of a tile: no more than the loop over the tile before has asked for.
pub(super) const SAMPLED: usize = 4;

/// Bytes between the logits that are worked on and those that are asked for: as long as memory takes.
pub(super) const LOGITS_AHEAD: usize = 4096;

/// Room for one tile, from its first use on.
#[derive(Default)]
pub(super) struct TileBuffer(Strips);

/// One tile of one matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relative<'a> {
    logits: Elements<'a>,
    /// What exponentials are relative to.
    pub(super) reference: f32,
}

impl<'a> Relative<'a> {
    /// At most [`TILE`] logits, at least one, relative to the largest of some that are no NaN; -∞ where there are none.
    #[inline(always)]
    pub(super) fn sampled<S: Simd>(simd: S, logits: Elements<'a>) -> Self {
        let tile = Self { logits, reference: f32::NEG_INFINITY };
        tile.to_largest_of(simd, tile.strips().min(SAMPLED))
    }

    /// Logits relative to the largest of all.
    #[inline(always)]
    pub(super) fn to_largest<S: Simd>(simd: S, logits: Elements<'a>) -> Self {
        let tile = Self { logits, reference: f32::NEG_INFINITY };
        tile.to_largest_of(simd, tile.strips())
    }

    #[inline(always)]
    fn to_largest_of<S: Simd>(self, simd: S, strips: usize) -> Self {
        let mut room = [0.0; STRIP];
        let mut largest = [simd.splat(f32::NEG_INFINITY); 2];
        for index in 0..strips {
            for (part, lanes) in S::vectors(self.strip(simd, index, &mut room)).iter().enumerate() {
                largest[part % 2] = simd.vector(lanes).max_or_second(largest[part % 2]);
            }
        }
        self.relative_to(largest[0].max_or_second(largest[1]).largest())
    }

    /// The same logits relative to another number.
    #[inline(always)]
    pub(super) fn relative_to(self, reference: f32) -> Self {
        Self { reference, ..self }
    }

    /// How many strips the tile takes.
    #[inline(always)]
    pub(super) fn strips(&self) -> usize {
        self.logits.len().div_ceil(STRIP)
    }

    /// Whether the last strip is padded.
    #[inline(always)]
    pub(super) fn is_ragged(&self) -> bool {
        !self.logits.len().is_multiple_of(STRIP)
    }

    /// One strip: in place where it is a whole one of `f32`, else in the room, widened, or padded with [`MASKED`].
    #[inline(always)]
    pub(super) fn strip<'s, S: Simd>(&'s self, simd: S, index: usize, room: &'s mut Strip) -> &'s Strip {
        match self.logits {
            Elements::F32(slice) => match slice.as_chunks().0.get(index) {
                Some(strip) => return strip,
                None => padded(slice, room),
            },
            Elements::F16(slice) => widened(simd, slice, index, room),
            Elements::Bf16(slice) => widened(simd, slice, index, room),
        }
        room
    }
}

#[inline(always)]
fn widened<S: Simd, T: Element>(simd: S, slice: &[T], index: usize, room: &mut Strip) {
    match slice.as_chunks().0.get(index) {
        Some(strip) => {
            for part in 0..STRIP / S::V::LANES {
                T::load(simd, strip, part).store(room, part, Store::Cached);
            }
            for line in strip.chunks(CACHE_LINE / size_of::<T>()) {
                simd.prefetch_ahead(line, LOGITS_AHEAD);
            }
        }
        None => padded(slice, room),
    }
}

/// The last strip of a slice that does not end with a whole one.
#[cold]
#[inline(never)]
fn padded<T: Element>(slice: &[T], room: &mut Strip) {
    room.fill(MASKED);
    room.iter_mut().zip(slice.as_chunks::<STRIP>().1).for_each(|(to, from)| *to = from.to_f32());
}

/// Looks at the logits of a tile one by one: NaN and +∞ become 0, and what is below [`MASKED`] that.
pub(super) struct Clean<'b> {
    pub(super) tile: Relative<'b>,
    pub(super) buffer: &'b mut TileBuffer,
}

/// A tile without odd numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cleaned<'b> {
    /// Relative to its largest, padded with [`MASKED`] to whole strips.
    pub(super) tile: Relative<'b>,
    /// Its logits.
    pub(super) logits: &'b [f32],
    /// Whether NaN or +∞ was among them.
    pub(super) nonfinite: bool,
}

impl<'b> Task for Clean<'b> {
    type Output = Cleaned<'b>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Cleaned<'b> {
        let Self { tile, buffer } = self;
        let mut room = [0.0; STRIP];
        let mut nonfinite = false;
        let strips = &mut buffer.0.resize(TILE / STRIP)[..tile.strips()];
        for (index, to) in strips.iter_mut().enumerate() {
            for (to, &logit) in to.iter_mut().zip(tile.strip(simd, index, &mut room)) {
                let is_bad = logit.is_nan() || logit == f32::INFINITY;
                let masked = if logit > MASKED { logit } else { MASKED };
                *to = if is_bad { 0.0 } else { masked };
                nonfinite |= is_bad;
            }
        }
        let logits = strips.as_flattened();
        Cleaned { tile: Relative::to_largest(simd, Elements::F32(logits)), logits, nonfinite }
    }
}

impl Cleaned<'_> {
    /// Whether this tile is masked somewhere where the other is not.
    pub(super) fn is_masked_beside(&self, other: &Self) -> bool {
        self.logits.iter().zip(other.logits).any(|(&ours, &theirs)| ours == MASKED && theirs != MASKED)
    }
}
