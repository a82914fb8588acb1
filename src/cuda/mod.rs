//! The loss on NVIDIA GPUs: CUDA kernels, and how a call is laid out on a GPU.
//!
//! # How it works
//!
//! One kernel, hand-written in CUDA C++ (`kernels/cuda/distillation.cu`), does everything in one launch: it reads each row
//! of student and teacher once, keeps the pair in shared memory (of a CTA, or of a cluster of them), and writes the
//! gradient, the losses of the rows and the totals. Where a pair does not fit it reads the rows twice.
//!
//! * [`specialisation`] is what is chosen when the kernel is compiled: storage types, terms, residency.
//! * [`plan`] lays a call out on a GPU: pure functions of shapes and limits.
//! * [`nvrtc`] compiles the kernel: it needs NVIDIA's run-time compiler, but neither a GPU nor its driver.
//! * [`Batch`] describes matrices by their device addresses, checks them, and makes the kernel's parameters.
//!
//! # What is there, and what is not
//!
//! The kernel, its plan and its parameters, proved by executing the PTX that NVRTC makes of them on the CPU. Loading and
//! launching them through the CUDA driver is to follow, and so is the first run on a GPU.

mod batch;
pub mod nvrtc;
#[doc(hidden)]
pub mod params;
pub mod plan;
mod results;
pub mod specialisation;

pub use batch::{Batch, Labels, Matrix};
#[doc(hidden)]
pub use results::read;
