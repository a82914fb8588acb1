//! One tile of a row: its logits in, its sums and its divergence out.
//!
//! | file | holds | vector instructions per vector of AVX-512 |
//! |---|---|---|
//! | [`logits`] | how a loop reads logits, relative to what, and what replaces odd ones | |
//! | [`sums`] | what the loops add up, and how | |
//! | [`pairs`] | the loop of a tile with a soft term: reads both logits, writes two kept numbers, or three | 44, and 10 for a third exponential |
//! | | what it does beside: makes the last row's gradient of what was kept (`f32`) | 4 or 5 |
//! | [`student`] | the loop of a tile without: reads the student's logits, writes one kept number | 13 |
//! | [`trust`] | whether the sums of either loop can be trusted | |
//! | [`compare`] | the loop over tiles that nearly agree: reads logits and what was kept, writes one kept number | 24 |
//! | [`others`] | the loop over the tile of a class that holds most of its row: adds up what was kept of all others | 2 or 3 |
//! | [`summarise`] | which of these loops a tile needs, and what it comes to | |
//!
//! These loops are the only ones whose speed matters.

pub(crate) mod compare;
pub(crate) mod logits;
pub(crate) mod others;
pub(crate) mod pairs;
pub(crate) mod student;
pub(crate) mod summarise;
pub(crate) mod sums;
pub(crate) mod trust;

use crate::cpu::gradient::kept::Kept;
use crate::cpu::gradient::stream::Stream;

/// Elements of a tile; the last tile of a row may have fewer. With so many, what a tile costs beside its elements hardly counts.
pub(crate) const TILE: usize = 4096;

/// What the loops over a tile write.
pub(crate) struct Work<'k, 'g> {
    /// What is kept of the tile.
    pub(crate) kept: Kept<'k>,
    /// What is still to be written of the last row's gradient, made of what was kept there before. Not to be moved: a copy would
    /// wait for all stores before it.
    pub(crate) stream: Option<Stream<'g, f32>>,
}
