//! The loop over exponentials alone, to be held against the same loop written by other means.

use crate::cpu::gradient::kept::Kept;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::instructions::{DetectedInstructions, Instructions};
use crate::cpu::simd::{Simd, Task};
use crate::cpu::tile::Work;
use crate::cpu::tile::logits::TileLogits;
use crate::cpu::tile::student::student;
use crate::elements::Elements;
use crate::error::Result;

/// Elements of the loop: a first-level cache holds them with room to spare.
pub const ELEMENTS: usize = 1024;

/// Writes `2^((x - m) · scale)` of each logit `x`, where `m` is the largest, and returns their sum. Finds the largest and takes the
/// exponentials as for a tile of a row.
///
/// # Errors
///
/// As [`instructions`](crate::cpu::instructions).
pub fn exponentials(
    instructions: Instructions,
    logits: &[f32; ELEMENTS],
    scale: f32,
    kept: &mut [f32; ELEMENTS],
) -> Result<f32> {
    Ok(DetectedInstructions::new(instructions)?.run(Exponentials { logits, scale, kept }))
}

struct Exponentials<'a> {
    logits: &'a [f32; ELEMENTS],
    scale: f32,
    kept: &'a mut [f32; ELEMENTS],
}

impl Task for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let tile = TileLogits::relative_to_largest(simd, Elements::F32(self.logits));
        let kept = Kept::new(Recipe::Hard, self.kept.as_chunks_mut().0);
        let mut work = Work { kept, stream: None };
        student::<S, false>(simd, &tile, self.scale, &mut work).hard
    }
}
