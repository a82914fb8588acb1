//! How many CTAs a GPU holds at a time, by what threads and shared memory allow.

use std::ffi::{c_int, c_uint};

use crate::abi::{Handle, In, Out, library};
use crate::device::{MULTIPROCESSORS, SHARED_RESERVED};
use crate::driver::{self, Driver};
use crate::launch::Config;
use crate::status::Status;

impl Driver {
    /// CTAs that a multiprocessor holds.
    fn resident(&self, function: Handle, threads: usize, dynamic_shared_bytes: usize) -> Result<usize, Status> {
        let model = self.model_of(function)?;
        let function = self.functions.get(function)?;
        if threads == 0 || threads > 1024 {
            return Err(Status::INVALID_VALUE);
        }
        let shared = function.static_shared_bytes + dynamic_shared_bytes;
        if threads > function.max_threads as usize || shared > model.shared_per_cta {
            return Ok(0);
        }
        let by_threads = model.threads_per_multiprocessor / threads.next_multiple_of(32);
        let by_shared = model.shared_per_multiprocessor / (shared + SHARED_RESERVED);
        Ok(by_threads.min(by_shared).min(model.ctas_per_multiprocessor))
    }
}

fn resident(function: Handle, threads: c_int, dynamic_shared_bytes: usize) -> Result<c_int, Status> {
    let threads = usize::try_from(threads).map_err(|_| Status::INVALID_VALUE)?;
    let ctas = driver::in_context(|driver, _| driver.resident(function, threads, dynamic_shared_bytes))?;
    Ok(ctas as c_int)
}

library! {
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        ctas: Out<c_int>,
        function: Handle,
        threads: c_int,
        dynamic_shared_bytes: usize,
    ) {
        ctas.put(resident(function, threads, dynamic_shared_bytes)?)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        ctas: Out<c_int>,
        function: Handle,
        threads: c_int,
        dynamic_shared_bytes: usize,
        _flags: c_uint,
    ) {
        ctas.put(resident(function, threads, dynamic_shared_bytes)?)
    }

    /// A cluster fits wherever a CTA of it does: that the mock has fewer multiprocessors than a GPU is no reason against.
    fn cuOccupancyMaxActiveClusters(clusters: Out<c_int>, function: Handle, config: In<Config>) {
        let config = config.get(0)?;
        clusters.put(driver::in_context(|driver, _| {
            let cluster = config.cluster(&driver.model_of(function)?)? as usize;
            let dynamic_shared_bytes = config.dynamic_shared_bytes as usize;
            let resident = driver.resident(function, config.threads()? as usize, dynamic_shared_bytes)?;
            Ok(if resident == 0 { 0 } else { (MULTIPROCESSORS * resident / cluster).max(1) as c_int })
        })?)
    }
}
