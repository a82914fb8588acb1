//! Streams and threads: what waits for what, and what never waits.

use std::sync::Arc;

use kdloss::cuda::{Kernels, Workspace};

use super::support::{A100, H100, ROWS, Small, calls, context, kernels};

/// Functions by which a host waits for a GPU, or a GPU for itself.
const WAITING: [&str; 5] =
    ["cuStreamSynchronize", "cuCtxSynchronize", "cuEventSynchronize", "cuMemcpyDtoHAsync_v2", "cuMemFree_v2"];
const ALLOCATING: [&str; 4] = ["cuMemAlloc_v2", "cuMemAllocAsync", "cuModuleLoadData", "cuMemsetD8Async"];

#[test]
fn a_call_never_waits_and_a_warm_one_does_not_allocate() {
    for gpu in [H100, A100] {
        let context = context(gpu);
        let (kernels, stream) = (kernels(&context), context.default_stream());
        let mut small = Small::new(&stream, 1);
        let mut workspace = Workspace::new(&stream).unwrap();
        let waited = WAITING.map(calls);
        small.launch(&kernels, &stream, &mut workspace).unwrap();
        assert_eq!(WAITING.map(calls), waited, "the first call waited");
        let allocated = ALLOCATING.map(calls);
        let launched = calls("cuLaunchKernel") + calls("cuLaunchKernelEx");
        small.launch(&kernels, &stream, &mut workspace).unwrap();
        assert_eq!(WAITING.map(calls), waited, "the second call waited");
        assert_eq!(ALLOCATING.map(calls), allocated, "the second call allocated");
        assert_eq!(calls("cuLaunchKernel") + calls("cuLaunchKernelEx"), launched + 1, "one launch to a call");
        small.check(&stream, &workspace, 1);
    }
}

#[test]
fn two_streams_at_once() {
    let context = context(H100);
    let kernels = kernels(&context);
    let streams = [context.new_stream().unwrap(), context.new_stream().unwrap()];
    let mut calls = streams.each_ref().map(|stream| (Small::new(stream, 2), Workspace::new(stream).unwrap()));
    for (stream, (small, workspace)) in streams.iter().zip(&mut calls) {
        small.launch(&kernels, stream, workspace).unwrap();
    }
    for (stream, (small, workspace)) in streams.iter().zip(&calls).rev() {
        small.check(stream, workspace, 2);
    }
}

#[test]
fn buffers_of_another_stream_are_waited_for_and_outlive_the_kernel() {
    let context = context(H100);
    let kernels = kernels(&context);
    let [theirs, ours] = [context.new_stream().unwrap(), context.new_stream().unwrap()];
    let mut workspace = Workspace::new(&ours).unwrap();
    let mut small = Small::new(&theirs, 3);
    small.launch(&kernels, &ours, &mut workspace).unwrap();
    // What a slice is freed by runs on `theirs`, behind the kernel's end, which cudarc knows from the guards.
    let Small { student, teacher, labels, gradient } = small;
    drop((student, teacher, labels));
    theirs.synchronize().unwrap();
    let value = workspace.read().unwrap_or_else(|error| panic!("{error}: {}", super::support::fault()));
    super::support::check(&value, &ours.clone_dtoh(&gradient).unwrap(), 3);
}

#[test]
fn kernels_that_are_dropped_finish_what_they_launched() {
    let context = context(H100);
    let stream = context.new_stream().unwrap();
    let (mut small, mut workspace) = (Small::new(&stream, 11), Workspace::new(&stream).unwrap());
    let kernels = kernels(&context);
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    // The mock finishes what runs before it unloads code; NVIDIA does not say that a driver does.
    let waited = calls("cuCtxSynchronize");
    drop(kernels);
    assert_eq!(calls("cuCtxSynchronize"), waited + 1);
    small.check(&stream, &workspace, 11);
}

#[test]
fn threads_share_kernels_and_compile_each_once() {
    let context = context(H100);
    let kernels: Kernels = kernels(&context);
    std::thread::scope(|scope| {
        for seed in 4..8 {
            let (kernels, context) = (kernels.clone(), Arc::clone(&context));
            scope.spawn(move || {
                let stream = context.new_stream().unwrap();
                let (mut small, mut workspace) = (Small::new(&stream, seed), Workspace::new(&stream).unwrap());
                small.launch(&kernels, &stream, &mut workspace).unwrap();
                small.check(&stream, &workspace, seed);
            });
        }
    });
    assert_eq!(kernels.compiled(), 1);
}

#[test]
fn a_workspace_grows_and_serves_again() {
    let context = context(H100);
    let (kernels, stream) = (kernels(&context), context.default_stream());
    let mut workspace = Workspace::new(&stream).unwrap();
    let small = workspace.bytes();
    for seed in [9, 10] {
        let mut batch = Small::new(&stream, seed);
        batch.launch(&kernels, &stream, &mut workspace).unwrap();
        batch.check(&stream, &workspace, seed);
        assert_eq!(workspace.bytes(), small + 16 * (ROWS - 1));
    }
}
