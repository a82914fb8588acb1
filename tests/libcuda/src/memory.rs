//! Memory of devices, and memory of the host that is pinned: which there is, and what it belongs to.

use std::ffi::{c_int, c_uint};
use std::ops::Range;

use ptx::{Access, FaultKind, Memory};

use crate::abi::{Handle, Host, Out, library};
use crate::device::{Device, TOTAL_MEMORY};
use crate::driver::{self, Driver};
use crate::status::Status;
use crate::work::Work;

/// What an allocation belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) context: Handle,
    /// Whether it is of the device's pool: `cuMemAllocAsync` made it.
    is_pooled: bool,
}

/// An allocation: its device, its addresses and its owner.
type Found = (usize, Range<u64>, Owner);

impl Device {
    pub(crate) fn free(&mut self, address: u64) -> Result<(), FaultKind> {
        let range = self.memory.range(address).unwrap_or(address..address);
        self.memory.free(address)?;
        self.used -= (range.end - range.start) as usize;
        Ok(())
    }

    /// Frees what belongs to a context.
    pub(crate) fn free_all_of(&mut self, context: Handle) {
        let of_context = self.owners.iter().filter(|(_, owner)| owner.context == context);
        for address in of_context.map(|(&address, _)| address).collect::<Vec<_>>() {
            self.owners.remove(&address);
            // It is there, as its owner was.
            let _ = self.free(address);
        }
    }
}

impl Driver {
    fn allocate(&mut self, context: Handle, bytes: usize, is_pooled: bool) -> Result<u64, Status> {
        let device = self.contexts.get(context)?.device;
        let device = &mut self.devices[device];
        if bytes > TOTAL_MEMORY - device.used {
            return Err(Status::OUT_OF_MEMORY);
        }
        let buffer =
            device.memory.allocate_fresh(&format!("an allocation of {bytes} bytes"), bytes, Access::ReadWrite, 0);
        let address = device.memory.address(buffer);
        device.owners.insert(address, Owner { context, is_pooled });
        device.used += bytes;
        Ok(address)
    }

    /// Takes from an allocation its owner, so that it can be freed once.
    fn disown(&mut self, address: u64) -> Result<(), Status> {
        let (device, range, _) = self.find(address)?;
        if range.start != address {
            return Err(Status::INVALID_VALUE);
        }
        self.devices[device].owners.remove(&address);
        Ok(())
    }

    /// The device whose memory an address is of. Work has addresses only that were found to be of one.
    pub(crate) fn device_of(&mut self, address: u64) -> &mut Device {
        &mut self.devices[usize::from(Memory::region_of(address))]
    }

    pub(crate) fn find(&self, address: u64) -> Result<Found, Status> {
        let index = usize::from(Memory::region_of(address));
        let device = self.devices.get(index).ok_or(Status::INVALID_VALUE)?;
        let range = device.memory.range(address).ok_or(Status::INVALID_VALUE)?;
        let owner = *device.owners.get(&range.start).ok_or(Status::INVALID_VALUE)?;
        Ok((index, range, owner))
    }

    pub(crate) fn is_pinned(&self, address: Host, bytes: usize) -> bool {
        let before = self.pinned.range(..=address).next_back();
        before.is_some_and(|(start, block)| address.0 - start.0 + bytes <= block.bytes)
    }
}

/// Memory of the host that the driver has given out.
pub(crate) struct Pinned {
    bytes: usize,
    /// Its words, which only raw pointers come to.
    _words: Vec<u128>,
}

fn pin(bytes: usize) -> Result<Host, Status> {
    if bytes == 0 {
        return Err(Status::INVALID_VALUE);
    }
    driver::in_context(|driver, _| {
        driver.refuse_unsafe_call()?;
        let mut words = vec![u128::MAX; bytes.div_ceil(size_of::<u128>())];
        let address = Host(words.as_mut_ptr().expose_provenance());
        driver.pinned.insert(address, Pinned { bytes, _words: words });
        Ok(address)
    })
}

