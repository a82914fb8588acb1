//! The `kdloss` program as its users meet it: processes, files, exit codes.

mod bench;
#[cfg(feature = "cuda")]
mod cuda;
mod doctor;
mod errors;
mod eval;
mod golden;
mod layout;
mod support;
mod temperature;
#[cfg(feature = "wgpu")]
mod wgpu;
mod width;
