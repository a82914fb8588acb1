//! The loss on a device of one's own, with buffers of one's own: `cargo run --example raw_wgpu --features wgpu`
//!
//! A trainer on wgpu has a device, a queue, and logits that lie in buffers already. The kernels record one compute pass
//! into its encoder, and submit nothing: the gradient is in its buffer for whatever is submitted next.

use kdloss::external::wgpu;
use kdloss::external::wgpu::util::{BufferInitDescriptor, DeviceExt, DownloadBuffer};
use kdloss::wgpu::{Batch, Kernels, Labels, Matrix};
use kdloss::{DType, DistillationLoss};

const ROWS: usize = 64;
const VOCAB: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    // The kernels run with wgpu's default limits; where there are subgroups, they use them.
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wgpu::Features::SUBGROUP,
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))?;
    println!("on {}", adapter.get_info().name);

    let upload = |label, contents: &[u8]| {
        let usage = wgpu::BufferUsages::STORAGE;
        device.create_buffer_init(&BufferInitDescriptor { label: Some(label), contents, usage })
    };
    let student = upload("student", bytemuck::cast_slice(&logits(0.7)));
    let teacher = upload("teacher", bytemuck::cast_slice(&logits(0.3)));
    let labels = upload("labels", bytemuck::cast_slice(&(0..ROWS as i64).collect::<Vec<_>>()));
    let gradient = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("gradient"),
        size: student.size(),
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });

    // Made once, and kept: they compile what they need when it is first encoded.
    let kernels = Kernels::new(&device, &queue)?;
    let matrix = |buffer| Matrix::new(buffer, DType::F32, ROWS, VOCAB);
    let batch = Batch::new(matrix(&student)).with_teacher(matrix(&teacher)).with_labels(Labels::i64(&labels));
    let loss = DistillationLoss::new().with_temperature(2.0).with_alpha(0.5);
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let pending = kernels.encode_forward_backward(&mut encoder, &loss, &batch, matrix(&gradient))?;
    queue.submit([encoder.finish()]);
    println!("loss {:.6}", pending.read()?.loss);

    DownloadBuffer::read_buffer(&device, &queue, &gradient.slice(..), |bytes| {
        let bytes = bytes.expect("the gradient can be read");
        let entries: &[f32] = bytemuck::cast_slice(&bytes);
        let largest = entries.iter().fold(0.0f32, |largest, entry| largest.max(entry.abs()));
        println!("largest entry of the gradient {largest:.6}");
    });
    device.poll(wgpu::PollType::wait_indefinitely())?;
    Ok(())
}

fn logits(pitch: f32) -> Vec<f32> {
    (0..ROWS * VOCAB).map(|index| 4.0 * (pitch * index as f32).sin()).collect()
}
