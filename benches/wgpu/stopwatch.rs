//! How long a device takes for what an encoder holds.

use std::time::{Duration, Instant};

use kdloss::external::wgpu::{self, util::DownloadBuffer};

/// Measures by timestamps on the device where it has them, else by the wall clock around submission and waiting.
pub struct Stopwatch {
    device: wgpu::Device,
    queue: wgpu::Queue,
    timestamps: Option<Timestamps>,
}

struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    nanoseconds_per_tick: f64,
}

impl Stopwatch {
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let timestamps = device.features().contains(wgpu::Features::TIMESTAMP_QUERY).then(|| Timestamps {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            nanoseconds_per_tick: f64::from(queue.get_timestamp_period()),
        });
        Self { device: device.clone(), queue: queue.clone(), timestamps }
    }

    /// What it measures by.
    pub fn name(&self) -> &'static str {
        if self.timestamps.is_some() { "timestamps on the device" } else { "the wall clock around submit and wait" }
    }

    /// Runs what `encode` records, and tells how long that took.
    pub fn time(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder)) -> Duration {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.mark(&mut encoder, 0);
        encode(&mut encoder);
        self.mark(&mut encoder, 1);
        if let Some(Timestamps { queries, resolved, .. }) = &self.timestamps {
            encoder.resolve_query_set(queries, 0..2, resolved, 0);
        }
        let start = Instant::now();
        self.queue.submit([encoder.finish()]);
        self.wait();
        let elapsed = start.elapsed();
        self.timestamps.as_ref().map_or(elapsed, |timestamps| self.read(timestamps))
    }

    /// An empty pass that notes when it begins.
    fn mark(&self, encoder: &mut wgpu::CommandEncoder, index: u32) {
        let writes = self.timestamps.as_ref().map(|timestamps| wgpu::ComputePassTimestampWrites {
            query_set: &timestamps.queries,
            beginning_of_pass_write_index: Some(index),
            end_of_pass_write_index: None,
        });
        drop(encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: writes }));
    }

    fn read(&self, timestamps: &Timestamps) -> Duration {
        let (sender, receiver) = std::sync::mpsc::channel();
        DownloadBuffer::read_buffer(&self.device, &self.queue, &timestamps.resolved.slice(..), move |bytes| {
            let bytes = bytes.expect("timestamps can be read");
            let ticks: &[u64] = bytemuck::cast_slice(&bytes);
            sender.send(ticks[1] - ticks[0]).expect("someone waits for it");
        });
        self.wait();
        let ticks = receiver.recv().expect("the buffer has been read");
        Duration::from_nanos((ticks as f64 * timestamps.nanoseconds_per_tick) as u64)
    }

    fn wait(&self) {
        self.device.poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
    }
}
