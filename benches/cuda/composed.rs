//! The benchmark's own kernels (`composed.cu`): a copy, and the loss as frameworks compose it.

use std::sync::Arc;

use kdloss::DType;
use kdloss::cuda::{Kernels, nvrtc};
use kdloss::external::cudarc::driver::{CudaFunction, CudaModule, CudaSlice, DeviceRepr, LaunchConfig, PushKernelArg};
use kdloss::external::cudarc::nvrtc::Ptx;

use crate::problem::{ALPHA, Problem, Result, TEMPERATURE};

const THREADS: u32 = 512;

/// `Settings` of `composed.cu`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Settings {
    rows: u32,
    fours: u32,
    fours_stride: u32,
    inverse_temperature: f32,
    temperature: f32,
    alpha: f32,
}

// SAFETY: it is laid out as the kernels' structure, field for field.
unsafe impl DeviceRepr for Settings {}

/// The kernels for one storage type.
pub struct Module(Arc<CudaModule>);

impl Module {
    pub fn new(kernels: &Kernels, dtype: DType) -> Result<Self> {
        let options = ["--std=c++17".to_owned(), format!("--define-macro=IS_BF16={}", u8::from(dtype == DType::Bf16))];
        let architecture = nvrtc::architecture_for(kernels.limits().architecture)?.replace("sm_", "compute_");
        let compiled = nvrtc::compile_source(include_str!("composed.cu"), &options, &architecture)?;
        Ok(Self(kernels.context().load_module(Ptx::from_src(compiled.ptx))?))
    }

    fn function(&self, name: &str) -> Result<CudaFunction> {
        Ok(self.0.load_function(name)?)
    }
}

fn settings(problem: &Problem) -> Settings {
    Settings {
        rows: problem.rows as u32,
        fours: (problem.vocab / 4) as u32,
        fours_stride: (problem.stride() / 4) as u32,
        inverse_temperature: TEMPERATURE.recip() as f32,
        temperature: TEMPERATURE as f32,
        alpha: ALPHA as f32,
    }
}

fn grid(ctas: usize) -> LaunchConfig {
    LaunchConfig { grid_dim: (ctas as u32, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
}

/// Two matrices read and one written.
pub struct Copy(CudaFunction);

impl Copy {
    pub fn new(module: &Module) -> Result<Self> {
        Ok(Self(module.function("copy")?))
    }

    pub fn launch(&self, problem: &mut Problem, set: usize) -> Result<()> {
        let (settings, rows) = (settings(problem), problem.rows);
        let set = &mut problem.sets[set];
        let mut builder = problem.stream.launch_builder(&self.0);
        builder.arg(&set.student).arg(&set.teacher).arg(&mut set.gradient).arg(&settings);
        // SAFETY: the arguments are those of the kernel, whose accesses stay within `rows` rows of each matrix.
        unsafe { builder.launch(grid(rows)) }?;
        Ok(())
    }
}

/// The loss and its gradient, in seven kernels, and what they leave in memory for one another.
pub struct Composed {
    log_softmax: CudaFunction,
    divergence: CudaFunction,
    cross_entropy: CudaFunction,
    gradient: CudaFunction,
    mean: CudaFunction,
    plain: CudaSlice<f32>,
    student: CudaSlice<f32>,
    teacher: CudaSlice<f32>,
    hard: CudaSlice<f32>,
    soft: CudaSlice<f32>,
    pub loss: CudaSlice<f32>,
}

impl Composed {
    pub fn new(module: &Module, problem: &Problem) -> Result<Self> {
        let floats = |len| problem.stream.alloc_zeros::<f32>(len);
        let matrix = problem.rows * problem.stride();
        Ok(Self {
            log_softmax: module.function("log_softmax")?,
            divergence: module.function("divergence")?,
            cross_entropy: module.function("cross_entropy")?,
            gradient: module.function("gradient")?,
            mean: module.function("mean")?,
            plain: floats(matrix)?,
            student: floats(matrix)?,
            teacher: floats(matrix)?,
            hard: floats(problem.rows)?,
            soft: floats(problem.rows)?,
            loss: floats(1)?,
        })
    }

    /// Bytes beside logits, labels and gradient.
    pub fn extra_bytes(&self) -> usize {
        let slices = [&self.plain, &self.student, &self.teacher, &self.hard, &self.soft, &self.loss];
        slices.iter().map(|slice| slice.num_bytes()).sum()
    }

    pub fn launch(&mut self, problem: &mut Problem, set: usize) -> Result<()> {
        let (settings, rows) = (settings(problem), problem.rows);
        let (stream, set) = (&problem.stream, &mut problem.sets[set]);
        let (one, inverse_temperature) = (1.0f32, settings.inverse_temperature);
        for (input, output, inverse_temperature) in [
            (&set.student, &mut self.plain, one),
            (&set.student, &mut self.student, inverse_temperature),
            (&set.teacher, &mut self.teacher, inverse_temperature),
        ] {
            let mut builder = stream.launch_builder(&self.log_softmax);
            builder.arg(input).arg(output).arg(&inverse_temperature).arg(&settings);
            // SAFETY: the arguments are those of the kernel, whose accesses stay within `rows` rows of each matrix.
            unsafe { builder.launch(grid(rows)) }?;
        }
        let mut builder = stream.launch_builder(&self.divergence);
        builder.arg(&self.student).arg(&self.teacher).arg(&mut self.soft).arg(&settings);
        // SAFETY: as above.
        unsafe { builder.launch(grid(rows)) }?;
        let mut builder = stream.launch_builder(&self.cross_entropy);
        builder.arg(&self.plain).arg(&problem.labels).arg(&mut self.hard).arg(&settings);
        // SAFETY: as above; labels are classes.
        unsafe { builder.launch(grid(rows.div_ceil(THREADS as usize))) }?;
        let mut builder = stream.launch_builder(&self.gradient);
        builder.arg(&self.plain).arg(&self.student).arg(&self.teacher).arg(&mut set.gradient);
        builder.arg(&problem.labels).arg(&settings);
        // SAFETY: as above.
        unsafe { builder.launch(grid(rows)) }?;
        let mut builder = stream.launch_builder(&self.mean);
        builder.arg(&self.hard).arg(&self.soft).arg(&mut self.loss).arg(&settings);
        // SAFETY: as above.
        unsafe { builder.launch(grid(1)) }?;
        Ok(())
    }
}
