//! The least that memory takes: loops that read and write what the loss must, and compute nothing.
//!
//! What a time is held against: two matrices read, and for the gradient a third written past the caches, by the threads of the
//! current rayon pool. For benchmarks; not part of the crate's interface.

use rayon::prelude::*;

use super::aligned::CACHE_LINE;
use super::instructions::{Detected, Instructions, unavailable};
use super::simd::{STRIP, Simd, Store, Task, Vector};
use super::tile::Strip;
use crate::elements::{Elements, ElementsMut};
use crate::error::Result;

/// Strips that a thread takes at a time: 256 KiB of each matrix.
const STRIPS: usize = (256 << 10) / (4 * STRIP);

/// Reads both matrices to their end, whole strips of 256 bytes, and returns something of what was read.
///
/// # Errors
///
/// As [`instructions`](super::instructions).
pub fn read(instructions: Instructions, student: Elements<'_>, teacher: Elements<'_>) -> Result<f32> {
    let detected = Detected::new(instructions).ok_or_else(|| unavailable(instructions.name()))?;
    let [student, teacher] = [student, teacher].map(strips);
    let parts = student.par_chunks(STRIPS).zip(teacher.par_chunks(STRIPS));
    Ok(parts.map(|(student, teacher)| detected.run(Read { student, teacher })).reduce(|| 0.0, f32::max))
}

/// Reads both matrices to their end, and writes as much of the third past the caches, from its first cache line on.
///
/// # Errors
///
/// As [`read`].
pub fn read_and_write(
    instructions: Instructions,
    student: Elements<'_>,
    teacher: Elements<'_>,
    gradient: ElementsMut<'_>,
) -> Result<()> {
    let detected = Detected::new(instructions).ok_or_else(|| unavailable(instructions.name()))?;
    let [student, teacher] = [student, teacher].map(strips);
    let parts = student.par_chunks(STRIPS).zip(teacher.par_chunks(STRIPS));
    parts.zip(strips_mut(gradient).par_chunks_mut(STRIPS)).for_each(|((student, teacher), gradient)| {
        detected.run(ReadAndWrite { student, teacher, gradient });
    });
    Ok(())
}

struct Read<'a> {
    student: &'a [Strip],
    teacher: &'a [Strip],
}

impl Task for Read<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut largest = [simd.splat(0.0); 4];
        for (s, t) in self.student.iter().zip(self.teacher) {
            for part in 0..STRIP / S::V::LANES {
                let largest = &mut largest[part % 4];
                *largest = simd.load(s, part).max_or_second(simd.load(t, part).max_or_second(*largest));
            }
        }
        let [a, b, c, d] = largest;
        a.max_or_second(b).max_or_second(c.max_or_second(d)).largest()
    }
}

struct ReadAndWrite<'a> {
    student: &'a [Strip],
    teacher: &'a [Strip],
    gradient: &'a mut [Strip],
}

impl Task for ReadAndWrite<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for ((s, t), gradient) in self.student.iter().zip(self.teacher).zip(self.gradient) {
            for part in 0..STRIP / S::V::LANES {
                simd.load(s, part).max_or_second(simd.load(t, part)).store(gradient, part, Store::Streaming);
            }
        }
        simd.fence();
    }
}

/// The memory of logits as strips of `f32`, whatever numbers that makes.
fn strips(logits: Elements<'_>) -> &[Strip] {
    let words: &[f32] = match logits {
        Elements::F32(slice) => slice,
        // SAFETY: every pattern of bits is a value of `f32`, and `align_to` sees to the alignment.
        Elements::F16(slice) => unsafe { slice.align_to().1 },
        // SAFETY: as above.
        Elements::Bf16(slice) => unsafe { slice.align_to().1 },
    };
    words.as_chunks().0
}

fn strips_mut(logits: ElementsMut<'_>) -> &mut [Strip] {
    let words: &mut [f32] = match logits {
        ElementsMut::F32(slice) => slice,
        // SAFETY: every pattern of bits is a value of either type, and `align_to_mut` sees to the alignment.
        ElementsMut::F16(slice) => unsafe { slice.align_to_mut().1 },
        // SAFETY: as above.
        ElementsMut::Bf16(slice) => unsafe { slice.align_to_mut().1 },
    };
    // From a cache line on, so that each is written at once.
    let start = words.as_ptr().align_offset(CACHE_LINE).min(words.len());
    words[start..].as_chunks_mut().0
}
