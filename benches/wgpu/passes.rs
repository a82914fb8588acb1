//! Compute passes of the benchmark's own: the copy, and the loss composed of separate passes, the way frameworks do it.
//!
//! ```text
//! log_softmax(student)          reads the logits 3 times, writes [rows, vocab]
//! log_softmax(student / T)      the same
//! log_softmax(teacher / T)      the same
//! divergence of each row        reads two of these
//! cross-entropy of each row     reads one element of each row
//! gradient                      reads all three, writes the gradient
//! mean
//! ```
//!
//! Each pass loads and stores as the library's kernels do (the same pieces, four elements at a time) and has workgroups of
//! the same size.

use kdloss::DType;
use kdloss::external::wgpu::{self, util::DeviceExt};
use kdloss::wgpu::internals::Storage;

use crate::problem::{ALPHA, Problem, TEMPERATURE};

macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("composed/", $name, ".wgsl"))
    };
}

/// A pipeline with its buffers, and how many workgroups it is dispatched with.
struct Pass {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: u32,
}

/// A sequence of passes.
pub struct Passes {
    passes: Vec<Pass>,
    /// Where the loss is left, if they compute one.
    pub loss: wgpu::Buffer,
}

impl Passes {
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut compute = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for pass in &self.passes {
            compute.set_pipeline(&pass.pipeline);
            compute.set_bind_group(0, &pass.bind_group, &[]);
            compute.dispatch_workgroups(pass.workgroups, 1, 1);
        }
    }

    /// Two matrices read and one written.
    pub fn copy(problem: &Problem) -> Self {
        let builder = Builder { problem };
        let buffers = [&problem.student, &problem.teacher, &problem.gradient];
        let pass = builder.pass(&[], shader!("copy"), None, &buffers, problem.rows);
        Self { passes: vec![pass], loss: builder.buffer(4) }
    }

    /// The loss and its gradient.
    pub fn composed(problem: &Problem) -> Self {
        let builder = Builder { problem };
        let logits = problem.storage;
        let floats = Storage { dtype: DType::F32, in_vectors: logits.in_vectors };
        let matrix = 4 * (problem.rows * problem.stride()) as u64;
        let [plain, student, teacher] = [(); 3].map(|()| builder.buffer(matrix));
        let [hard, soft] = [(); 2].map(|()| builder.buffer(4 * problem.rows as u64));
        let loss = builder.buffer(4);

        let rows = problem.rows;
        let log_softmax = |input, output, inverse_temperature| {
            let matrices = [logits.source("logits", 1, false), floats.source("output", 2, true)];
            builder.pass(&matrices, shader!("log_softmax"), Some(inverse_temperature), &[input, output], rows)
        };
        let read = |name, binding| floats.source(name, binding, false);
        let divergence = [read("student", 1), read("teacher", 2)];
        let gradient = [read("plain", 1), read("student", 2), read("teacher", 3), logits.source("gradient", 4, true)];
        let gradient_buffers = [&plain, &student, &teacher, &problem.gradient, &problem.labels];
        let passes = vec![
            log_softmax(&problem.student, &plain, 1.0),
            log_softmax(&problem.student, &student, TEMPERATURE.recip()),
            log_softmax(&problem.teacher, &teacher, TEMPERATURE.recip()),
            builder.pass(&divergence, shader!("divergence"), Some(1.0), &[&student, &teacher, &soft], rows),
            builder.pass(
                &[Storage { dtype: DType::F32, in_vectors: false }.source("student", 1, false)],
                shader!("cross_entropy"),
                Some(1.0),
                &[&plain, &problem.labels, &hard],
                rows.div_ceil(problem.kernels.workgroup_size() as usize),
            ),
            builder.pass(&gradient, shader!("gradient"), Some(1.0), &gradient_buffers, rows),
            builder.pass(&[], shader!("mean"), Some(1.0), &[&hard, &soft, &loss], 1),
        ];
        Self { passes, loss }
    }
}

struct Builder<'p> {
    problem: &'p Problem<'p>,
}

impl Builder<'_> {
    fn buffer(&self, size: u64) -> wgpu::Buffer {
        self.problem.kernels.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// A pass whose buffers are bound from 1 on, behind the settings where it has them.
    fn pass(
        &self,
        matrices: &[String],
        body: &str,
        inverse_temperature: Option<f64>,
        buffers: &[&wgpu::Buffer],
        workgroups: usize,
    ) -> Pass {
        let device = self.problem.kernels.device();
        let lanes = self.problem.kernels.workgroup_size();
        let mut pieces = vec![format!("const WORKGROUP_SIZE: u32 = {lanes}u;")];
        if inverse_temperature.is_some() {
            pieces.push(shader!("common").to_owned());
            pieces.push(conversion(self.problem.storage.dtype).to_owned());
        }
        pieces.extend_from_slice(matrices);
        pieces.push(body.to_owned());
        let source = wgpu::ShaderSource::Wgsl(pieces.join("\n").into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let settings = inverse_temperature.map(|inverse_temperature| self.settings(inverse_temperature));
        let settings = settings.iter().map(|settings| (0, settings));
        let numbered = (1..).zip(buffers.iter().copied());
        let entries: Vec<_> = settings
            .chain(numbered)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = pipeline.get_bind_group_layout(0);
        let bind_group =
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        Pass { pipeline, bind_group, workgroups: u32::try_from(workgroups).expect("few rows") }
    }

    fn settings(&self, inverse_temperature: f64) -> wgpu::Buffer {
        let sizes = [self.problem.rows, self.problem.vocab, self.problem.stride()].map(|size| size as u32);
        let numbers = [inverse_temperature, TEMPERATURE, ALPHA].map(|number| (number as f32).to_bits());
        let words = [&sizes[..], &numbers[..], &[0; 2]].concat();
        let contents: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.problem.kernels.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: &contents,
            usage: wgpu::BufferUsages::UNIFORM,
        })
    }
}

/// How a 16-bit type is read and written.
fn conversion(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => include_str!("../../kernels/wgsl/f16.wgsl"),
        DType::Bf16 => include_str!("../../kernels/wgsl/bf16.wgsl"),
        _ => "",
    }
}
