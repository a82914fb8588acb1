//! What benchmarks measure with. Not part of the crate's interface.

pub mod alone;
pub mod bracket;
pub mod floor;
