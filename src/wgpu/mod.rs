//! The loss on any GPU, through [wgpu](https://docs.rs/wgpu): Vulkan, Metal, Direct3D 12, and OpenGL.
//!
//! # How it works
//!
//! A call is three kernels in one compute pass, hand-written in WGSL (`kernels/wgsl`): `count_labels` counts the rows that
//! count, which the mean is divided by; `distill` evaluates a row in each workgroup, its statistics first, then gradient
//! and soft term, and is the only one that reads the logits; `fold_rows` sums the rows. Nothing is read back in between,
//! and nothing of the logits' size is allocated. Tensors larger than a binding are taken in chunks of rows, each with a
//! dispatch of `distill`.
//!
//! Kernels are put together from small pieces, by the storage types of student, teacher and gradient and the terms that
//! are computed, compiled when first needed and kept.
//!
//! # What to rely on
//!
//! * Nothing is submitted behind the caller's back: [`Kernels::encode_forward_backward`] and its siblings record commands
//!   into the caller's encoder. [`Kernels::evaluate`] takes host slices: it uploads, runs and reads back.
//! * Every mistake is an [`Error`] that names the buffer and the remedy: no call raises a validation error
//!   of wgpu, which would panic. Two mistakes are beyond that. If an encoder or a queue belongs to another device, only wgpu
//!   can see it, when the encoder is finished or [`Kernels::evaluate`] submits. If an object belongs to another
//!   [`wgpu::Instance`], not even wgpu can tell.
//! * The same input gives the same bits on the same adapter, in whatever chunks; a row's bits depend on that row alone.
//! * Every element that a row's workgroup visits is counted. A row of which a driver missed a part, by a loop that ends early or
//!   a lane that is lost, is NaN, and [`Error::RowIncomplete`] when the result is read.
//! * Results keep twice the accuracy contract of [`cpu`](crate::cpu#what-to-rely-on). Losses of rows are `f32` on the
//!   device, and summed in `f64` when they are read.
//! * What happens at the edges is [the crate's table](crate#what-happens-at-the-edges), with one difference: labels are
//!   checked on the device. A row whose label is no class becomes NaN, and the error comes when the result is read.
//!
//! # Example
//!
//! ```no_run
//! use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Matrix};
//! use kdloss::{DType, DistillationLoss};
//!
//! let (device, queue) = Adapter::choose(None)?.open()?;
//! let kernels = Kernels::new(&device, &queue)?;
//! # let (student, teacher, gradient, labels): (wgpu::Buffer, wgpu::Buffer, wgpu::Buffer, wgpu::Buffer) = todo!();
//! # use kdloss::external::wgpu;
//! let batch = Batch::new(Matrix::new(&student, DType::F32, 128, 151_936))
//!     .with_teacher(Matrix::new(&teacher, DType::Bf16, 128, 151_936))
//!     .with_labels(Labels::i64(&labels));
//! let gradient = Matrix::new(&gradient, DType::F32, 128, 151_936);
//!
//! let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
//! let pending = kernels.encode_forward_backward(&mut encoder, &DistillationLoss::new(), &batch, gradient)?;
//! queue.submit([encoder.finish()]);
//! println!("loss {}", pending.read()?.loss);
//! # Ok::<(), kdloss::Error>(())
//! ```

mod adapter;
mod batch;
mod device;
mod encode;
mod host;
mod params;
mod pipelines;
mod plan;
mod results;
mod variant;

use std::sync::Arc;

pub use adapter::Adapter;
pub use batch::{Batch, Labels, Matrix};
pub use results::Pending;

use crate::call::Target;
use crate::error::{Error, Result};
use crate::loss::DistillationLoss;
use batch::Placed;
use pipelines::{Pipelines, SourceEdit};
use variant::Join;

/// What the tests look at.
#[doc(hidden)]
pub mod internals {
    pub use super::plan::workgroup;
    pub use super::variant::{GradientStorage, Join, Kernel, Storage, Variant, Workgroup};
}

/// How kernels are compiled and run, where the defaults are not wanted.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// Lanes of a workgroup, a power of two. Default: what suits the adapter, 256 on a GPU.
    pub workgroup_size: Option<u32>,
    /// Whether lanes are joined by subgroup operations where they can be. Default: yes. Without, the last bits differ.
    pub without_subgroups: bool,
    /// Bytes of a matrix that calls on host slices have on the device at a time, unless a single row has more. Default:
    /// 128 MiB.
    pub part_size: Option<u64>,
    edit: Option<SourceEdit>,
}

impl Options {
    /// The adapter's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the lanes of a workgroup.
    #[must_use]
    pub fn with_workgroup_size(mut self, lanes: u32) -> Self {
        self.workgroup_size = Some(lanes);
        self
    }

    /// Does without subgroup operations.
    #[must_use]
    pub fn without_subgroups(mut self) -> Self {
        self.without_subgroups = true;
        self
    }

