//! What the loss is, as tests: one runner, many implementations.
//!
//! [`implementations::all`] lists everything that computes the loss, each as a closure from a [`case::Case`] to an
//! outcome. Every module below runs them all; a new backend adds one closure there and is proved by all of them.

mod case;
mod confident;
mod contract;
#[cfg(feature = "cuda")]
mod cuda;
mod determinism;
mod edges;
mod errors;
mod generate;
mod golden;
mod grid;
mod implementations;
mod instructions;
mod properties;
mod row_part;
mod scripts;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod trials;
#[cfg(feature = "wgpu")]
mod wgpu;
