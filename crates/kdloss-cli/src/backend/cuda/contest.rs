//! An NVIDIA GPU, by CUDA events.

use std::sync::Arc;

use kdloss::Target;
use kdloss::cuda::{Device, Kernels, Workspace, context, raw};
use kdloss::external::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use kdloss::external::cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DriverError};

use crate::backend::contest::Contest;
use crate::backend::problem::Problem;
use crate::failure::{Failure, Result};

pub(super) struct CudaContest {
    kernels: Kernels,
    stream: Arc<CudaStream>,
    workspace: Workspace,
    problem: Problem,
    student: CudaSlice<u8>,
    teacher: CudaSlice<u8>,
    labels: CudaSlice<i64>,
    /// Where the gradient goes, and what the floor writes to.
    target: CudaSlice<u8>,
}

impl CudaContest {
    pub(super) fn new(device: &Device, problem: Problem) -> Result<Self> {
        let context = context(device.ordinal)?;
        let (kernels, stream) = (Kernels::new(&context)?, context.default_stream());
        let workspace = Workspace::with_rows(&stream, problem.rows)?;
        Ok(Self {
            student: stream.clone_htod(problem.student.bytes()).map_err(refused)?,
            teacher: stream.clone_htod(problem.teacher.bytes()).map_err(refused)?,
            labels: stream.clone_htod(&problem.labels).map_err(refused)?,
            target: stream.clone_htod(problem.student.bytes()).map_err(refused)?,
            kernels,
            stream,
            workspace,
            problem,
        })
    }

    /// Seconds between two events around what `launch` puts on the stream.
    fn time(&mut self, launch: impl FnOnce(&mut Self) -> Result<()>) -> Result<f64> {
        let start = self.stream.record_event(Some(CU_EVENT_DEFAULT)).map_err(refused)?;
        launch(self)?;
        let end = self.stream.record_event(Some(CU_EVENT_DEFAULT)).map_err(refused)?;
        Ok(f64::from(start.elapsed_ms(&end).map_err(refused)?) * 1e-3)
    }

    fn matrix(&self, slice: &CudaSlice<u8>) -> raw::Matrix {
        let Problem { rows, vocab, stride, .. } = self.problem;
        let logits = self.problem.student.logits();
        raw::Matrix::new(slice.device_ptr(&self.stream).0, logits.len(), logits.dtype(), rows, vocab)
            .with_row_stride(stride)
    }
}

impl Contest for CudaContest {
    /// A copy of one matrix, scaled: it reads one and writes one, where the loss reads two and writes one or none.
    fn floor(&mut self) -> Result<f64> {
        let copied = self.time(|this| this.stream.memcpy_dtod(&this.student, &mut this.target).map_err(refused))?;
        Ok(if self.problem.gradient.is_some() { 1.5 * copied } else { copied })
    }

    fn loss(&mut self) -> Result<f64> {
        self.time(|this| {
            let labels = raw::Labels::i64(this.labels.device_ptr(&this.stream).0, this.labels.len());
            let batch = raw::Batch::new(this.matrix(&this.student))
                .with_teacher(this.matrix(&this.teacher))
                .with_labels(labels);
            let target = match this.problem.gradient {
                Some(_) => Target::Separate(this.matrix(&this.target)),
                None => Target::None,
            };
            // SAFETY: the slices are of this context and as long as they say, and only this stream uses them.
            unsafe { this.kernels.launch_raw(&this.stream, &mut this.workspace, &this.problem.loss, &batch, target) }?;
            Ok(())
        })
    }

    fn extra_bytes(&self) -> Option<u64> {
        Some(self.workspace.bytes() as u64)
    }
}

fn refused(error: DriverError) -> Failure {
    Failure::new(format!("the GPU refused: {error:?}"))
}
