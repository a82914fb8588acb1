//! The CUDA kernels, whose PTX is executed on the CPU: as implementations of the specification, and what is peculiar to
//! them.

mod compiled;
mod counts;
pub mod device;
pub mod executed;
pub mod kernels;
mod mutants;
mod mutations;
mod sass;
mod schedules;
mod tools;
mod twins;
