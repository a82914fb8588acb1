//! The `kdloss` program as its users meet it: processes, files, exit codes.

mod bench;
mod conversions;
#[cfg(feature = "cuda")]
mod cuda;
mod doctor;
mod errors;
mod eval;
mod foreign;
mod golden;
mod layout;
mod support;
mod temperature;
#[cfg(feature = "wgpu")]
mod wgpu;
mod width;
