//! What the executor makes of small pieces of PTX, written by hand from what the PTX ISA says of each instruction.

mod approximations;
mod arithmetic;
mod atomics;
mod barriers;
mod bits;
mod control;
mod conversions;
mod counting;
mod faults;
mod hosts;
mod memory;
mod predicates;
mod shuffles;
mod speed;
mod support;
