//! The pieces of the loops by themselves, with every set of instructions that this processor has.

mod gradients;
mod tiles;
mod vectors;

use super::simd::instructions::{DetectedInstructions, Instructions};

fn available() -> impl Iterator<Item = DetectedInstructions> {
    Instructions::ALL.into_iter().filter_map(|set| DetectedInstructions::new(set).ok())
}
