//! Captures and graphs.

use crate::support::{H100, KERNELS, address, code, elsewhere, fresh, increment, kernel, stream};
use cudarc::driver::result::graph;
use cudarc::driver::sys::{self, CUgraphInstantiate_flags as Flags, CUresult};
use cudarc::driver::sys::{CUstreamCaptureMode as Mode, CUstreamCaptureStatus as Status};
use cudarc::driver::{CudaStream, DriverError, result};
use std::sync::Arc;

const LOCAL: Mode = Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

#[test]
fn what_is_captured_happens_whenever_the_graph_is_launched() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[0u32; 64])?;
    let copy = stream.clone_htod(&[9u32; 64])?;
    stream.begin_capture(LOCAL)?;
    assert_eq!(stream.capture_status()?, Status::CU_STREAM_CAPTURE_STATUS_ACTIVE);
    increment(&stream, &increment_one, &buffer)?;
    // SAFETY: both have as many bytes.
    unsafe { result::memcpy_dtod_async(address(&copy), address(&buffer), 256, stream.cu_stream())? };
    let captured = stream.end_capture(Flags(0))?.expect("a graph");
    assert_eq!(stream.capture_status()?, Status::CU_STREAM_CAPTURE_STATUS_NONE);
    assert_eq!(stream.clone_dtoh(&copy)?, [9; 64], "nothing happens before the launch");
    captured.upload()?;
    captured.launch()?;
    captured.launch()?;
    assert_eq!(stream.clone_dtoh(&copy)?, [2; 64]);
    Ok(())
}

/// Captures something that must not be, and says what became of that and of the capture.
fn forbidden(stream: &Arc<CudaStream>, call: impl FnOnce() -> Result<(), DriverError>) -> (CUresult, CUresult) {
    stream.begin_capture(LOCAL).expect("a capture");
    (code(call()), code(stream.end_capture(Flags(0))))
}

#[test]
fn a_capture_forbids_what_may_wait_or_allocate() -> Result<(), DriverError> {
    let stream = stream(H100);
    let buffer = stream.clone_htod(&[0u32; 4])?;
    let event = stream.record_event(None)?;
    let unsupported =
        (CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    let mut words = [0u32; 4];
    // SAFETY: nothing that is refused is done.
    unsafe {
        assert_eq!(forbidden(&stream, || result::malloc_sync(4).map(drop)), unsupported);
        assert_eq!(forbidden(&stream, || result::free_sync(address(&buffer))), unsupported);
        assert_eq!(forbidden(&stream, || result::malloc_async(stream.cu_stream(), 4).map(drop)), unsupported);
        assert_eq!(forbidden(&stream, || result::free_async(address(&buffer), stream.cu_stream())), unsupported);
        assert_eq!(forbidden(&stream, || result::memcpy_dtoh_sync(&mut words, address(&buffer))), unsupported);
        let to_pageable = || result::memcpy_dtoh_async(&mut words, address(&buffer), stream.cu_stream());
        assert_eq!(forbidden(&stream, to_pageable), unsupported);
        assert_eq!(forbidden(&stream, || sys::cuStreamQuery(stream.cu_stream()).result()), unsupported);
    }
    assert_eq!(forbidden(&stream, || stream.synchronize()), unsupported);
    assert_eq!(forbidden(&stream, || stream.context().synchronize()), unsupported);
    assert_eq!(forbidden(&stream, || event.synchronize()), unsupported);
    assert_eq!(forbidden(&stream, || event.try_is_complete().map(drop)), unsupported);
    let isolation = (CUresult::CUDA_ERROR_STREAM_CAPTURE_ISOLATION, CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_eq!(forbidden(&stream, || stream.wait(&event)), isolation);
    assert_eq!(
        forbidden(&stream, || event.record(&stream).and_then(|()| stream.wait(&event))).1,
        CUresult::CUDA_SUCCESS
    );
    assert_eq!(code(event.synchronize()), CUresult::CUDA_ERROR_CAPTURED_EVENT);
    Ok(())
}

#[test]
fn a_relaxed_capture_forbids_only_what_a_graph_cannot_hold() -> Result<(), DriverError> {
    let stream = stream(H100);
    let buffer = stream.clone_htod(&[0u32; 4])?;
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
    let mut words = [0u32; 4];
    // SAFETY: what is allocated is freed, and what is refused is not done.
    unsafe {
        result::free_sync(result::malloc_sync(4)?)?;
        let to_pageable = result::memcpy_dtoh_async(&mut words, address(&buffer), stream.cu_stream());
        assert_eq!(code(to_pageable), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        let after = result::memset_d8_async(address(&buffer), 0, 16, stream.cu_stream());
        assert_eq!(code(after), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    }
    assert_eq!(code(stream.end_capture(Flags(0))), CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    Ok(())
}

#[test]
fn captures_begin_and_end_in_their_place() -> Result<(), DriverError> {
    let stream = stream(H100);
    let default = stream.context().default_stream();
    assert_eq!(code(default.begin_capture(LOCAL)), CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(code(stream.end_capture(Flags(0))), CUresult::CUDA_ERROR_ILLEGAL_STATE);
    stream.begin_capture(LOCAL)?;
    assert_eq!(code(stream.begin_capture(LOCAL)), CUresult::CUDA_ERROR_ILLEGAL_STATE);
    let of_another_thread = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let own = crate::support::stream(H100);
            drop(fresh(&own, 4));
            code(stream.end_capture(Flags(0)))
        });
        thread.join().expect("no panic")
    });
    assert_eq!(of_another_thread, CUresult::CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    drop(stream.end_capture(Flags(0))?);
    stream.begin_capture(LOCAL)?;
    assert_eq!(code(stream.end_capture(Flags(4))), CUresult::CUDA_ERROR_INVALID_VALUE);
    Ok(())
}

#[test]
fn the_default_stream_does_not_meet_a_blocking_stream_that_captures() -> Result<(), DriverError> {
    let context = crate::support::context(H100);
    let buffer = context.default_stream().clone_htod(&[0u32; 4])?;
    // SAFETY: the handles are alive, and the graph is not used after its end.
    unsafe {
        let mut blocking = std::ptr::null_mut();
        sys::cuStreamCreate(&mut blocking, 0).result()?;
        result::stream::begin_capture(blocking, Mode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
        let fill = || result::memset_d8_async(address(&buffer), 0, 16, std::ptr::null_mut());
        assert_eq!(code(fill()), CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
        result::free_sync(result::malloc_sync(4)?)?;
        result::memset_d8_async(address(&buffer), 0, 16, blocking)?;
        let captured = result::stream::end_capture(blocking)?;
        fill()?;
        graph::destroy(captured)?;
        assert_eq!(code(graph::destroy(captured)), CUresult::CUDA_ERROR_INVALID_HANDLE);
        result::stream::destroy(blocking)
    }
}

#[test]
fn a_global_capture_restricts_every_thread() {
    elsewhere("captures::alone", &[]);
}

#[test]
#[ignore = "in a process of its own: it restricts every thread"]
fn alone() -> Result<(), DriverError> {
    let stream = stream(H100);
    let context = stream.context();
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
    let of_another_thread = std::thread::scope(|scope| {
        let allocates = || {
            context.bind_to_thread()?;
            // SAFETY: it is refused.
            unsafe { result::malloc_sync(4) }
        };
        scope.spawn(move || code(allocates())).join().expect("no panic")
    });
    assert_eq!(of_another_thread, CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(stream.capture_status()?, Status::CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    Ok(())
}
