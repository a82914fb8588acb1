//! The least that memory takes: loops that read and write what the loss must, and compute nothing.
//!
//! A benchmark holds a time against this: two matrices read and, for the gradient, a third written past the caches, by the threads of
//! the current rayon pool.

use rayon::prelude::*;

use crate::cpu::simd::instructions::{DetectedInstructions, Instructions};
use crate::cpu::simd::strips::{CACHE_LINE, STRIP, Strip};
use crate::cpu::simd::{Simd, Store, Task, Vector};
use crate::elements::{Elements, ElementsMut};
use crate::error::Result;

/// Strips of each matrix that a thread takes at a time: 256 KiB.
const TURN: usize = (256 << 10) / (4 * STRIP);

/// Reads both matrices, but for what is left behind their last whole strip (512 bytes), and returns a number that depends on all that
/// was read.
///
/// # Errors
///
/// As [`instructions`](crate::cpu::instructions).
pub fn read(instructions: Instructions, student: Elements<'_>, teacher: Elements<'_>) -> Result<f32> {
    let detected = DetectedInstructions::new(instructions)?;
    let [student, teacher] = [student, teacher].map(whole_strips);
    let turns = student.par_chunks(TURN).zip(teacher.par_chunks(TURN));
    Ok(turns.map(|(student, teacher)| detected.run(Reader { student, teacher })).reduce(|| 0.0, f32::max))
}

/// Reads both matrices, and writes as much of the third past the caches, from its first cache line on.
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
    let detected = DetectedInstructions::new(instructions)?;
    let [student, teacher] = [student, teacher].map(whole_strips);
    let turns = student.par_chunks(TURN).zip(teacher.par_chunks(TURN));
    turns.zip(whole_strips_mut(gradient).par_chunks_mut(TURN)).for_each(|((student, teacher), gradient)| {
        detected.run(ReaderAndWriter { student, teacher, gradient });
    });
    Ok(())
}

struct Reader<'a> {
    student: &'a [Strip],
    teacher: &'a [Strip],
}

impl Task for Reader<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let mut largest = [simd.splat(0.0); 4];
        for (s, t) in self.student.iter().zip(self.teacher) {
            for index in 0..S::V::IN_STRIP {
                let largest = &mut largest[index % 4];
                *largest = simd.load(s, index).max_or_second(simd.load(t, index).max_or_second(*largest));
            }
        }
        let [a, b, c, d] = largest;
        a.max_or_second(b).max_or_second(c.max_or_second(d)).largest()
    }
}

struct ReaderAndWriter<'a> {
    student: &'a [Strip],
    teacher: &'a [Strip],
    gradient: &'a mut [Strip],
}

impl Task for ReaderAndWriter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for ((s, t), gradient) in self.student.iter().zip(self.teacher).zip(self.gradient) {
            for index in 0..S::V::IN_STRIP {
                simd.load(s, index).max_or_second(simd.load(t, index)).store(gradient, index, Store::Streaming);
            }
        }
        simd.fence();
    }
}

/// The whole strips of a matrix, whose bits are taken for `f32` whatever they are.
fn whole_strips(logits: Elements<'_>) -> &[Strip] {
    let words: &[f32] = match logits {
        Elements::F32(slice) => slice,
        // SAFETY: every pattern of bits is a value of `f32`, and `align_to` sees to the alignment.
        Elements::F16(slice) => unsafe { slice.align_to().1 },
        // SAFETY: as above.
        Elements::Bf16(slice) => unsafe { slice.align_to().1 },
    };
    words.as_chunks().0
}

/// As [`whole_strips`], to be written, from the first cache line on: each line is then written at once.
fn whole_strips_mut(logits: ElementsMut<'_>) -> &mut [Strip] {
    let words: &mut [f32] = match logits {
        ElementsMut::F32(slice) => slice,
        // SAFETY: every pattern of bits is a value of either type, and `align_to_mut` sees to the alignment.
        ElementsMut::F16(slice) => unsafe { slice.align_to_mut().1 },
        // SAFETY: as above.
        ElementsMut::Bf16(slice) => unsafe { slice.align_to_mut().1 },
    };
    let start = words.as_ptr().align_offset(CACHE_LINE).min(words.len());
    words[start..].as_chunks_mut().0
}
