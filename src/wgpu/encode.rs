//! One call as commands: count the labels, evaluate the rows chunk by chunk, fold them; then copy the results to where they
//! can be read.

use std::ops::Range;

use super::batch::{Bound, Placed};
use super::device::{ask, buffer, filled_buffer};
use super::params::{Params, RowRecord, Totals};
use super::pipelines::{Pipeline, Pipelines, layout_entry};
use super::plan::{BindingLimits, Extent, grid};
use super::results::Pending;
use super::variant::{Access, Binding, Kernel, Variant};
use crate::call::Denominators;
use crate::error::{Error, Result};
use crate::loss::IgnoredRows;

const TOTALS_SIZE: u64 = size_of::<Totals>() as u64;
const RECORD_SIZE: u64 = size_of::<RowRecord>() as u64;

/// Buffers of one call that are not the caller's.
struct Scratch {
    params: wgpu::Buffer,
    totals: wgpu::Buffer,
    records: wgpu::Buffer,
    /// Bound in the place of labels or factors that are not there.
    nothing: wgpu::Buffer,
    /// Bytes between the parameters of two dispatches.
    params_stride: u64,
}

/// Encodes one call. `denominators` are those of the whole batch, where this is a part of it.
pub(super) fn encode(
    pipelines: &Pipelines,
    encoder: &mut wgpu::CommandEncoder,
    placed: &Placed<'_>,
    denominators: Option<Denominators>,
) -> Result<Pending> {
    let device = pipelines.device();
    let limits = BindingLimits::new(&device.limits());
    let most_rows = (limits.size / RECORD_SIZE).saturating_sub(1);
    if placed.call.rows as u64 > most_rows {
        return Err(Error::TooManyRows { rows: placed.call.rows, limit: most_rows });
    }
    let extents: Vec<Extent> = placed.parts().map(|part| part.extent).collect();
    let chunks = limits.chunks(placed.call.rows, &extents)?;

    let general = general_params(placed, denominators);
    let all_rows = 0..placed.call.rows;
    let params: Vec<Params> =
        std::iter::once(&all_rows).chain(&chunks).map(|rows| chunk_params(general, placed, &limits, rows)).collect();
    let scratch = Scratch::new(device, &params, placed.call.rows)?;

    let variant = Variant::new(placed);
    let lanes = pipelines.lanes();
    let (of_batch, of_row) = (lanes.of_batch(), lanes.of_row(placed.call.vocab.max(placed.gradient_cols)));
    let count = pipelines.get(Kernel::CountLabels, of_batch)?;
    let distill = pipelines.get(Kernel::Distill(variant), of_row)?;
    let fold = pipelines.get(Kernel::FoldRows, of_batch)?;
    let bind = |pipeline: &Pipeline, index: usize, rows: &Range<usize>| {
        bind_group(device, pipeline, &scratch, placed, &limits, index, rows)
    };
    let mut dispatches = vec![(&count, bind(&count, 0, &all_rows)?, (1, 1))];
    for (index, rows) in chunks.iter().enumerate() {
        let workgroups = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let (x, y) = grid(workgroups, device.limits().max_compute_workgroups_per_dimension);
        dispatches.push((&distill, bind(&distill, index + 1, rows)?, (x, y)));
    }
    dispatches.push((&fold, bind(&fold, 0, &all_rows)?, (1, 1)));

    let readable = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let records_size = placed.call.rows as u64 * RECORD_SIZE;
    let staging = buffer(device, "kdloss results to read", TOTALS_SIZE + records_size, readable)?;
    ask(device, "encode the loss", || {
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("kdloss"), ..Default::default() });
        for (pipeline, bind_group, (x, y)) in &dispatches {
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, bind_group, &[]);
            pass.dispatch_workgroups(*x, *y, 1);
        }
        drop(pass);
        encoder.copy_buffer_to_buffer(&scratch.totals, 0, &staging, 0, TOTALS_SIZE);
        encoder.copy_buffer_to_buffer(&scratch.records, 0, &staging, TOTALS_SIZE, records_size);
    })?;
    Ok(Pending::new(device, placed.call, of_row.size, scratch.totals, scratch.records, staging))
}

/// What all dispatches of a call have in common.
fn general_params(placed: &Placed<'_>, denominators: Option<Denominators>) -> Params {
    let call = &placed.call;
    let (loss, temperature) = (&call.loss, call.soft.temperature);
    // Where rows have yet to be counted, the kernels divide.
    let is_mean = call.fixed_denominator().is_none() && denominators.is_none();
    let denominator = call.fixed_denominator().unwrap_or(1.0);
    let denominators = denominators.unwrap_or(Denominators { hard: denominator, soft: denominator });
    let weights = call.gradient_weights(loss.grad_scale, denominators);
    // A 64-bit label as the kernels see it: its two words.
    let ignore_index = loss.ignore_index as u64;
    Params {
        batch_rows: call.rows as u32,
        vocab: call.vocab as u32,
        gradient_cols: placed.gradient_cols as u32,
        label_words: placed.label_words,
        ignore_index_low: ignore_index as u32,
        ignore_index_high: (ignore_index >> 32) as u32,
        soft_only: u32::from(loss.ignored_rows == IgnoredRows::SoftOnly),
        temperature_reciprocal: temperature.reciprocal,
        temperature_exponent_scale: temperature.exponent_scale,
        temperature_squared: (loss.temperature * loss.temperature) as f32,
        largest_distance: (f64::from(f32::MAX) * 0.999_999 * loss.temperature.min(1.0)) as f32,
        hard_weight: loss.alpha as f32,
        soft_weight: (1.0 - loss.alpha) as f32,
        hard_gradient: weights.hard as f32,
        soft_gradient: weights.soft as f32,
        is_mean: u32::from(is_mean),
        denominator: denominator as f32,
        has_row_grad_scale: u32::from(placed.row_grad_scale.is_some()),
        ..Params::default()
    }
}

