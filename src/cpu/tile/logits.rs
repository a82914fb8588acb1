//! The logits of a tile as the loops take them: strip by strip, as `f32`, relative to a reference.
//!
//! An exponential stays in range if its logit is taken relative to a reference near the largest logit. To find the largest would
//! take a loop of its own, which would mostly wait for memory. So the reference of a tile is the largest of a
//! [sample](TileLogits::sampled), and the loop that takes the exponentials finds the largest of all on its way.
//! [`trust`](super::trust) says when that is too far above the reference; then the tile is taken again, [relative to
//! it](TileLogits::relative_to). The sample is the same strips of every tile, so a tile's bits depend on that tile alone.
//!
//! Within `tile` and `gradient`, `m_s` and `m_t` are the references of student and teacher.

use super::TILE;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::element::Element;
use crate::cpu::simd::strips::{CACHE_LINE, STRIP, Strip, StripBuffer};
use crate::cpu::simd::{Simd, Store, Task, Vector};
use crate::elements::Elements;
use crate::row_part::MASKED;

/// Strips of a sample, the first of a tile. The loop over the tile before has asked for no more than these.
pub(crate) const SAMPLE: usize = 4;

/// How far ahead of a loop logits are asked for, in bytes: memory takes that long to send them.
pub(super) const LOGITS_AHEAD: usize = 4096;

/// The logits of a tile in one matrix: at least one, at most [`TILE`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileLogits<'a> {
    logits: Elements<'a>,
    /// What exponentials are relative to.
    pub(crate) reference: f32,
}

impl<'a> TileLogits<'a> {
    /// Logits relative to the largest of a sample; NaN does not count. The reference is -∞ if the sample holds nothing else.
    #[inline(always)]
    pub(crate) fn sampled<S: Simd>(simd: S, logits: Elements<'a>) -> Self {
        let tile = Self { logits, reference: f32::NEG_INFINITY };
        tile.relative_to_largest_of(simd, tile.strip_count().min(SAMPLE))
    }

    /// Logits relative to the largest of all; NaN does not count.
    #[inline(always)]
    pub(crate) fn relative_to_largest<S: Simd>(simd: S, logits: Elements<'a>) -> Self {
        let tile = Self { logits, reference: f32::NEG_INFINITY };
        tile.relative_to_largest_of(simd, tile.strip_count())
    }

    #[inline(always)]
    fn relative_to_largest_of<S: Simd>(self, simd: S, strip_count: usize) -> Self {
        let mut room = [0.0; STRIP];
        let mut largest = [simd.splat(f32::NEG_INFINITY); 2];
        for index in 0..strip_count {
            for (index, lanes) in S::V::vectors(self.strip(simd, index, &mut room)).iter().enumerate() {
                largest[index % 2] = simd.vector(lanes).max_or_second(largest[index % 2]);
            }
        }
        self.relative_to(largest[0].max_or_second(largest[1]).largest())
    }

    /// The same logits, relative to another number.
    #[inline(always)]
    pub(super) fn relative_to(self, reference: f32) -> Self {
        Self { reference, ..self }
    }

    /// Strips of the tile.
    #[inline(always)]
    pub(crate) fn strip_count(&self) -> usize {
        self.logits.len().div_ceil(STRIP)
    }

    /// Whether the last strip is not whole, and so padded.
    #[inline(always)]
    pub(super) fn is_padded(&self) -> bool {
        !self.logits.len().is_multiple_of(STRIP)
    }

    /// Strip number `index`. A whole strip of `f32` stays where it is. Any other is copied to `room`: widened, or padded with
    /// [`MASKED`].
    #[inline(always)]
    pub(crate) fn strip<'s, S: Simd>(&'s self, simd: S, index: usize, room: &'s mut Strip) -> &'s Strip {
        match self.logits {
            Elements::F32(slice) => match slice.as_chunks().0.get(index) {
                Some(strip) => return strip,
                None => pad(slice, room),
            },
            Elements::F16(slice) => widen(simd, slice, index, room),
            Elements::Bf16(slice) => widen(simd, slice, index, room),
        }
        room
    }
}

