//! The pieces of the loops by themselves, with every set of instructions that this processor has.

mod gradients;
mod tiles;
mod vectors;

use super::instructions::{Detected, Instructions};

fn available() -> impl Iterator<Item = Detected> {
    Instructions::ALL.into_iter().filter_map(Detected::new)
}
