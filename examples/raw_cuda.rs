//! The loss in a context of one's own, over buffers of one's own: `cargo run --example raw_cuda --features cuda`
//!
//! A trainer on cudarc has a context, a stream, and logits that lie in slices already. A call launches one kernel on its
//! stream and returns: the gradient is in its slice for whatever is launched next, and the loss waits on the GPU until it is
//! asked for.

use kdloss::DistillationLoss;
use kdloss::cuda::{Batch, Kernels, Matrix, MatrixMut, Workspace, context};
use kdloss::external::cudarc::driver::CudaSlice;

const ROWS: usize = 64;
const VOCAB: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As `CudaContext::new(0)`, except that a missing driver is an error that says what to do.
    let context = context(0)?;
    let stream = context.default_stream();
    println!("on {}", context.name()?);

    let student: CudaSlice<f32> = stream.clone_htod(&logits(0.7))?;
    let teacher: CudaSlice<f32> = stream.clone_htod(&logits(0.3))?;
    let labels: CudaSlice<i64> = stream.clone_htod(&(0..ROWS as i64).collect::<Vec<_>>())?;
    let mut gradient: CudaSlice<f32> = stream.alloc_zeros(ROWS * VOCAB)?;

    // Made once, and kept: kernels compile when they are first needed, and the next run finds them on disk.
    let kernels = Kernels::new(&context)?;
    let mut workspace = Workspace::with_rows(&stream, ROWS)?;
    let loss = DistillationLoss::new().with_temperature(2.0).with_alpha(0.5);
    let batch = Batch::new(Matrix::new(&student, ROWS, VOCAB))
        .with_teacher(Matrix::new(&teacher, ROWS, VOCAB))
        .with_labels(&labels);
    let mut target = MatrixMut::new(&mut gradient, ROWS, VOCAB);
    kernels.launch_forward_backward(&stream, &mut workspace, &loss, &batch, &mut target)?;

    // Here the stream is waited for.
    println!("loss {:.6}", workspace.read()?.loss);
    let entries = stream.clone_dtoh(&gradient)?;
    let largest = entries.iter().fold(0.0f32, |largest, entry| largest.max(entry.abs()));
    println!("largest entry of the gradient {largest:.6}");
    Ok(())
}

fn logits(pitch: f32) -> Vec<f32> {
    (0..ROWS * VOCAB).map(|index| 4.0 * (pitch * index as f32).sin()).collect()
}
