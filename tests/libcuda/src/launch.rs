//! Launching kernels: what a launch must not ask for, and its execution.

use std::ffi::c_uint;

use crate::abi::{Handle, Host, In, library};
use crate::device::Model;
use crate::driver::{self, Driver};
use crate::fault::{Failure, refuse};
use crate::inject;
use crate::module::Function;
use crate::status::Status;
use crate::work::Work;

/// `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Config {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    pub(crate) dynamic_shared_bytes: c_uint,
    stream: Handle,
    attributes: In<Attribute>,
    attribute_count: c_uint,
}

/// `CUlaunchAttribute`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attribute {
    id: c_uint,
    padding: [c_uint; 1],
    value: [c_uint; 16],
}

/// A kernel that has been launched; its parameters are those of that moment.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    function: Handle,
    grid: u32,
    threads: u32,
    cluster: u32,
    dynamic_shared_bytes: usize,
    parameters: Vec<u8>,
    /// What a test wants it to fail with.
    fails: Option<Status>,
}

impl Config {
    /// The length of a shape. The executor knows lines only.
    fn line(shape: [c_uint; 3]) -> Result<u32, Status> {
        match shape {
            [0, ..] | [_, 0, _] | [.., 0] => Err(Status::INVALID_VALUE),
            [length, 1, 1] => Ok(length),
            _ => refuse(Status::NOT_SUPPORTED, "the mock executes grids and CTAs of one dimension".to_owned()),
        }
    }

    pub(crate) fn threads(&self) -> Result<u32, Status> {
        Self::line(self.block)
    }

    /// CTAs of a cluster, as the attributes say.
    pub(crate) fn cluster(&self, model: &Model) -> Result<u32, Status> {
        const CLUSTER_DIMENSION: c_uint = 4;
        // Whatever changes nothing of what is computed: access policies, synchronisation, scheduling, priorities.
        const HARMLESS: [c_uint; 5] = [0, 1, 3, 5, 8];
        let mut cluster = 1;
        for index in 0..self.attribute_count as usize {
            match self.attributes.get(index)? {
                Attribute { id: CLUSTER_DIMENSION, value: [x, y, z, ..], .. } => cluster = Self::line([x, y, z])?,
                Attribute { id, .. } if HARMLESS.contains(&id) => {}
                Attribute { id, .. } => return refuse(Status::NOT_SUPPORTED, format!("launch attribute {id}")),
            }
        }
        if cluster > 1 && !model.has_clusters() {
            return refuse(Status::NOT_SUPPORTED, "clusters need compute capability 9.0".to_owned());
        }
        if cluster > 8 {
            return Err(Status::INVALID_CLUSTER_SIZE);
        }
        Ok(cluster)
    }
}

impl Driver {
    /// Refuses what the driver refuses, and keeps the rest.
    fn prepare(&self, config: &Config, function: Handle, parameters: In<Host>) -> Result<Launch, Status> {
        let model = self.model_of(function)?;
        let Function { name, module, max_dynamic_shared_bytes, max_threads, .. } = self.functions.get(function)?;
        let threads = config.threads()?;
        let (grid, cluster) = (Config::line(config.grid)?, config.cluster(&model)?);
        let dynamic_shared_bytes = config.dynamic_shared_bytes as usize;
        if threads > *max_threads || dynamic_shared_bytes > *max_dynamic_shared_bytes || !grid.is_multiple_of(cluster) {
            return Err(Status::INVALID_VALUE);
        }
        let kernel = self.modules.get(*module)?.code.kernel(name).ok_or(Status::INVALID_HANDLE)?;
        let mut bytes = vec![0; kernel.parameter_bytes];
        for (index, range) in kernel.parameters.iter().enumerate() {
            bytes[range.clone()].copy_from_slice(&parameters.get(index)?.read(range.len())?);
        }
        let fails = inject::take_failing_execution();
        Ok(Launch { function, grid, threads, cluster, dynamic_shared_bytes, parameters: bytes, fails })
    }

    fn launch(
        &mut self,
        config: &Config,
        function: Handle,
        parameters: In<Host>,
        current: Handle,
    ) -> Result<(), Status> {
        let stream = self.stream(config.stream, current)?;
        let module = self.functions.get(function)?.module;
        if self.modules.get(module)?.context != self.streams.get(stream)?.context {
            return Err(Status::INVALID_HANDLE);
        }
        let launch = self.prepare(config, function, parameters)?;
        self.enqueue(stream, Work::Launch(launch))
    }

    /// Executes a kernel on its context's device.
    pub(crate) fn run_launch(&mut self, context: Handle, launch: &Launch) -> Result<(), Failure> {
        if let Some(status) = launch.fails {
            return Err(status.into());
        }
        let unloaded =
            |_| Failure { status: Status::LAUNCH_FAILED, text: "the kernel's module is unloaded".to_owned() };
        let function = self.functions.get(launch.function).map_err(unloaded)?;
        let code = self.modules.get(function.module).map_err(unloaded)?.code.clone();
        let kernel = code.kernel(&function.name).ok_or(Status::NOT_FOUND)?;
        let shape = ptx::Launch {
            grid: launch.grid,
            threads: launch.threads,
            cluster: launch.cluster,
            dynamic_shared_bytes: launch.dynamic_shared_bytes,
            parameters: &launch.parameters,
        };
        let device = self.contexts.get(context)?.device;
        ptx::launch(kernel, &shape, &mut self.devices[device].memory, &self.options)?;
        Ok(())
    }
}

fn launch(config: &Config, function: Handle, parameters: In<Host>, extra: In<Host>) -> Result<(), Status> {
    if !extra.is_null() {
        return refuse(Status::NOT_SUPPORTED, "the mock takes parameters one by one".to_owned());
    }
    driver::in_context(|driver, current| driver.launch(config, function, parameters, current))
}

library! {
    fn cuLaunchKernel(
        function: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        dynamic_shared_bytes: c_uint,
        stream: Handle,
        parameters: In<Host>,
        extra: In<Host>,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let (attributes, attribute_count) = (In::NULL, 0);
        launch(
            &Config { grid, block, dynamic_shared_bytes, stream, attributes, attribute_count },
            function,
            parameters,
            extra,
        )
    }

    fn cuLaunchKernelEx(config: In<Config>, function: Handle, parameters: In<Host>, extra: In<Host>) {
        launch(&config.get(0)?, function, parameters, extra)
    }
}