    /// Sets how much of a matrix calls on host slices have on the device at a time, in bytes.
    #[must_use]
    pub fn with_part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    /// Changes the kernels' sources before they are compiled.
    #[doc(hidden)]
    #[must_use]
    pub fn with_source_edit(
        mut self,
        edit: impl Fn(internals::Kernel, String) -> String + Send + Sync + 'static,
    ) -> Self {
        self.edit = Some(Arc::new(edit));
        self
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("workgroup_size", &self.workgroup_size)
            .field("without_subgroups", &self.without_subgroups)
            .field("part_size", &self.part_size)
            .finish_non_exhaustive()
    }
}

const DEFAULT_PART_SIZE: u64 = 128 << 20;

/// The kernels of one device. Made once and shared: compiled kernels are kept, and calls may come from any thread.
#[derive(Debug)]
pub struct Kernels {
    pipelines: Pipelines,
    queue: wgpu::Queue,
    part_size: u64,
}

impl Kernels {
    /// Kernels for a device and its queue, with the workgroup that suits its adapter. Subgroup operations are used if the device was
    /// requested with [`wgpu::Features::SUBGROUP`]. Nothing else is needed beyond wgpu's default limits, and little of
    /// them: 7 storage buffers, 8 KiB of workgroup memory.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if the device refuses the first kernels or binds fewer buffers; [`Error::DeviceLost`].
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Self> {
        Self::with_options(device, queue, Options::new())
    }

    /// As [`Kernels::new`], with a say in the workgroup.
    ///
    /// # Errors
    ///
    /// As [`Kernels::new`]; [`Error::WorkgroupSize`] if the device does not take that size.
    pub fn with_options(device: &wgpu::Device, queue: &wgpu::Queue, options: Options) -> Result<Self> {
        device::check(device)?;
        let (info, limits, features) = (device.adapter_info(), device.limits(), device.features());
        let mut lanes = plan::Lanes::new(&info, &limits, features);
        if let Some(size) = options.workgroup_size {
            let largest = plan::largest_workgroup(&limits);
            if !size.is_power_of_two() || size > largest {
                return Err(Error::WorkgroupSize { size, largest });
            }
            lanes.fix(size);
        }
        if options.without_subgroups {
            lanes.join_through_memory();
        }
        let pipelines = Pipelines::new(device.clone(), lanes, options.edit);
        let of_batch = pipelines.lanes().of_batch();
        pipelines.get(variant::Kernel::CountLabels, of_batch)?;
        pipelines.get(variant::Kernel::FoldRows, of_batch)?;
        Ok(Self { pipelines, queue: queue.clone(), part_size: options.part_size.unwrap_or(DEFAULT_PART_SIZE) })
    }

    /// The device these kernels belong to.
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        self.pipelines.device()
    }

    /// Lanes of a workgroup. A software adapter has more of them for rows of more than a million columns.
    #[must_use]
    pub fn workgroup_size(&self) -> u32 {
        self.pipelines.lanes().of_row(1).size
    }

    /// Whether lanes are joined by subgroup operations.
    #[must_use]
    pub fn uses_subgroups(&self) -> bool {
        self.pipelines.lanes().of_row(1).join != Join::Workgroup
    }

    /// Encodes the loss of a batch, without its gradient.
    ///
    /// Reads the first `vocab` columns of student and teacher. A kernel that has not been used yet is compiled first.
    ///
    /// # Errors
    ///
    /// Any [`Error`] about the loss, the batch or its buffers; after an error nothing has been encoded.
    pub fn encode_forward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
    ) -> Result<Pending> {
        self.encode(encoder, loss, batch, Target::None)
    }

    /// Encodes the loss of a batch and its gradient with respect to the student's logits.
    ///
    /// Writes the first `vocab` columns of `gradient`, and 0 to its other columns; what lies between its columns and its
    /// row stride is not touched. The gradient is that of [`LossValue::loss`](crate::LossValue::loss): already divided by
    /// the reduction's count, and multiplied by [`grad_scale`](DistillationLoss::grad_scale).
    ///
    /// # Errors
    ///
    /// As [`Kernels::encode_forward`]; also a gradient that does not fit, or that shares its buffer with anything else.
    pub fn encode_forward_backward(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: Matrix<'_>,
    ) -> Result<Pending> {
        self.encode(encoder, loss, batch, Target::Separate(gradient))
    }

    /// Encodes the loss of a batch, and its gradient over the student's logits: no second buffer is needed.
    ///
    /// # Errors
    ///
    /// As [`Kernels::encode_forward`]; also a student that shares its buffer with anything else.
    pub fn encode_forward_backward_in_place(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
    ) -> Result<Pending> {
        self.encode(encoder, loss, batch, Target::InPlace)
    }

    fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        target: Target<Matrix<'_>>,
    ) -> Result<Pending> {
        encode::encode(&self.pipelines, encoder, &Placed::new(loss, batch, target)?, None)
    }
}
