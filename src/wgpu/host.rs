//! The loss of host slices on a device: upload, run, read back.
//!
//! Rows are taken in parts that need little of the device's memory, whatever the size of the batch. The host has the
//! labels, so the reduction's counts are known beforehand, and every error of a batch is found before anything is written.

use std::ops::Range;

use super::batch::{Batch, Labels, Matrix, Placed};
use super::device::{ask, buffer, filled_buffer};
use super::results::{Pending, read_buffer};
use super::{Kernels, encode};
use crate::batch::{Matrix as HostMatrix, MatrixMut, StudentView};
use crate::call::{Call, Counts, Target};
use crate::elements::{DType, Elements, ElementsMut, Labels as HostLabels};
use crate::error::Result;
use crate::loss::DistillationLoss;
use crate::value::LossValue;

/// Buffers of some rows on the device.
struct Uploaded {
    student: wgpu::Buffer,
    teacher: Option<wgpu::Buffer>,
    labels: Option<wgpu::Buffer>,
    row_grad_scale: Option<wgpu::Buffer>,
}

/// One call on host slices.
struct Evaluation<'c> {
    kernels: &'c Kernels,
    batch: &'c crate::Batch<'c>,
    call: Call,
    counts: Counts,
    /// Elements between the starts of two rows on the device, so that rows are accessed in vectors.
    row_stride: usize,
}

impl Kernels {
    /// The loss of a batch of host slices and, where a gradient is given, its gradient: uploads, runs and reads back.
    ///
    /// # Errors
    ///
    /// As [`cpu::forward_backward`](crate::cpu::forward_backward); also what the device refuses, or its loss, after which
    /// the first rows of the gradient may have been written.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use kdloss::wgpu::{Adapter, Kernels};
    /// use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut};
    ///
    /// let (device, queue) = Adapter::choose(None)?.open()?;
    /// let kernels = Kernels::new(&device, &queue)?;
    /// let (student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
    /// let batch =
    ///     Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
    /// let mut gradient = [0.0f32; 3];
    /// let value = kernels.evaluate(&DistillationLoss::new(), &batch, Some(&mut MatrixMut::new(&mut gradient, 1, 3)))?;
    /// let same = kernels.evaluate(&DistillationLoss::new(), &batch, None)?; // the loss alone
    /// # Ok::<(), kdloss::Error>(())
    /// ```
    pub fn evaluate(
        &self,
        loss: &DistillationLoss,
        batch: &crate::Batch<'_>,
        gradient: Option<&mut MatrixMut<'_>>,
    ) -> Result<LossValue> {
        let target = gradient.as_ref().map_or(Target::None, |gradient| Target::Separate(gradient.shape()));
        let (call, counts) = batch.check(loss, target)?;
        // A batch without rows may have any vocabulary.
        let row_stride = call.vocab.checked_next_multiple_of(4).unwrap_or(usize::MAX);
        Evaluation { kernels: self, batch, call, counts, row_stride }.run(gradient)
    }
}

