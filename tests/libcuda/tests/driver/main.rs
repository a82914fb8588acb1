//! The mock as cudarc sees it. On Linux, where a soname is all that it takes to stand in for another library.

#![cfg(target_os = "linux")]

mod captures;
mod contexts;
mod faults;
mod injection;
mod launches;
mod memory;
mod modules;
mod settings;
mod streams;
mod support;
