//! Launching the kernels: on the caller's stream, over the caller's buffers.

use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUstreamCaptureStatus as CaptureStatus};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream};

use super::batch::{Batch, Lender, MatrixMut};
use super::driver::{self, refused};
use super::modules::Modules;
use super::params::Params;
use super::placed::Placed;
use super::plan::{self, DeviceLimits, Plan};
use super::workspace::Workspace;
use super::{cache, raw};
use crate::call::Target;
use crate::error::{Error, Result};
use crate::loss::DistillationLoss;

/// The kernels on one GPU, for calls on any of its streams and from any thread. Clones share what has been compiled.
///
/// Each of some hundred kernels is compiled when it is first needed (about 0.3 s), kept in this context, and on disk for the
/// next time. Calls that need nothing new neither allocate nor wait: they launch one kernel and return, and can be captured
/// into a CUDA graph. To be captured, a stream's buffers must come without cudarc's events
/// ([`CudaContext::disable_event_tracking`]), since a graph cannot wait for what happened before it.
///
/// Dropping the last clone waits for the GPU, then unloads the code: a graph that was captured from them needs one.
///
/// # Examples
///
/// ```no_run
/// use kdloss::DistillationLoss;
/// use kdloss::cuda::{Batch, Kernels, Matrix, MatrixMut, Workspace, context};
///
/// let context = context(0)?;
/// let stream = context.default_stream();
/// let (kernels, mut workspace) = (Kernels::new(&context)?, Workspace::new(&stream)?);
/// let student = stream.clone_htod(&[2.0f32, 0.0, -1.0])?;
/// let teacher = stream.clone_htod(&[1.0f32, 1.0, -1.0])?;
/// let labels = stream.clone_htod(&[0i64])?;
/// let mut gradient = stream.alloc_zeros::<f32>(3)?;
///
/// let batch = Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&labels);
/// let mut gradient = MatrixMut::new(&mut gradient, 1, 3);
/// kernels.launch_forward_backward(&stream, &mut workspace, &DistillationLoss::new(), &batch, &mut gradient)?;
/// println!("{}", workspace.read()?.loss);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Kernels {
    context: Arc<CudaContext>,
    limits: DeviceLimits,
    modules: Arc<Modules>,
}

impl Kernels {
    /// Kernels for a context's GPU. Nothing is compiled yet.
    ///
    /// # Errors
    ///
    /// [`Error::OldDriver`]; [`Error::NoDevice`] for a GPU older than compute capability 8.0.
    pub fn new(context: &Arc<CudaContext>) -> Result<Self> {
        Self::with_cache_folder(context, cache::folder())
    }

    /// Kernels that are kept on disk in a folder of the caller's choice, or not at all. [`Kernels::new`] takes
    /// [`cache_folder`](super::cache_folder).
    ///
    /// # Errors
    ///
    /// As [`Kernels::new`].
    pub fn with_cache_folder(context: &Arc<CudaContext>, folder: Option<PathBuf>) -> Result<Self> {
        driver::ensure()?;
        let limits = driver::limits(context)?;
        driver::check_architecture(&limits)?;
        let modules = Arc::new(Modules::new(context, limits, folder));
        Ok(Self { context: Arc::clone(context), limits, modules })
    }

    /// The context they run in.
    #[must_use]
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// What the planner knows of the GPU.
    #[must_use]
    pub fn limits(&self) -> &DeviceLimits {
        &self.limits
    }

    /// How many kernels were compiled here, rather than found on disk.
    #[must_use]
    pub fn compiled(&self) -> usize {
        self.modules.compiled()
    }

    /// Launches the loss of a batch, without its gradient. [`Workspace::read`] brings the result to the host.
    ///
    /// # Errors
    ///
    /// As [`cpu::forward`](crate::cpu::forward), but for labels that are no class, which only the GPU sees:
    /// [`Workspace::read`] tells of them. [`Error::OtherContext`], [`Error::OtherStream`]; where something is compiled or
    /// allocated for the first time, [`Error::NoCompiler`], [`Error::CompileFailed`], [`Error::OldDriver`],
    /// [`Error::OutOfMemory`], [`Error::Capturing`]; [`Error::DeviceLost`] and [`Error::Device`] for what else the driver
    /// refuses.
    pub fn launch_forward(
        &self,
        stream: &CudaStream,
        workspace: &mut Workspace,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
    ) -> Result<()> {
        let mut lender = self.lender(stream)?;
        let student = lender.matrix("student", &batch.student)?;
        let raw = lender.batch(student, &batch.targets)?;
        // SAFETY: the addresses are those of borrowed slices of this context, with their lengths; `lender` orders what the
        // stream does with them among other streams, and lives until after the launch.
        unsafe { self.launch_raw(stream, workspace, loss, &raw, Target::None) }
    }

    /// Launches the loss of a batch and, into `gradient`, its gradient with respect to the student's logits: what is
    /// written is as [`cpu::forward_backward`](crate::cpu::forward_backward) says.
    ///
    /// # Errors
    ///
    /// As [`Kernels::launch_forward`]; also a gradient that does not fit.
    pub fn launch_forward_backward(
        &self,
        stream: &CudaStream,
        workspace: &mut Workspace,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: &mut MatrixMut<'_>,
    ) -> Result<()> {
        let mut lender = self.lender(stream)?;
        let student = lender.matrix("student", &batch.student)?;
        let raw = lender.batch(student, &batch.targets)?;
        let gradient = lender.matrix_mut("gradient", gradient)?;
        // SAFETY: as in `launch_forward`; the gradient is borrowed for writing, so it overlaps nothing else.
        unsafe { self.launch_raw(stream, workspace, loss, &raw, Target::Separate(gradient)) }
    }