impl Evaluation<'_> {
    fn run(&self, gradient: Option<&mut MatrixMut<'_>>) -> Result<LossValue> {
        let dtype = gradient.as_ref().map(|gradient| gradient.data.dtype());
        let mut gradient_rows = gradient.map(|gradient| gradient.rows_mut());
        let (mut rows, mut nonfinite_rows) = (Vec::with_capacity(self.call.rows), 0);
        for part in self.parts() {
            let (pending, gradient) = self.run_part(&part, dtype)?;
            let value = pending.read()?;
            rows.extend(value.rows);
            nonfinite_rows += value.nonfinite_rows;
            if let (Some(gradient), Some(gradient_rows)) = (gradient, &mut gradient_rows) {
                let bytes = read_buffer(self.kernels.device(), &gradient)?;
                for (source, row) in bytes.chunks(bytes.len() / part.len()).zip(gradient_rows) {
                    self.write_gradient(source, row);
                }
            }
        }
        Ok(LossValue::reduce(&self.call, self.counts, rows, nonfinite_rows))
    }

    /// The rows in parts.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let row = self.row_stride.saturating_mul(size_of::<f32>()) as u64;
        let at_a_time = usize::try_from(self.kernels.part_size / row).unwrap_or(usize::MAX).max(1);
        let rows = self.call.rows;
        (0..rows).step_by(at_a_time).map(move |start| start..rows.min(start + at_a_time))
    }

    /// Submits the loss of some rows, and the copy of their gradient to a buffer that can be read.
    fn run_part(&self, rows: &Range<usize>, gradient: Option<DType>) -> Result<(Pending, Option<wgpu::Buffer>)> {
        let device = self.kernels.device();
        let uploaded = self.upload(rows)?;
        let batch = self.device_batch(&uploaded, rows.len());
        let readable = gradient.map(|dtype| self.gradient_buffers(dtype, rows.len())).transpose()?;
        let target = match (&readable, gradient) {
            (Some((buffer, _)), Some(dtype)) => {
                Target::Separate(Matrix::new(buffer, dtype, rows.len(), self.row_stride))
            }
            _ => Target::None,
        };
        let placed = Placed::new(&self.call.loss, &batch, target)?;

        let descriptor = wgpu::CommandEncoderDescriptor { label: Some("kdloss") };
        let mut encoder = ask(device, "make an encoder", || device.create_command_encoder(&descriptor))?;
        let denominators = self.call.denominators(self.counts);
        let pipelines = &self.kernels.pipelines;
        let pending = encode::encode(pipelines, &mut encoder, &placed, Some(denominators))?;
        ask(device, "run the loss", || {
            if let Some((gradient, staging)) = &readable {
                encoder.copy_buffer_to_buffer(gradient, 0, staging, 0, staging.size());
            }
            self.kernels.queue.submit([encoder.finish()]);
        })?;
        Ok((pending, readable.map(|(_, staging)| staging)))
    }

    fn upload(&self, rows: &Range<usize>) -> Result<Uploaded> {
        let teacher = self.batch.teacher.filter(|_| self.call.terms.has_soft());
        let labels = self.batch.labels.map(|labels| match labels {
            HostLabels::I64(labels) => bytemuck::cast_slice(&labels[rows.clone()]),
            HostLabels::I32(labels) => bytemuck::cast_slice(&labels[rows.clone()]),
        });
        let row_grad_scale = self.batch.row_grad_scale.map(|scale| bytemuck::cast_slice(&scale[rows.clone()]));
        Ok(Uploaded {
            student: self.upload_matrix("kdloss student", &self.batch.student, rows)?,
            teacher: teacher.map(|teacher| self.upload_matrix("kdloss teacher", &teacher, rows)).transpose()?,
            labels: labels.map(|labels| self.upload_list("kdloss labels", labels)).transpose()?,
            row_grad_scale: row_grad_scale.map(|scale| self.upload_list("kdloss row scales", scale)).transpose()?,
        })
    }

    fn upload_matrix(&self, label: &'static str, matrix: &HostMatrix<'_>, rows: &Range<usize>) -> Result<wgpu::Buffer> {
        let row_bytes = self.row_stride * matrix.data.dtype().size();
        let size = (rows.len() * row_bytes) as u64;
        filled_buffer(self.kernels.device(), label, size, wgpu::BufferUsages::STORAGE, |mut bytes| {
            for (index, row) in rows.clone().enumerate() {
                let logits = matrix.row(row, self.call.vocab);
                let source = bytes_of(&logits);
                bytes.slice(index * row_bytes..index * row_bytes + source.len()).copy_from_slice(source);
            }
        })
    }

    fn upload_list(&self, label: &'static str, list: &[u8]) -> Result<wgpu::Buffer> {
        filled_buffer(self.kernels.device(), label, list.len() as u64, wgpu::BufferUsages::STORAGE, |mut bytes| {
            bytes.copy_from_slice(list);
        })
    }

    fn device_batch<'b>(&self, uploaded: &'b Uploaded, rows: usize) -> Batch<'b> {
        let matrix = |buffer, host: &HostMatrix<'_>| Matrix::new(buffer, host.data.dtype(), rows, self.row_stride);
        let mut batch = Batch::new(matrix(&uploaded.student, &self.batch.student)).with_vocab(self.call.vocab);
        if let (Some(buffer), Some(teacher)) = (&uploaded.teacher, &self.batch.teacher) {
            batch = batch.with_teacher(matrix(buffer, teacher));
        }
        if let (Some(buffer), Some(labels)) = (&uploaded.labels, &self.batch.labels) {
            batch = batch.with_labels(match labels {
                HostLabels::I64(_) => Labels::i64(buffer),
                HostLabels::I32(_) => Labels::i32(buffer),
            });
        }
        if let Some(buffer) = &uploaded.row_grad_scale {
            batch = batch.with_row_grad_scale(buffer, 0);
        }
        batch
    }

    /// A gradient on the device, and a buffer to read it from.
    fn gradient_buffers(&self, dtype: DType, rows: usize) -> Result<(wgpu::Buffer, wgpu::Buffer)> {
        let (device, size) = (self.kernels.device(), (rows * self.row_stride * dtype.size()) as u64);
        let written = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let read = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok((buffer(device, "kdloss gradient", size, written)?, buffer(device, "kdloss gradient to read", size, read)?))
    }

    /// Writes one row of the gradient, which is at least as wide as the classes; its padding becomes 0.
    fn write_gradient(&self, source: &[u8], mut row: ElementsMut<'_>) {
        row.fill(0.0);
        let element = row.dtype().size();
        bytes_of_mut(&mut row)[..self.call.vocab * element].copy_from_slice(&source[..self.call.vocab * element]);
    }
}

fn bytes_of<'a>(logits: &Elements<'a>) -> &'a [u8] {
    match logits {
        Elements::F32(slice) => bytemuck::cast_slice(slice),
        Elements::F16(slice) => bytemuck::cast_slice(slice),
        Elements::Bf16(slice) => bytemuck::cast_slice(slice),
    }
}

fn bytes_of_mut<'a>(logits: &'a mut ElementsMut<'_>) -> &'a mut [u8] {
    match logits {
        ElementsMut::F32(slice) => bytemuck::cast_slice_mut(slice),
        ElementsMut::F16(slice) => bytemuck::cast_slice_mut(slice),
        ElementsMut::Bf16(slice) => bytemuck::cast_slice_mut(slice),
    }
}
