//! CUDA's host code over the mock of NVIDIA's driver (`tests/libcuda`): what it calls, what it waits for, and what it says
//! when something is refused. That its numbers are right is up to `tests/spec`.
//!
//! `cargo xtask test` runs it, with the mock where the system looks for libraries.

mod cache;
mod capture;
mod failures;
mod streams;
mod support;
