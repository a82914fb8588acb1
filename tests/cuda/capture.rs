//! CUDA graphs: a warm call can be captured and replayed; a first one says that it cannot.

use kdloss::Error;
use kdloss::cuda::Workspace;
use kdloss::external::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::support::{H100, ROWS, Small, context, kernels, logits};

const MODE: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
const FLAGS: CUgraphInstantiate_flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;

#[test]
fn a_warm_call_is_captured_and_replayed_on_new_logits() {
    let context = context(H100);
    // SAFETY: one stream only.
    unsafe { context.disable_event_tracking() };
    let (kernels, stream) = (kernels(&context), context.new_stream().unwrap());
    let mut small = Small::new(&stream, 20);
    let mut workspace = Workspace::with_rows(&stream, ROWS).unwrap();
    small.launch(&kernels, &stream, &mut workspace).unwrap();

    stream.begin_capture(MODE).unwrap();
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    let graph = stream.end_capture(FLAGS).unwrap().expect("a graph");
    for seed in [21, 22] {
        stream.memcpy_htod(&logits(seed), &mut small.student).unwrap();
        stream.memcpy_htod(&logits(seed + 1000), &mut small.teacher).unwrap();
        graph.launch().unwrap();
        small.check(&stream, &workspace, seed);
    }
}

#[test]
fn what_a_first_call_needs_is_refused_while_a_graph_is_captured() {
    let context = context(H100);
    // SAFETY: one stream only.
    unsafe { context.disable_event_tracking() };
    let (kernels, stream) = (kernels(&context), context.new_stream().unwrap());
    let mut small = Small::new(&stream, 23);
    let mut workspace = Workspace::new(&stream).unwrap();
    for operation in ["load a kernel", "enlarge the workspace"] {
        stream.begin_capture(MODE).unwrap();
        let error = small.launch(&kernels, &stream, &mut workspace).unwrap_err();
        assert_eq!(error, Error::Capturing { operation });
        assert!(!error.to_string().contains("  "), "{error}");
        stream.end_capture(FLAGS).unwrap();
        // Loads the kernel, with a workspace of its own.
        small.launch(&kernels, &stream, &mut Workspace::new(&stream).unwrap()).unwrap();
    }
}
