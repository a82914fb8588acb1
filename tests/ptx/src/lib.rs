//! Executes on the CPU, with strict checks, the PTX that NVRTC makes of kdloss's kernels: how they are tested where there
//! is no GPU.
//!
//! [`Module::parse`] reads PTX, [`launch`] runs a kernel of it on a [`Memory`], and whatever a kernel must not do is a
//! [`Fault`] that names the instruction and the thread. What it makes sure of:
//!
//! * global accesses within allocations and aligned, reads of bytes that have been written, no writes to what is read only;
//! * registers are written before they are read;
//! * no races in shared memory between barriers, within a CTA and within a cluster;
//! * barriers, shuffles and votes that all lanes and warps reach which they name; shared memory of CTAs that are there;
//! * global writes of another CTA are read only once a fence has made them visible, and the reader has executed one too.
//!
//! Warps take turns in an order that a seed decides. A warp is executed as such: an instruction is one loop over 32 lanes,
//! and where a branch splits them, each part has its own place until they meet again. It runs some hundred million
//! instructions of threads per second (`cargo test -p ptx --release -- --nocapture speed`).
//!
//! It knows the instructions that the kernels use and their nearest relatives; another is a [`ParseError`] that names it.
//! `.local` memory is not known: a kernel that spills to it is refused. It models no time, and memory only as far as said:
//! within a launch, writes are never seen in an order in which fences allow them to be seen but in which they were not made.

#![warn(missing_docs)]

mod arithmetic;
mod decode;
mod execute;
mod fault;
mod history;
mod instruction;
mod launch;
mod memory;
mod module;
mod operands;
mod registers;
mod shared;
mod warp;

pub use fault::{Fault, FaultKind, ParseError};
pub use launch::{Launch, Options, Report, launch};
pub use memory::{Access, Buffer, Memory, Traffic};
pub use module::{Kernel, Module};
