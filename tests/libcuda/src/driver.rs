//! Everything that the library knows, behind one lock: a kernel that runs keeps all others waiting.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::abi::{Handle, Host, In, Out, library};
use crate::capture::Graph;
use crate::context::{self, Context};
use crate::device::{Device, Model};
use crate::event::Event;
use crate::memory::Pinned;
use crate::module::{Function, Module};
use crate::status::Status;
use crate::stream::Stream;

/// Things of one kind, by their handles.
pub(crate) struct Table<T>(BTreeMap<Handle, T>);

impl<T> Table<T> {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn add(&mut self, value: T) -> Handle {
        static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
        let handle = Handle(NEXT.fetch_add(0x10, Ordering::Relaxed));
        self.0.insert(handle, value);
        handle
    }

    pub(crate) fn get(&self, handle: Handle) -> Result<&T, Status> {
        self.0.get(&handle).ok_or(Status::INVALID_HANDLE)
    }

    pub(crate) fn get_mut(&mut self, handle: Handle) -> Result<&mut T, Status> {
        self.0.get_mut(&handle).ok_or(Status::INVALID_HANDLE)
    }

    pub(crate) fn remove(&mut self, handle: Handle) -> Result<T, Status> {
        self.0.remove(&handle).ok_or(Status::INVALID_HANDLE)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.0.retain(|_, value| keep(value));
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (Handle, &T)> + Clone {
        self.0.iter().map(|(&handle, value)| (handle, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }
}

/// The library's state.
pub(crate) struct Driver {
    /// As `cuDriverGetVersion` has it: 12090 is CUDA 12.9.
    pub(crate) version: c_int,
    pub(crate) options: ptx::Options,
    pub(crate) devices: Vec<Device>,
    pub(crate) contexts: Table<Context>,
    pub(crate) streams: Table<Stream>,
    pub(crate) events: Table<Event>,
    pub(crate) modules: Table<Module>,
    pub(crate) functions: Table<Function>,
    pub(crate) graphs: Table<Graph>,
    pub(crate) executable_graphs: Table<Graph>,
    /// Memory of the host that copies may come to later.
    pub(crate) pinned: BTreeMap<Host, Pinned>,
}

static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);

impl Driver {
    /// As the environment says.
    fn from_environment() -> Result<Self, Status> {
        let models = env::var("MOCK_CUDA_DEVICE").unwrap_or_else(|_| "h100".to_owned());
        let models: Option<Vec<Model>> = models.split(',').map(|key| Model::named(key.trim())).collect();
        let models = models.ok_or(Status::NO_DEVICE)?;
        if env::var("MOCK_CUDA_DEVICES").is_ok_and(|count| count.trim() == "0") {
            return Err(Status::NO_DEVICE);
        }
        let seed = number("MOCK_CUDA_SEED").unwrap_or_default();
        let noise = number("MOCK_CUDA_NOISE").is_some_and(|noise| noise != 0);
        Ok(Self {
            version: version(),
            options: ptx::Options { seed, noise, ..ptx::Options::default() },
            devices: models.into_iter().zip(0..16).map(|(model, ordinal)| Device::new(model, ordinal)).collect(),
            contexts: Table::new(),
            streams: Table::new(),
            events: Table::new(),
            modules: Table::new(),
            functions: Table::new(),
            graphs: Table::new(),
            executable_graphs: Table::new(),
            pinned: BTreeMap::new(),
        })
    }

    pub(crate) fn device(&self, ordinal: c_int) -> Result<&Device, Status> {
        let index = usize::try_from(ordinal).map_err(|_| Status::INVALID_DEVICE)?;
        self.devices.get(index).ok_or(Status::INVALID_DEVICE)
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.trim().parse().ok()
}

fn version() -> c_int {
    number("MOCK_CUDA_DRIVER").and_then(|version| version.try_into().ok()).unwrap_or(12_090)
}

/// Does something with the state, once `cuInit` has made it.
pub(crate) fn with<T>(body: impl FnOnce(&mut Driver) -> Result<T, Status>) -> Result<T, Status> {
    let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    body(driver.as_mut().ok_or(Status::NOT_INITIALIZED)?)
}

/// Does something in the thread's current context, unless that has failed.
pub(crate) fn in_context<T>(body: impl FnOnce(&mut Driver, Handle) -> Result<T, Status>) -> Result<T, Status> {
    with(|driver| {
        let current = context::current().ok_or(Status::INVALID_CONTEXT)?;
        driver.check(current)?;
        body(driver, current)
    })
}

library! {
    fn cuInit(flags: c_uint) {
        if flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
        if driver.is_none() {
            *driver = Some(Driver::from_environment()?);
        }
        Ok(())
    }

    fn cuDriverGetVersion(to: Out<c_int>) {
        // Told before `cuInit` too.
        to.put(version())
    }

    /// NVRTC asks for tables that NVIDIA does not document, and compiles without them.
    fn cuGetExportTable(_table: Out<usize>, _uuid: In<[u8; 16]>) {
        Err(Status::NOT_FOUND)
    }

    fn cuProfilerStart() {
        Ok(())
    }

    fn cuProfilerStop() {
        Ok(())
    }
}
