//! Compiled kernels, each made when it is first needed and kept.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::device::ask;
use super::plan::Lanes;
use super::variant::{Access, Binding, Kernel, Workgroup};
use crate::error::Result;

/// A change of a kernel's source before it is compiled: how the tests break it.
pub(super) type SourceEdit = Arc<dyn Fn(Kernel, String) -> String + Send + Sync>;

/// The kernels of one device.
pub(super) struct Pipelines {
    device: wgpu::Device,
    lanes: Lanes,
    edit: Option<SourceEdit>,
    compiled: Mutex<HashMap<(Kernel, Workgroup), Arc<Pipeline>>>,
}

/// One compiled kernel.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    pub(super) bindings: Vec<Binding>,
}

impl Pipelines {
    pub(super) fn new(device: wgpu::Device, lanes: Lanes, edit: Option<SourceEdit>) -> Self {
        Self { device, lanes, edit, compiled: Mutex::default() }
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.device
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The compiled kernel. Two threads that need it first at the same time may both compile it; one of them is kept.
    pub(super) fn get(&self, kernel: Kernel, workgroup: Workgroup) -> Result<Arc<Pipeline>> {
        // A map of finished kernels is in order, whatever happened to a thread that held it.
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = compiled().get(&(kernel, workgroup)) {
            return Ok(Arc::clone(pipeline));
        }
        let pipeline = Arc::new(self.compile(kernel, workgroup)?);
        Ok(Arc::clone(compiled().entry((kernel, workgroup)).or_insert(pipeline)))
    }

    fn compile(&self, kernel: Kernel, workgroup: Workgroup) -> Result<Pipeline> {
        let source = kernel.source(workgroup);
        let source = self.edit.as_ref().map_or(source.clone(), |edit| edit(kernel, source));
        let label = Some(kernel.entry_point());
        let entries: Vec<_> =
            kernel.bindings().into_iter().map(|(binding, access)| layout_entry(binding, access)).collect();
        let (layout, pipeline) = ask(&self.device, "compile a kernel", || {
            let source = wgpu::ShaderSource::Wgsl(source.into());
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            let descriptor = wgpu::BindGroupLayoutDescriptor { label, entries: &entries };
            let layout = self.device.create_bind_group_layout(&descriptor);
            let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                ..Default::default()
            });
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: label,
                // Every lane writes its place before any other reads it.
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            });
            (layout, pipeline)
        })?;
        let bindings = kernel.bindings().into_iter().map(|(binding, _)| binding).collect();
        Ok(Pipeline { pipeline, layout, bindings })
    }
}

impl fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipelines").field("device", &self.device).field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

pub(super) fn layout_entry(binding: Binding, access: Access) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding: binding.index(),
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: match access {
                Access::Uniform => wgpu::BufferBindingType::Uniform,
                Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
            },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
