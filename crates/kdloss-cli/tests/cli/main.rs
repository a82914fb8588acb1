//! The `kdloss` program as its users meet it: processes, files, exit codes.

mod bench;
mod completions;
mod conversions;
#[cfg(feature = "cuda")]
mod cuda;
mod doctor;
mod doubts;
mod errors;
mod eval;
mod foreign;
#[cfg(target_os = "linux")]
mod full;
mod golden;
mod layout;
#[cfg(unix)]
mod signals;
mod support;
mod temperature;
#[cfg(target_os = "linux")]
mod unaligned;
#[cfg(feature = "wgpu")]
mod wgpu;
mod width;
#[cfg(unix)]
mod writing;