/// The parameters of a dispatch over some rows.
fn chunk_params(general: Params, placed: &Placed<'_>, limits: &BindingLimits, rows: &Range<usize>) -> Params {
    let start = |part: Option<&Bound<'_>>| {
        part.map_or(0, |part| (limits.window(&part.extent, rows).start / part.element) as u32)
    };
    let stride = |part: Option<&Bound<'_>>| part.map_or(0, |part| (part.extent.row_stride / part.element) as u32);
    let student = Some(&placed.student);
    Params {
        rows: rows.len() as u32,
        first_row: rows.start as u32,
        student_start: start(student),
        student_stride: stride(student),
        teacher_start: start(placed.teacher.as_ref()),
        teacher_stride: stride(placed.teacher.as_ref()),
        // In place the gradient's rows are the student's.
        gradient_start: start(placed.gradient.as_ref().or(student)),
        gradient_stride: stride(placed.gradient.as_ref().or(student)),
        labels_start: start(placed.labels.as_ref()),
        row_grad_scale_start: start(placed.row_grad_scale.as_ref()),
        ..general
    }
}

impl Scratch {
    fn new(device: &wgpu::Device, params: &[Params], rows: usize) -> Result<Self> {
        let alignment = u64::from(device.limits().min_uniform_buffer_offset_alignment);
        let params_stride = (size_of::<Params>() as u64).next_multiple_of(alignment);
        let size = params_stride * params.len() as u64;
        let results = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        Ok(Self {
            params: filled_buffer(device, "kdloss parameters", size, wgpu::BufferUsages::UNIFORM, |mut bytes| {
                for (index, params) in params.iter().enumerate() {
                    let start = index * params_stride as usize;
                    bytes.slice(start..start + size_of::<Params>()).copy_from_slice(bytemuck::bytes_of(params));
                }
            })?,
            totals: buffer(device, "kdloss totals", TOTALS_SIZE, results)?,
            // Not empty: there are no bindings of nothing.
            records: buffer(device, "kdloss rows", (rows.max(1) as u64) * RECORD_SIZE, results)?,
            nothing: buffer(device, "kdloss nothing", 16, wgpu::BufferUsages::STORAGE)?,
            params_stride,
        })
    }
}

/// Binds what a kernel needs for some rows.
fn bind_group(
    device: &wgpu::Device,
    pipeline: &Pipeline,
    scratch: &Scratch,
    placed: &Placed<'_>,
    limits: &BindingLimits,
    params_index: usize,
    rows: &Range<usize>,
) -> Result<wgpu::BindGroup> {
    let part = |part: Option<&Bound<'_>>| match part {
        Some(part) if !rows.is_empty() => {
            let window = limits.window(&part.extent, rows);
            (part.buffer.clone(), window.offset, window.size)
        }
        _ => (scratch.nothing.clone(), 0, scratch.nothing.size()),
    };
    let resource = |binding: Binding| match binding {
        Binding::Params => {
            (scratch.params.clone(), params_index as u64 * scratch.params_stride, size_of::<Params>() as u64)
        }
        Binding::Labels => part(placed.labels.as_ref()),
        Binding::Student => part(Some(&placed.student)),
        Binding::Teacher => part(placed.teacher.as_ref()),
        Binding::Gradient => part(placed.gradient.as_ref()),
        Binding::RowGradScale => part(placed.row_grad_scale.as_ref()),
        Binding::Totals => (scratch.totals.clone(), 0, TOTALS_SIZE),
        Binding::Records => (scratch.records.clone(), 0, scratch.records.size()),
    };
    let resources: Vec<_> = pipeline.bindings.iter().map(|&binding| (binding, resource(binding))).collect();
    let entries: Vec<_> = resources
        .iter()
        .map(|(binding, (buffer, offset, size))| wgpu::BindGroupEntry {
            binding: binding.index(),
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: *offset,
                size: wgpu::BufferSize::new(*size),
            }),
        })
        .collect();
    let bind = |layout: &wgpu::BindGroupLayout, entries: &[wgpu::BindGroupEntry<'_>]| {
        let descriptor = wgpu::BindGroupDescriptor { label: Some("kdloss"), layout, entries };
        ask(device, "bind the buffers", || device.create_bind_group(&descriptor))
    };
    bind(&pipeline.layout, &entries).map_err(|error| refused_buffer(device, placed, error))
}

/// Which buffer a device would not bind: each is tried alone.
fn refused_buffer(device: &wgpu::Device, placed: &Placed<'_>, error: Error) -> Error {
    let try_alone = |part: &Bound<'_>| {
        let entry = layout_entry(Binding::Params, Access::Read);
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &[entry] };
        let layout = ask(device, "bind a buffer", || device.create_bind_group_layout(&descriptor))?;
        let buffer = wgpu::BufferBinding { buffer: part.buffer, offset: 0, size: wgpu::BufferSize::new(4) };
        let entries = [wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(buffer) }];
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
        ask(device, "bind a buffer", || device.create_bind_group(&descriptor))
    };
    for part in placed.parts() {
        if let Err(Error::Device { message, .. }) = try_alone(part) {
            return Error::BufferRefused { buffer: part.extent.matrix, message };
        }
    }
    error
}
