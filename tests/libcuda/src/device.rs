//! The GPUs that the mock has, and what the driver tells of them.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::ops::RangeInclusive;

use ptx::Memory;

use crate::abi::{Handle, Host, Out, library};
use crate::driver;
use crate::memory::Owner;
use crate::status::Status;

/// What differs between GPUs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    key: &'static str,
    name: &'static str,
    pub(crate) major: c_int,
    pub(crate) minor: c_int,
    /// Bytes of shared memory of a CTA that asks for more than 48 KiB.
    pub(crate) shared_per_cta: usize,
    pub(crate) shared_per_multiprocessor: usize,
    pub(crate) threads_per_multiprocessor: usize,
    pub(crate) ctas_per_multiprocessor: usize,
}

impl Model {
    /// The model that `MOCK_CUDA_DEVICE` calls so.
    pub(crate) fn named(key: &str) -> Option<Self> {
        MODELS.into_iter().find(|model| model.key == key)
    }

    pub(crate) fn has_clusters(&self) -> bool {
        self.major >= 9
    }
}

const fn model(key: &'static str, name: &'static str, major: c_int, shared_kib: usize, threads: usize) -> Model {
    Model {
        key,
        name,
        major,
        minor: 0,
        shared_per_cta: shared_kib << 10,
        shared_per_multiprocessor: (shared_kib + 1) << 10,
        threads_per_multiprocessor: threads,
        ctas_per_multiprocessor: threads / 64,
    }
}

const MODELS: [Model; 4] = [
    model("a100", "Mock NVIDIA A100 (PTX executed on the CPU)", 8, 163, 2048),
    model("h100", "Mock NVIDIA H100 (PTX executed on the CPU)", 9, 227, 2048),
    model("b200", "Mock NVIDIA B200 (PTX executed on the CPU)", 10, 227, 2048),
    model("rtx5090", "Mock NVIDIA GeForce RTX 5090 (PTX executed on the CPU)", 12, 99, 1536),
];

/// Few, so that a grid that fills them all is cheap to execute.
pub(crate) const MULTIPROCESSORS: usize = 2;
/// Bytes of shared memory that a CTA has without asking for more.
pub(crate) const SHARED_WITHOUT_ASKING: usize = 48 << 10;
/// Bytes of shared memory that the system takes of each CTA's.
pub(crate) const SHARED_RESERVED: usize = 1 << 10;
/// Bytes of a device, little enough that the host has them.
pub(crate) const TOTAL_MEMORY: usize = 2 << 30;

/// The attributes that a driver knows. Those that are not told here are 0: what they ask for is not there.
const ATTRIBUTES: RangeInclusive<c_uint> = 1..=149;

/// A GPU.
pub(crate) struct Device {
    pub(crate) model: Model,
    pub(crate) memory: Memory,
    /// The allocations that may be freed, by their first address.
    pub(crate) owners: BTreeMap<u64, Owner>,
    /// Bytes of allocations, those among them whose freeing is still queued.
    pub(crate) used: usize,
    /// The primary context and how often it is retained.
    pub(crate) primary: Option<(Handle, usize)>,
}

impl Device {
    pub(crate) fn new(model: Model, ordinal: u8) -> Self {
        let (memory, owners) = (Memory::of_region(ordinal), BTreeMap::new());
        Self { model, memory, owners, used: 0, primary: None }
    }

    fn attribute(&self, attribute: c_uint) -> Option<usize> {
        let model = &self.model;
        Some(match attribute {
            // CTAs and grids.
            1..=3 => 1024,
            4 => 64,
            5 => i32::MAX as usize,
            6 | 7 => 65_535,
            10 => 32,
            39 => model.threads_per_multiprocessor,
            106 => model.ctas_per_multiprocessor,
            // Shared memory.
            8 => SHARED_WITHOUT_ASKING,
            81 => model.shared_per_multiprocessor,
            97 => model.shared_per_cta,
            111 => SHARED_RESERVED,
            // Registers.
            12 | 82 => 65_536,
            16 => MULTIPROCESSORS,
            38 => 50 << 20,
            75 => model.major as usize,
            76 => model.minor as usize,
            120 => usize::from(model.has_clusters()),
            // Concurrent kernels, unified addressing, priorities of streams, cooperative launches, memory pools.
            31 | 41 | 78 | 95 | 115 => 1,
            _ if ATTRIBUTES.contains(&attribute) => 0,
            _ => return None,
        })
    }
}

library! {
    fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) {
        driver::with(|driver| driver.device(ordinal).map(drop))?;
        device.put(ordinal)
    }

    fn cuDeviceGetCount(count: Out<c_int>) {
        count.put(driver::with(|driver| Ok(driver.devices.len()))? as c_int)
    }

    fn cuDeviceGetName(name: Host, space: c_int, device: c_int) {
        let model = driver::with(|driver| Ok(driver.device(device)?.model))?;
        name.write_text(model.name, usize::try_from(space).map_err(|_| Status::INVALID_VALUE)?)
    }

    fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: c_int) {
        uuid.put(universal_identifier(device)?)
    }

    fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: c_int) {
        uuid.put(universal_identifier(device)?)
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) {
        driver::with(|driver| driver.device(device).map(drop))?;
        bytes.put(TOTAL_MEMORY)
    }

    fn cuDeviceGetAttribute(value: Out<c_int>, attribute: c_uint, device: c_int) {
        let attribute = driver::with(|driver| Ok(driver.device(device)?.attribute(attribute)))?;
        value.put(attribute.ok_or(Status::INVALID_VALUE)? as c_int)
    }

    fn cuDeviceCanAccessPeer(can: Out<c_int>, device: c_int, peer: c_int) {
        driver::with(|driver| driver.device(device).and(driver.device(peer)).map(drop))?;
        can.put(0)
    }
}

fn universal_identifier(device: c_int) -> Result<[u8; 16], Status> {
    driver::with(|driver| driver.device(device).map(drop))?;
    let mut uuid = *b"mock of a GPU  0";
    uuid[15] += device as u8;
    Ok(uuid)
}
