//! What kernels must not do: their context fails, and tells why.

use crate::support::{
    A100, CLUSTERS, H100, KERNELS, Shape, address, code, fresh, increment, kernel, last_fault, launch, stream,
};
use cudarc::driver::sys::{self, CUgraphInstantiate_flags as Flags, CUresult, CUstreamCaptureMode as Mode};
use cudarc::driver::{DriverError, result};

const ILLEGAL_ADDRESS: CUresult = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;

#[test]
fn a_fault_is_told_by_whoever_waits_and_by_everything_after() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = fresh(&stream, 64);
    increment(&stream, &increment_one, &buffer)?;
    let event = stream.record_event(None)?;
    assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
    assert!(
        last_fault().starts_with("uninitialised: 4 bytes at byte 0 of an allocation of 256 bytes"),
        "{}",
        last_fault()
    );
    assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
    assert_eq!(code(event.synchronize()), ILLEGAL_ADDRESS);
    assert_eq!(code(stream.clone_htod(&[0u32])), ILLEGAL_ADDRESS);
    assert_eq!(code(increment(&stream, &increment_one, &buffer)), ILLEGAL_ADDRESS);
    assert_eq!(code(stream.context().new_event(None)), ILLEGAL_ADDRESS);
    crate::support::reset_context();
    assert_eq!(last_fault(), "");
    stream.synchronize()?;
    assert_eq!(stream.clone_dtoh(&stream.clone_htod(&[5u32])?)?, [5]);
    Ok(())
}

#[test]
fn what_was_freed_is_not_touched() -> Result<(), DriverError> {
    let stream = stream(H100);
    let other = stream.context().new_stream()?;
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[0u32; 64])?;
    stream.synchronize()?;
    let stale = address(&buffer);
    increment(&stream, &increment_one, &buffer)?;
    // Freed in an order that nothing ties to the launch.
    // SAFETY: that is the error that is to be found.
    unsafe { result::free_async(buffer.leak(), other.cu_stream())? };
    assert_eq!(code(stream.context().synchronize()), ILLEGAL_ADDRESS);
    let expected = "out of bounds: 4 bytes at byte 0 of an allocation of 256 bytes, which has been freed";
    assert!(last_fault().starts_with(expected), "{}", last_fault());
    crate::support::reset_context();
    // Nor by a launch after that.
    launch(&stream, &increment_one, Shape::default(), [stale, 1])?;
    assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
    Ok(())
}

#[test]
fn a_graph_does_not_outlive_what_it_uses() -> Result<(), DriverError> {
    let stream = stream(H100);
    let buffer = stream.clone_htod(&[0u32; 64])?;
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    increment(&stream, &increment_one, &buffer)?;
    let captured = stream.end_capture(Flags(0))?.expect("a graph");
    captured.launch()?;
    stream.synchronize()?;
    drop(increment_one);
    captured.launch()?;
    assert_eq!(code(stream.synchronize()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(last_fault(), "the kernel's module is unloaded");
    Ok(())
}

#[test]
fn hosts_do_not_read_what_nobody_has_written() -> Result<(), DriverError> {
    let stream = stream(H100);
    let (first, second) = (fresh(&stream, 2), fresh(&stream, 2));
    // SAFETY: within the buffers.
    unsafe { result::memset_d8_async(address(&first), 1, 4, stream.cu_stream())? };
    // Copied, what is unwritten stays so.
    // SAFETY: within the buffers.
    unsafe { result::memcpy_dtod_async(address(&second), address(&first), 8, stream.cu_stream())? };
    assert_eq!(stream.clone_dtoh(&second.slice(..1))?, [0x0101_0101]);
    assert_eq!(code(stream.clone_dtoh(&second)), ILLEGAL_ADDRESS);
    Ok(())
}

#[test]
fn pinned_memory_is_there_until_its_copies_are_done() -> Result<(), DriverError> {
    let stream = stream(H100);
    let buffer = stream.clone_htod(&[0u32])?;
    stream.synchronize()?;
    // SAFETY: the mock finds out that the memory is gone, and does not come to it.
    unsafe {
        let pinned = result::malloc_host(4, 0)?;
        sys::cuMemcpyDtoHAsync_v2(pinned, address(&buffer), 4, stream.cu_stream()).result()?;
        result::free_host(pinned)?;
        assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
        assert_eq!(last_fault(), "4 bytes of the host's memory are copied after they have been freed");
        crate::support::reset_context();
        let pinned = result::malloc_host(4, 0)?;
        sys::cuMemcpyHtoDAsync_v2(address(&buffer), pinned, 4, stream.cu_stream()).result()?;
        result::free_host(pinned)?;
    }
    assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
    Ok(())
}

#[test]
fn one_gpu_does_not_reach_the_memory_of_another() -> Result<(), DriverError> {
    let (stream, other) = (stream(H100), stream(A100));
    let ranks = kernel(stream.context(), CLUSTERS, "ranks");
    let theirs = fresh(&other, 1);
    launch(&stream, &ranks, Shape::default(), [address(&theirs)])?;
    assert_eq!(code(stream.synchronize()), ILLEGAL_ADDRESS);
    crate::support::reset_context();
    other.synchronize()?;
    // SAFETY: nothing through the handle.
    assert_eq!(unsafe { sys::cuStreamQuery(other.cu_stream()) }, CUresult::CUDA_SUCCESS);
    Ok(())
}
