//! The logits of a tile as the loops want them: `f32` and whole strips.
//!
//! The largest and the smallest tell whether a tile is plain: none masked, none infinite, none so far from the others that
//! its exponential would leave the normal numbers. That is two instructions for each vector; NaN, which they do not tell, shows
//! in the sum of the exponentials. Only a tile that is not plain is [cleaned](Loaded::cleaned), number by number.

use super::aligned::Strips;
use super::element::Element;
use super::simd::{STRIP, Simd, Store, Task, Vector};
use super::tile::{Strip, TILE};
use crate::logits::Logits;
use crate::row_stats::{MASKED, is_masked};

/// Room for one tile, from its first use on.
#[derive(Default)]
pub(super) struct TileBuffer(Strips);

/// One tile of one matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded<'a> {
    /// The logits, padded with [`MASKED`] to whole strips.
    pub(super) strips: &'a [Strip],
    /// The largest of the logits.
    pub(super) largest: f32,
    /// Whether an exponent may be below those of normal numbers.
    pub(super) has_low: bool,
    /// Whether NaN or +∞ was among them; each was replaced by 0. Known of a cleaned tile only.
    pub(super) nonfinite: bool,
    /// Whether one of the logits may be masked.
    pub(super) masked: bool,
    /// Where they were loaded from.
    source: Logits<'a>,
}

/// Loads at most [`TILE`] logits: in place where they are whole strips of plain `f32` numbers, else to the buffer.
pub(super) struct Load<'a> {
    pub(super) logits: Logits<'a>,
    /// The largest that the logits will be multiplied by to make exponents.
    pub(super) scale: f32,
    pub(super) buffer: &'a mut TileBuffer,
}

impl<'a> Task for Load<'a> {
    type Output = Loaded<'a>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Loaded<'a> {
        Loaded::new(simd, self.logits, self.scale, self.buffer)
    }
}

/// How far below the largest an exponent is at most, so that its power of two is a normal number.
const DEEPEST_EXPONENT: f32 = 125.0;

impl<'a> Loaded<'a> {
    #[inline(always)]
    fn new<S: Simd>(simd: S, logits: Logits<'a>, scale: f32, buffer: &'a mut TileBuffer) -> Self {
        match logits {
            Logits::F32(slice) => {
                if let (strips, []) = slice.as_chunks() {
                    let scan = scan(simd, strips, |_, _, _| ());
                    return match scan.is_plain() {
                        true => Self::plain(strips, scan, scale, logits),
                        false => Self::cleaned(logits, buffer),
                    };
                }
                Self::copied(simd, slice, logits, scale, buffer)
            }
            Logits::F16(slice) => Self::copied(simd, slice, logits, scale, buffer),
            Logits::Bf16(slice) => Self::copied(simd, slice, logits, scale, buffer),
        }
    }

    #[inline(always)]
    fn copied<S: Simd, T: Element>(
        simd: S,
        slice: &[T],
        logits: Logits<'a>,
        scale: f32,
        buffer: &'a mut TileBuffer,
    ) -> Self {
        let (strips, rest) = slice.as_chunks();
        let to = buffer.room(slice.len());
        let mut scanned = scan(simd, strips, |index, part, vector| vector.store(&mut to[index], part, Store::Cached));
        if let (Some(last), [first, ..]) = (to.get_mut(strips.len()), rest) {
            // Scanned with the first of its numbers in the place of padding.
            *last = [first.to_f32(); STRIP];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = from.to_f32());
            scanned = scanned.and(scan(simd, &[*last], |_, _, _| ()));
            last[rest.len()..].fill(MASKED);
        }
        if !scanned.is_plain() {
            return Self::cleaned(logits, buffer);
        }
        let strips = buffer.room(slice.len());
        let plain = Self::plain(strips, scanned, scale, logits);
        Self { has_low: plain.has_low || !rest.is_empty(), ..plain }
    }

    #[inline(always)]
    fn plain(strips: &'a [Strip], Scan { largest, smallest }: Scan, scale: f32, source: Logits<'a>) -> Self {
        let has_low = (largest - smallest) * scale > DEEPEST_EXPONENT;
        Self { strips, largest, has_low, nonfinite: false, masked: false, source }
    }

    /// Loads any logits: NaN and +∞ as 0, and what is below [`MASKED`] as that.
    #[cold]
    #[inline(never)]
    pub(super) fn cleaned(logits: Logits<'a>, buffer: &'a mut TileBuffer) -> Self {
        let to = buffer.room(logits.len());
        let flat = to.as_flattened_mut();
        flat.fill(MASKED);
        let (mut largest, mut nonfinite) = (MASKED, false);
        for (index, to) in flat[..logits.len()].iter_mut().enumerate() {
            let logit = logits.get(index);
            let bad = logit.is_nan() || logit == f32::INFINITY;
            *to = if bad { 0.0 } else { logit.max(MASKED) };
            nonfinite |= bad;
            largest = largest.max(*to);
        }
        Self { strips: to, largest, has_low: true, nonfinite, masked: true, source: logits }
    }
}

impl TileBuffer {
    /// As many strips as so many elements take.
    fn room(&mut self, elements: usize) -> &mut [Strip] {
        &mut self.0.resize(TILE / STRIP)[..elements.div_ceil(STRIP)]
    }
}

/// What one reading of a tile tells, but for NaN.
#[derive(Clone, Copy)]
struct Scan {
    largest: f32,
    smallest: f32,
}

impl Scan {
    /// Whether none is masked or infinite, nor nearly so.
    fn is_plain(self) -> bool {
        self.smallest > MASKED && self.largest < -MASKED
    }

    fn and(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest), smallest: self.smallest.min(other.smallest) }
    }
}

#[inline(always)]
fn scan<S: Simd, T: Element>(simd: S, strips: &[[T; STRIP]], mut each: impl FnMut(usize, usize, S::V)) -> Scan {
    let mut largest = [simd.splat(f32::NEG_INFINITY); 2];
    let mut smallest = [simd.splat(f32::INFINITY); 2];
    for (index, strip) in strips.iter().enumerate() {
        for part in 0..STRIP / S::V::LANES {
            let vector = T::load(simd, strip, part);
            largest[part % 2] = vector.max_or_second(largest[part % 2]);
            smallest[part % 2] = vector.min_or_second(smallest[part % 2]);
            each(index, part, vector);
        }
    }
    Scan {
        largest: largest[0].max_or_second(largest[1]).largest(),
        smallest: smallest[0].min_or_second(smallest[1]).smallest(),
    }
}

/// Whether the student is masked somewhere where the teacher is not.
#[cold]
#[inline(never)]
pub(super) fn masked_apart(student: &Loaded<'_>, teacher: &Loaded<'_>) -> bool {
    let (student, teacher) = (student.source, teacher.source);
    (0..student.len()).any(|index| is_masked(student.get(index)) && !is_masked(teacher.get(index)))
}
