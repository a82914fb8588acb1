//! The WGSL kernels: as implementations of the specification, and what is peculiar to them.

mod complete;
pub mod device;
mod extremes;
mod limits;
mod mistakes;
mod mutants;
mod mutations;
mod opengl;
mod parts;
mod results;
mod rough;
mod sharing;
mod sources;
mod sums;
