//! Streams and events: nothing is done before it is waited for, and then in order.

use crate::support::{A100, H100, KERNELS, address, code, context, fresh, increment, kernel, stream};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{DriverError, result};

#[test]
fn a_stream_works_when_it_is_waited_for() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[7u32; 100])?;
    increment(&stream, &increment_one, &buffer)?;
    let event = stream.record_event(None)?;
    // SAFETY: the stream is alive.
    let query = || unsafe { sys::cuStreamQuery(stream.cu_stream()) };
    assert_eq!(event.try_is_complete(), Ok(false));
    assert_eq!(query(), CUresult::CUDA_ERROR_NOT_READY);
    stream.synchronize()?;
    assert_eq!((event.try_is_complete(), query()), (Ok(true), CUresult::CUDA_SUCCESS));
    assert_eq!(stream.clone_dtoh(&buffer)?, [8; 100]);
    Ok(())
}

#[test]
fn who_polls_comes_to_an_end() -> Result<(), DriverError> {
    let stream = stream(H100);
    let mut buffer = fresh(&stream, 4);
    stream.memset_zeros(&mut buffer)?;
    let event = stream.record_event(None)?;
    let polls = (0..10).find(|_| event.is_complete());
    assert_eq!(polls, Some(2), "a fill and the event itself");
    Ok(())
}

#[test]
fn a_stream_waits_for_the_event_of_another() -> Result<(), DriverError> {
    let first = stream(H100);
    let second = first.context().new_stream()?;
    let increment_one = kernel(first.context(), KERNELS, "increment");
    let buffer = fresh(&first, 64);
    // SAFETY: within the buffer.
    unsafe { result::memset_d8_async(address(&buffer), 0, 256, first.cu_stream())? };
    let event = first.record_event(None)?;
    second.wait(&event)?;
    // Recorded anew, it is still the first that was waited for.
    increment(&first, &increment_one, &buffer)?;
    event.record(&first)?;
    increment(&second, &increment_one, &buffer)?;
    assert_eq!(second.clone_dtoh(&buffer)?, [1; 64]);
    assert_eq!(event.try_is_complete(), Ok(false));
    event.synchronize()?;
    assert_eq!(second.clone_dtoh(&buffer)?, [2; 64]);
    Ok(())
}

#[test]
fn the_default_stream_waits_for_blocking_streams_alone() -> Result<(), DriverError> {
    let context = context(H100);
    let increment_one = kernel(&context, KERNELS, "increment");
    for (flags, expected) in [(0, 2), (1, 1)] {
        // SAFETY: the stream is destroyed below, and its wrapper does not.
        let other = unsafe {
            let mut other = std::ptr::null_mut();
            sys::cuStreamCreate(&mut other, flags).result()?;
            context.wrap_borrowed_stream(other)
        };
        let buffer = context.default_stream().clone_htod(&[0u32; 64])?;
        let theirs = fresh(&context.default_stream(), 1);
        context.synchronize()?;
        increment(&other, &increment_one, &buffer)?;
        increment(&context.default_stream(), &increment_one, &buffer)?;
        let words = context.default_stream().clone_dtoh(&buffer)?;
        assert_eq!(words, [expected; 64], "flags {flags}");
        // And a blocking stream for the default stream.
        increment(&context.default_stream(), &increment_one, &buffer)?;
        // SAFETY: within the buffer.
        unsafe { result::memset_d8_async(address(&theirs), 0, 4, other.cu_stream())? };
        other.synchronize()?;
        // SAFETY: the default stream always is.
        let default = unsafe { sys::cuStreamQuery(std::ptr::null_mut()) };
        assert_eq!(default, [CUresult::CUDA_SUCCESS, CUresult::CUDA_ERROR_NOT_READY][flags as usize]);
        context.synchronize()?;
        // SAFETY: nobody uses it any more.
        unsafe { result::stream::destroy(other.cu_stream())? };
    }
    Ok(())
}

#[test]
fn events_tell_the_time_between_them_if_they_are_asked_to() -> Result<(), DriverError> {
    let stream = stream(H100);
    let timed = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let (start, end) = (stream.record_event(timed)?, stream.record_event(timed)?);
    // SAFETY: the events are alive.
    let elapsed = || unsafe { result::event::elapsed(start.cu_event(), end.cu_event()) };
    assert_eq!(code(elapsed()), CUresult::CUDA_ERROR_NOT_READY);
    stream.synchronize()?;
    assert!(elapsed()? >= 0.0);
    end.record(&stream)?;
    end.record(&stream)?;
    assert!(!end.is_complete(), "the first of the two is done by having asked");
    assert_eq!(code(elapsed()), CUresult::CUDA_ERROR_NOT_READY);
    let untimed = stream.record_event(None)?;
    assert_eq!(code(start.elapsed_ms(&untimed)), CUresult::CUDA_ERROR_INVALID_HANDLE);
    Ok(())
}

#[test]
fn an_event_of_one_context_is_not_recorded_in_another() -> Result<(), DriverError> {
    let (here, there) = (stream(H100), stream(A100));
    let event = here.context().new_event(None)?;
    // SAFETY: both are alive.
    let recorded = unsafe { result::event::record(event.cu_event(), there.cu_stream()) };
    assert_eq!(code(recorded), CUresult::CUDA_ERROR_INVALID_HANDLE);
    Ok(())
}
