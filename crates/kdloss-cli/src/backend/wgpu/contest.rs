//! A GPU through wgpu, by the wall clock around submission and waiting.

use std::time::Instant;

use kdloss::external::wgpu;
use kdloss::external::wgpu::util::{BufferInitDescriptor, DeviceExt};
use kdloss::wgpu::{Adapter, Batch, Kernels, Labels, Matrix};

use crate::backend::contest::Contest;
use crate::backend::problem::Problem;
use crate::failure::{Failure, Result};

pub(super) struct WgpuContest {
    kernels: Kernels,
    queue: wgpu::Queue,
    problem: Problem,
    student: wgpu::Buffer,
    teacher: wgpu::Buffer,
    labels: wgpu::Buffer,
    /// Where the gradient goes, and what the floor writes to.
    target: wgpu::Buffer,
}

impl WgpuContest {
    pub(super) fn new(adapter: &Adapter, problem: Problem) -> Result<Self> {
        let (device, queue) = adapter.open()?;
        let kernels = Kernels::new(&device, &queue)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let largest = device.limits().max_buffer_size;
        if problem.student.bytes().len() as u64 > largest {
            let message = format!(
                "{} rows of {} logits are more than this adapter's {largest} bytes to a buffer",
                problem.rows, problem.vocab
            );
            return Err(Failure::new(format!("{message}: choose fewer --rows")));
        }
        let upload =
            |contents: &[u8]| device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage });
        Ok(Self {
            student: upload(problem.student.bytes()),
            teacher: upload(problem.teacher.bytes()),
            labels: upload(bytemuck::cast_slice(&problem.labels)),
            target: upload(problem.student.bytes()),
            kernels,
            queue,
            problem,
        })
    }

    fn matrix<'b>(&self, buffer: &'b wgpu::Buffer) -> Matrix<'b> {
        let Problem { rows, vocab, stride, .. } = self.problem;
        Matrix::new(buffer, self.problem.student.logits().dtype(), rows, vocab).with_row_stride(stride)
    }

    /// Seconds until the device has done what `encode` records.
    fn time(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<()>) -> Result<f64> {
        let device = self.kernels.device();
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder)?;
        let commands = encoder.finish();
        let start = Instant::now();
        self.queue.submit([commands]);
        let waited = device.poll(wgpu::PollType::wait_indefinitely());
        waited.map_err(|error| Failure::new(format!("the adapter does not answer: {error}")))?;
        Ok(start.elapsed().as_secs_f64())
    }
}

impl Contest for WgpuContest {
    /// A copy of one matrix, scaled: it reads one and writes one, where the loss reads two and writes one or none.
    fn floor(&mut self) -> Result<f64> {
        let copied = self.time(|encoder| {
            encoder.copy_buffer_to_buffer(&self.student, 0, &self.target, 0, self.student.size());
            Ok(())
        })?;
        Ok(if self.problem.gradient.is_some() { 1.5 * copied } else { copied })
    }

    fn loss(&mut self) -> Result<f64> {
        let batch = Batch::new(self.matrix(&self.student))
            .with_teacher(self.matrix(&self.teacher))
            .with_labels(Labels::i64(&self.labels));
        self.time(|encoder| {
            if self.problem.gradient.is_some() {
                let gradient = self.matrix(&self.target);
                self.kernels.encode_forward_backward(encoder, &self.problem.loss, &batch, gradient)?;
            } else {
                self.kernels.encode_forward(encoder, &self.problem.loss, &batch)?;
            }
            Ok(())
        })
    }

    fn extra_bytes(&self) -> Option<u64> {
        None
    }
}