#[inline(always)]
fn widen<S: Simd, T: Element>(simd: S, slice: &[T], index: usize, room: &mut Strip) {
    match slice.as_chunks().0.get(index) {
        Some(strip) => {
            for index in 0..S::V::IN_STRIP {
                T::load(simd, strip, index).store(room, index, Store::Cached);
            }
            for line in strip.chunks(CACHE_LINE / size_of::<T>()) {
                simd.prefetch_ahead(line, LOGITS_AHEAD);
            }
        }
        None => pad(slice, room),
    }
}

/// Copies what a slice holds behind its last whole strip.
#[cold]
#[inline(never)]
fn pad<T: Element>(slice: &[T], room: &mut Strip) {
    room.fill(MASKED);
    room.iter_mut().zip(slice.as_chunks::<STRIP>().1).for_each(|(to, from)| *to = from.to_f32());
}

/// The logits of a tile in both matrices; the student's twice where no teacher is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) student: TileLogits<'a>,
    pub(crate) teacher: TileLogits<'a>,
}

impl<'a> Pair<'a> {
    /// As [`TileLogits::sampled`].
    #[inline(always)]
    pub(crate) fn sampled<S: Simd>(simd: S, recipe: Recipe, [student, teacher]: [Elements<'a>; 2]) -> Self {
        let student = TileLogits::sampled(simd, student);
        Self { student, teacher: if recipe.has_soft() { TileLogits::sampled(simd, teacher) } else { student } }
    }

    /// Strip number `index` of either.
    #[inline(always)]
    pub(super) fn strip<'s, S: Simd>(&'s self, simd: S, index: usize, rooms: &'s mut [Strip; 2]) -> [&'s Strip; 2] {
        let [student, teacher] = rooms;
        [self.student.strip(simd, index, student), self.teacher.strip(simd, index, teacher)]
    }
}

/// The logits of a tile without odd numbers: NaN and +∞ became 0, and what was below [`MASKED`] became that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sanitised<'b> {
    /// Relative to the largest, and padded with [`MASKED`] to whole strips.
    pub(crate) tile: TileLogits<'b>,
    logits: &'b [f32],
    /// Whether NaN or +∞ was among them.
    pub(crate) nonfinite: bool,
}

impl Sanitised<'_> {
    /// Whether this tile is masked somewhere where the other is not.
    pub(super) fn is_masked_beside(&self, other: &Self) -> bool {
        self.logits.iter().zip(other.logits).any(|(&ours, &theirs)| ours == MASKED && theirs != MASKED)
    }
}

/// Makes a [`Sanitised`] tile in a buffer: looks at the logits one by one.
pub(crate) struct Sanitiser<'b> {
    pub(crate) tile: TileLogits<'b>,
    pub(crate) buffer: &'b mut StripBuffer,
}

impl<'b> Task for Sanitiser<'b> {
    type Output = Sanitised<'b>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Sanitised<'b> {
        let Self { tile, buffer } = self;
        let mut room = [0.0; STRIP];
        let mut nonfinite = false;
        let strips = &mut buffer.resize(TILE / STRIP)[..tile.strip_count()];
        for (index, to) in strips.iter_mut().enumerate() {
            for (to, &logit) in to.iter_mut().zip(tile.strip(simd, index, &mut room)) {
                let is_bad = logit.is_nan() || logit == f32::INFINITY;
                let masked = if logit > MASKED { logit } else { MASKED };
                *to = if is_bad { 0.0 } else { masked };
                nonfinite |= is_bad;
            }
        }
        let logits = strips.as_flattened();
        Sanitised { tile: TileLogits::relative_to_largest(simd, Elements::F32(logits)), logits, nonfinite }
    }
}
