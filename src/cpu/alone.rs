//! The loop over exponentials by itself, to be held against the same loop written by other means.
//!
//! For benchmarks; not part of the crate's interface.

use super::instructions::{Detected, Instructions, unavailable};
use super::kept::Kept;
use super::recipe::Recipe;
use super::relative::Relative;
use super::simd::{Simd, Task};
use super::tile::Work;
use crate::elements::Elements;
use crate::error::Result;

/// As many as a first-level cache holds with room to spare.
pub const ELEMENTS: usize = 1024;

/// Writes `2^((x - m) · scale)` of each logit `x`, `m` the largest of them, and returns their sum: the largest found, and the
/// exponentials taken, as for a tile of a row.
///
/// # Errors
///
/// As [`instructions`](super::instructions).
pub fn exponentials(
    instructions: Instructions,
    logits: &[f32; ELEMENTS],
    scale: f32,
    kept: &mut [f32; ELEMENTS],
) -> Result<f32> {
    let detected = Detected::new(instructions).ok_or_else(|| unavailable(instructions.name()))?;
    Ok(detected.run(Alone { logits, scale, kept }))
}

struct Alone<'a> {
    logits: &'a [f32; ELEMENTS],
    scale: f32,
    kept: &'a mut [f32; ELEMENTS],
}

impl Task for Alone<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let tile = Relative::to_largest(simd, Elements::F32(self.logits));
        let kept = Kept::new(Recipe::Hard, self.kept.as_chunks_mut().0);
        let mut work = Work { kept, stream: None };
        super::exponentials::exponentials::<S, false>(simd, &tile, self.scale, &mut work).hard
    }
}
