//! Executes on the CPU, with strict checks, the PTX that NVRTC makes of kdloss's kernels: how they are tested where there
//! is no GPU.
//!
//! [`Module::parse`] reads PTX, [`launch`] runs a kernel of it on a [`Memory`], and whatever a kernel must not do is a
//! [`Fault`] that names the instruction and the thread. What it makes sure of:
//!
//! * global accesses are aligned and lie within an allocation; bytes are written before they are read; what is read only is not
//!   written;
//! * registers are written before they are read;
//! * shared memory has no races between two barriers, within a CTA and within a cluster;
//! * all lanes and warps that a barrier, a shuffle or a vote names reach it, and shared memory is that of CTAs that still run;
//! * a CTA reads global writes of another only after the writer's fence has made them visible, and after a fence of its own.
//!
//! Warps take turns in an order that a seed decides. A warp is executed as such: an instruction is one loop over 32 lanes,
//! and where a branch splits them, each part has its own place until they meet again. It runs some hundred million
//! instructions of threads per second (`cargo test -p ptx --release -- --nocapture speed`).
//!
//! It knows the instructions that the kernels use and their nearest relatives; another is a [`ParseError`] that names it.
//! `.local` memory is not known: a kernel that spills to it is refused. It models no time, and memory only as far as said:
//! within a launch, writes are seen in the order in which they were made, though fences may allow another.

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
