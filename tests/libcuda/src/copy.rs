//! Copies and fills. An asynchronous copy behaves as the driver's does: pageable memory of the host is read or written before
//! the call returns, pinned memory later.

use std::ffi::{c_uchar, c_uint};

use ptx::{FaultKind, Memory};

use crate::abi::{Handle, Host, library};
use crate::driver::{self, Driver};
use crate::status::Status;
use crate::work::Work;

/// Whether a copy is done when its call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Synchronous,
    Asynchronous,
}

impl Driver {
    /// Gives a copy to a stream, and waits for it if it is to be done now.
    fn transfer(&mut self, stream: Handle, mode: Mode, work: Work) -> Result<(), Status> {
        if mode == Mode::Synchronous {
            self.refuse_unsafe_call()?;
        }
        self.enqueue(stream, work)?;
        if mode == Mode::Synchronous {
            let (end, context) = (self.end(stream)?, self.streams.get(stream)?.context);
            self.run_until(end);
            self.check(context)?;
        }
        Ok(())
    }

    /// Refuses addresses that are not of one allocation.
    fn check_range(&self, address: u64, bytes: usize) -> Result<(), Status> {
        let (_, range, _) = self.find(address)?;
        if bytes as u64 > range.end - address { Err(Status::INVALID_VALUE) } else { Ok(()) }
    }

    fn copy_to_device(&mut self, to: u64, from: Host, bytes: usize, on: Handle, mode: Mode) -> Result<(), Status> {
        self.check_range(to, bytes)?;
        if mode == Mode::Asynchronous && self.is_pinned(from, bytes) {
            return self.transfer(on, mode, Work::FromPinned { to, from, bytes });
        }
        self.refuse_capturing(on)?;
        self.transfer(on, mode, Work::Write { to, content: from.read(bytes)?.into() })
    }

    fn copy_to_host(&mut self, to: Host, from: u64, bytes: usize, on: Handle, mode: Mode) -> Result<(), Status> {
        self.check_range(from, bytes)?;
        let is_pinned = self.is_pinned(to, bytes);
        if !is_pinned {
            self.refuse_capturing(on)?;
        }
        let mode = if is_pinned { mode } else { Mode::Synchronous };
        self.transfer(on, mode, Work::ToHost { to, is_pinned, from, bytes })
    }

    fn copy_on_device(&mut self, to: u64, from: u64, bytes: usize, on: Handle) -> Result<(), Status> {
        self.check_range(to, bytes)?;
        self.check_range(from, bytes)?;
        self.transfer(on, Mode::Asynchronous, Work::Copy { to, from, bytes })
    }

    fn fill(&mut self, to: u64, content: Vec<u8>, on: Handle) -> Result<(), Status> {
        self.check_range(to, content.len())?;
        self.transfer(on, Mode::Asynchronous, Work::Write { to, content: content.into() })
    }

    /// Copies within a device, or between two.
    pub(crate) fn copy(&mut self, to: u64, from: u64, bytes: usize) -> Result<(), FaultKind> {
        if Memory::region_of(to) == Memory::region_of(from) {
            return self.device_of(to).memory.copy(to, from, bytes);
        }
        let content = self.device_of(from).memory.download(from, bytes)?.to_vec();
        self.device_of(to).memory.upload(to, &content)
    }
}

/// Does something with a stream, unless there are no bytes to do it with.
fn on_stream(
    stream: Handle,
    bytes: usize,
    body: impl FnOnce(&mut Driver, Handle) -> Result<(), Status>,
) -> Result<(), Status> {
    driver::in_context(|driver, current| {
        let stream = driver.stream(stream, current)?;
        if bytes == 0 { Ok(()) } else { body(driver, stream) }
    })
}

library! {
    fn cuMemcpyHtoD_v2(to: u64, from: Host, bytes: usize) {
        on_stream(Handle::NULL, bytes, |driver, on| driver.copy_to_device(to, from, bytes, on, Mode::Synchronous))
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: Host, bytes: usize, stream: Handle) {
        on_stream(stream, bytes, |driver, on| driver.copy_to_device(to, from, bytes, on, Mode::Asynchronous))
    }

    fn cuMemcpyDtoH_v2(to: Host, from: u64, bytes: usize) {
        on_stream(Handle::NULL, bytes, |driver, on| driver.copy_to_host(to, from, bytes, on, Mode::Synchronous))
    }

    fn cuMemcpyDtoHAsync_v2(to: Host, from: u64, bytes: usize, stream: Handle) {
        on_stream(stream, bytes, |driver, on| driver.copy_to_host(to, from, bytes, on, Mode::Asynchronous))
    }

    /// Not synchronous: the driver's is not either where both are memory of the device.
    fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) {
        on_stream(Handle::NULL, bytes, |driver, on| driver.copy_on_device(to, from, bytes, on))
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) {
        on_stream(stream, bytes, |driver, on| driver.copy_on_device(to, from, bytes, on))
    }

    fn cuMemcpyPeerAsync(to: u64, _at: Handle, from: u64, _of: Handle, bytes: usize, stream: Handle) {
        on_stream(stream, bytes, |driver, on| driver.copy_on_device(to, from, bytes, on))
    }

    fn cuMemsetD8_v2(to: u64, value: c_uchar, bytes: usize) {
        on_stream(Handle::NULL, bytes, |driver, on| driver.fill(to, vec![value; bytes], on))
    }

    fn cuMemsetD8Async(to: u64, value: c_uchar, bytes: usize, stream: Handle) {
        on_stream(stream, bytes, |driver, on| driver.fill(to, vec![value; bytes], on))
    }

    fn cuMemsetD32_v2(to: u64, value: c_uint, words: usize) {
        on_stream(Handle::NULL, words, |driver, on| driver.fill(to, value.to_le_bytes().repeat(words), on))
    }

    fn cuMemsetD32Async(to: u64, value: c_uint, words: usize, stream: Handle) {
        on_stream(stream, words, |driver, on| driver.fill(to, value.to_le_bytes().repeat(words), on))
    }
}
