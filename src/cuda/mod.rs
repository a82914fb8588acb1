//! The loss on NVIDIA GPUs: CUDA kernels, and how a call is laid out on a GPU.
//!
//! # How it works
//!
//! One kernel, hand-written in CUDA C++ (`kernels/cuda/distillation.cu`), does everything in one launch: it reads each row
//! of student and teacher once, keeps the pair in shared memory (of a CTA, or of a cluster of them), and writes the
//! gradient, the losses of the rows and the totals. If a pair does not fit, it reads the rows twice.
//!
//! * [`specialisation`] is what is chosen when the kernel is compiled: storage types, terms, residency.
//! * [`plan`] lays a call out on a GPU: pure functions of shapes and limits.
//! * [`nvrtc`] compiles the kernel: it needs NVIDIA's run-time compiler, but neither a GPU nor its driver.
//! * [`Kernels`] compiles on first use, keeps what is compiled, and launches on the caller's stream; [`Workspace`] is what a
//!   stream needs for it. Nothing synchronises but [`Workspace::read`], which brings a loss to the host.
//! * [`Batch`] borrows cudarc's slices and views; [`raw::Batch`] takes device addresses.
//!
//! # What it needs
//!
//! NVIDIA's driver for CUDA 11.4 or newer, a GPU of compute capability 8.0 or more, and NVRTC, which comes with the CUDA
//! toolkit. All three are looked for at run time. If one is missing, that is an [`Error`](crate::Error): a program built with
//! this feature runs everywhere. No part of CUDA is needed to build it.
//!
//! # What has run
//!
//! The PTX of the kernels is executed on the CPU by the tests, and this module runs there over a driver that stands in for
//! NVIDIA's. Nothing here has run on a GPU yet.

mod batch;
mod cache;
mod driver;
mod host;
mod kernels;
mod modules;
pub mod nvrtc;
#[doc(hidden)]
pub mod params;
mod placed;
pub mod plan;
pub mod raw;
mod results;
pub mod specialisation;
mod workspace;

pub use batch::{Batch, Elements, ElementsMut, Labels, Matrix, MatrixMut};
pub use cache::folder as cache_folder;
pub use driver::{Device, context, devices, version as driver_version};
pub use kernels::Kernels;
pub use placed::Placed;
pub use workspace::Workspace;
