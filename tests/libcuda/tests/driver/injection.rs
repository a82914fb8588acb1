//! Calls that fail because a test asks for it, and calls that are counted.

use crate::support::{H100, KERNELS, calls, code, fail, fail_execution, fresh, increment, kernel, last_fault, stream};
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

#[test]
fn the_call_that_is_meant_fails_once_and_does_nothing() -> Result<(), DriverError> {
    let stream = stream(H100);
    let mut buffer = stream.clone_htod(&[1u32; 4])?;
    fail("cuMemsetD8Async", 2, CUresult::CUDA_ERROR_ECC_UNCORRECTABLE);
    stream.memset_zeros(&mut buffer.slice_mut(..1))?;
    assert_eq!(code(stream.memset_zeros(&mut buffer)), CUresult::CUDA_ERROR_ECC_UNCORRECTABLE);
    assert_eq!(stream.clone_dtoh(&buffer)?, [0, 1, 1, 1]);
    stream.memset_zeros(&mut buffer)?;
    assert_eq!(stream.clone_dtoh(&buffer)?, [0; 4]);
    Ok(())
}

#[test]
fn the_calls_of_other_threads_do_not_fail() -> Result<(), DriverError> {
    let stream = stream(H100);
    fail("cuMemAllocAsync", 1, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    std::thread::scope(|scope| {
        scope.spawn(|| drop(fresh(&stream, 4)));
    });
    // SAFETY: nobody reads it.
    assert_eq!(code(unsafe { stream.alloc::<u32>(4) }), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    drop(fresh(&stream, 4));
    Ok(())
}

#[test]
fn calls_are_counted_by_thread() -> Result<(), DriverError> {
    let stream = stream(H100);
    let before = (calls("cuStreamSynchronize"), calls("cuMemAllocAsync"), calls("cuModuleLoadData"));
    let buffer = fresh(&stream, 4);
    std::thread::scope(|scope| {
        scope.spawn(|| stream.synchronize().expect("nothing to wait for"));
    });
    stream.synchronize()?;
    stream.synchronize()?;
    drop(buffer);
    let after = (calls("cuStreamSynchronize"), calls("cuMemAllocAsync"), calls("cuModuleLoadData"));
    assert_eq!(after, (before.0 + 2, before.1 + 1, before.2));
    assert_eq!(calls("nothing"), 0);
    Ok(())
}

#[test]
fn an_execution_fails_when_it_is_waited_for() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[1u32; 4])?;
    fail_execution(CUresult::CUDA_ERROR_LAUNCH_TIMEOUT);
    increment(&stream, &increment_one, &buffer)?;
    increment(&stream, &increment_one, &buffer)?;
    assert_eq!(code(stream.synchronize()), CUresult::CUDA_ERROR_LAUNCH_TIMEOUT);
    assert_eq!(code(stream.clone_dtoh(&buffer)), CUresult::CUDA_ERROR_LAUNCH_TIMEOUT);
    assert_eq!(last_fault(), "a test asked for code 702");
    crate::support::reset_context();
    assert_eq!(stream.clone_dtoh(&buffer)?, [1; 4], "nothing of what was queued has happened");
    increment(&stream, &increment_one, &buffer)?;
    assert_eq!(stream.clone_dtoh(&buffer)?, [2; 4]);
    Ok(())
}