    /// Launches the loss of a batch, and its gradient over the student's logits: as [`Kernels::launch_forward_backward`], without
    /// a second buffer.
    ///
    /// # Errors
    ///
    /// As [`Kernels::launch_forward`].
    pub fn launch_forward_backward_in_place(
        &self,
        stream: &CudaStream,
        workspace: &mut Workspace,
        loss: &DistillationLoss,
        batch: &mut Batch<'_, MatrixMut<'_>>,
    ) -> Result<()> {
        let mut lender = self.lender(stream)?;
        let student = lender.matrix_mut("student", &mut batch.student)?;
        let raw = lender.batch(student, &batch.targets)?;
        // SAFETY: as in `launch_forward`; the student is borrowed for writing.
        unsafe { self.launch_raw(stream, workspace, loss, &raw, Target::InPlace) }
    }

    /// Launches the loss of a batch that is described by device addresses, as frameworks have them, and its gradient if that has
    /// a target. The target overlaps nothing that is read, except the student that it overwrites.
    ///
    /// # Errors
    ///
    /// As [`Kernels::launch_forward`]; [`Error::BufferAliased`] for a gradient that overlaps what is read.
    ///
    /// # Safety
    ///
    /// Until the stream has run the kernel, the addresses must be those of memory that kernels of this context may access
    /// and nobody else writes: matrices of as many elements as they say, one label and one row factor per row, one factor
    /// of the whole gradient. Nobody else may read the gradient's memory.
    pub unsafe fn launch_raw(
        &self,
        stream: &CudaStream,
        workspace: &mut Workspace,
        loss: &DistillationLoss,
        batch: &raw::Batch,
        target: Target<raw::Matrix>,
    ) -> Result<()> {
        self.check_context("stream", stream.context())?;
        self.check_context("workspace", workspace.stream().context())?;
        if **workspace.stream() != *stream {
            return Err(Error::OtherStream);
        }
        let Placed { call, problem, mut params } = batch.check(loss, target)?;
        let plan = plan::plan(&problem, &self.limits);
        self.context.bind_to_thread().map_err(|error| refused("use the context", error))?;
        let function = self.modules.get(&plan.specialisation, || may_not_capture(stream, "load a kernel"))?;
        (params.records, params.totals) =
            workspace.room(call.rows, || may_not_capture(stream, "enlarge the workspace"))?;
        params.slots = plan.slots;
        // SAFETY: the kernel takes one block of parameters, whose addresses the caller vouches for; the workspace has room
        // for the records of all rows, and nothing of another stream runs on it.
        unsafe { launch(&function, &plan, stream, &params) }?;
        workspace.launched(call);
        Ok(())
    }

    fn lender<'s>(&self, stream: &'s CudaStream) -> Result<Lender<'s>> {
        self.check_context("stream", stream.context())?;
        Ok(Lender::new(stream))
    }

    fn check_context(&self, part: &'static str, context: &CudaContext) -> Result<()> {
        if *context == *self.context { Ok(()) } else { Err(Error::OtherContext { part }) }
    }
}

/// Refuses what a captured stream cannot do.
fn may_not_capture(stream: &CudaStream, operation: &'static str) -> Result<()> {
    match stream.capture_status() {
        Ok(CaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE) => Ok(()),
        Ok(_) => Err(Error::Capturing { operation }),
        Err(error) => Err(refused("ask whether the stream is captured", error)),
    }
}

/// Launches a kernel that takes one block of parameters.
///
/// # Safety
///
/// `function` is the kernel of `plan`'s specialisation, whose accesses the parameters allow; its context is bound.
unsafe fn launch(function: &CudaFunction, plan: &Plan, stream: &CudaStream, params: &Params) -> Result<()> {
    let mut arguments = [ptr::from_ref(params).cast_mut().cast::<c_void>()];
    let (function, stream) = (function.cu_function(), stream.cu_stream());
    let (grid, threads, shared) = (plan.grid, plan.threads, plan.shared_bytes);
    let status = if plan.cluster == 1 {
        let (arguments, extra) = (arguments.as_mut_ptr(), ptr::null_mut());
        // SAFETY: the driver copies the parameters before it returns; the caller vouches for the rest.
        unsafe { sys::cuLaunchKernel(function, grid, 1, 1, threads, 1, 1, shared, stream, arguments, extra) }
    } else {
        // SAFETY: as above; a GPU that has clusters has a driver that has this function.
        unsafe { launch_clusters(function, plan, stream, arguments.as_mut_ptr()) }
    };
    status.result().map_err(|error| refused("launch the kernel", error))
}

/// As `cuLaunchKernel`, in clusters.
///
/// # Safety
///
/// That of `cuLaunchKernel`.
unsafe fn launch_clusters(
    function: sys::CUfunction,
    plan: &Plan,
    stream: sys::CUstream,
    arguments: *mut *mut c_void,
) -> sys::CUresult {
    let cluster = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: plan.cluster, y: 1, z: 1 };
    let mut attribute = sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { clusterDim: cluster },
    };
    let config = sys::CUlaunchConfig {
        gridDimX: plan.grid,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: plan.threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: plan.shared_bytes,
        hStream: stream,
        attrs: &mut attribute,
        numAttrs: 1,
    };
    // SAFETY: the configuration lives through the call; the caller vouches for the rest.
    unsafe { sys::cuLaunchKernelEx(&config, function, arguments, ptr::null_mut()) }
}