/// `CUpointer_attribute`, as far as it is told.
fn pointer_attribute(driver: &Driver, attribute: c_uint, address: u64) -> Result<Vec<u8>, Status> {
    if driver.is_pinned(Host(address as usize), 1) {
        return match attribute {
            2 => Ok(1_u32.to_ne_bytes().to_vec()),
            4 => Ok(address.to_ne_bytes().to_vec()),
            _ => Err(Status::INVALID_VALUE),
        };
    }
    let (device, range, owner) = driver.find(address)?;
    // Memory of a pool is its device's, no context's.
    let context = if owner.is_pooled { Handle::NULL } else { owner.context };
    Ok(match attribute {
        1 => context.0.to_ne_bytes().to_vec(),
        2 => 2_u32.to_ne_bytes().to_vec(),
        3 => address.to_ne_bytes().to_vec(),
        9 => (device as c_int).to_ne_bytes().to_vec(),
        11 => range.start.to_ne_bytes().to_vec(),
        12 => (range.end - range.start).to_ne_bytes().to_vec(),
        _ => return Err(Status::INVALID_VALUE),
    })
}

library! {
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let used = driver::in_context(|driver, current| {
            let device = driver.contexts.get(current)?.device;
            Ok(driver.devices[device].used)
        })?;
        free.put_if_wanted(TOTAL_MEMORY - used);
        total.put_if_wanted(TOTAL_MEMORY);
        Ok(())
    }

    fn cuMemAlloc_v2(address: Out<u64>, bytes: usize) {
        address.put(driver::in_context(|driver, current| {
            driver.refuse_unsafe_call()?;
            if bytes == 0 {
                return Err(Status::INVALID_VALUE);
            }
            driver.allocate(current, bytes, false)
        })?)
    }

    fn cuMemFree_v2(address: u64) {
        driver::in_context(|driver, current| {
            driver.refuse_unsafe_call()?;
            if address == 0 {
                return Ok(());
            }
            let (_, _, owner) = driver.find(address)?;
            driver.drain(owner.context);
            driver.check(current)?;
            driver.disown(address)?;
            driver.device_of(address).free(address).map_err(|_| Status::INVALID_VALUE)
        })
    }

    /// The address may be used at once; a pool of no bytes is null.
    fn cuMemAllocAsync(address: Out<u64>, bytes: usize, stream: Handle) {
        address.put(driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.refuse_capturing(stream)?;
            let context = driver.streams.get(stream)?.context;
            if bytes == 0 { Ok(0) } else { driver.allocate(context, bytes, true) }
        })?)
    }

    fn cuMemFreeAsync(address: u64, stream: Handle) {
        driver::in_context(|driver, current| {
            let stream = driver.stream(stream, current)?;
            driver.refuse_capturing(stream)?;
            if address == 0 {
                return Ok(());
            }
            driver.disown(address)?;
            driver.enqueue(stream, Work::Free(address))
        })
    }

    fn cuMemHostAlloc(address: Out<Host>, bytes: usize, _flags: c_uint) {
        address.put(pin(bytes)?)
    }

    fn cuMemAllocHost_v2(address: Out<Host>, bytes: usize) {
        address.put(pin(bytes)?)
    }

    fn cuMemFreeHost(address: Host) {
        driver::in_context(|driver, _| {
            driver.refuse_unsafe_call()?;
            driver.pinned.remove(&address).map(drop).ok_or(Status::INVALID_VALUE)
        })
    }

    fn cuPointerGetAttribute(data: Host, attribute: c_uint, address: u64) {
        data.write(&driver::with(|driver| pointer_attribute(driver, attribute, address))?)
    }

    fn cuMemGetAddressRange_v2(start: Out<u64>, bytes: Out<usize>, address: u64) {
        let (_, range, _) = driver::in_context(|driver, _| driver.find(address))?;
        start.put_if_wanted(range.start);
        bytes.put_if_wanted((range.end - range.start) as usize);
        Ok(())
    }
}
