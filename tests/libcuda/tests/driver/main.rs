//! The mock as cudarc sees it.

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
