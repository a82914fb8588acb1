//! Devices, and the contexts on them.

use crate::support::{A100, B200, H100, RTX_5090, code, context, library, stream};
use cudarc::driver::result::{self, ctx, device, primary_ctx};
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};
use cudarc::driver::{CudaContext, DriverError};

#[test]
fn devices_say_what_they_are_and_that_they_are_mocks() {
    let limits = |device: usize| {
        let context = context(device);
        let attribute = |attribute| context.attribute(attribute).expect("an attribute");
        (
            context.compute_capability().expect("a capability"),
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH),
        )
    };
    assert_eq!(limits(A100), ((8, 0), 163 * 1024, 164 * 1024, 0));
    assert_eq!(limits(H100), ((9, 0), 227 * 1024, 228 * 1024, 1));
    assert_eq!(limits(B200), ((10, 0), 227 * 1024, 228 * 1024, 1));
    assert_eq!(limits(RTX_5090), ((12, 0), 99 * 1024, 100 * 1024, 1));
    assert_eq!(context(H100).name().expect("a name"), "Mock NVIDIA H100 (PTX executed on the CPU)");
    assert_eq!(context(A100).attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), Ok(2));
    assert_ne!(context(H100).uuid().expect("an identifier"), context(A100).uuid().expect("an identifier"));
    assert_eq!(CudaContext::device_count(), Ok(5));
    assert_eq!(code(CudaContext::new(5)), CUresult::CUDA_ERROR_INVALID_DEVICE);
}

#[test]
fn a_thread_without_a_context_can_allocate_nothing() {
    let context = context(H100);
    // SAFETY: nothing is allocated, or it is freed.
    let allocate = || unsafe { result::malloc_sync(4).and_then(|address| result::free_sync(address)) };
    assert_eq!(code(allocate()), CUresult::CUDA_SUCCESS);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(code(allocate()), CUresult::CUDA_ERROR_INVALID_CONTEXT);
            assert_eq!(ctx::get_current(), Ok(None));
            context.bind_to_thread().expect("a context");
            assert_eq!(code(allocate()), CUresult::CUDA_SUCCESS);
        });
    });
}

#[test]
fn contexts_are_a_stack() -> Result<(), DriverError> {
    let (first, second) = (context(H100), context(A100));
    let current = || ctx::get_current().map(|context| context.unwrap_or(std::ptr::null_mut()));
    assert_eq!(current()?, second.cu_ctx());
    // SAFETY: contexts that are alive.
    unsafe {
        sys::cuCtxPushCurrent_v2(first.cu_ctx()).result()?;
        assert_eq!(current()?, first.cu_ctx());
        let mut popped = std::ptr::null_mut();
        sys::cuCtxPopCurrent_v2(&mut popped).result()?;
        assert_eq!((popped, current()?), (first.cu_ctx(), second.cu_ctx()));
        let mut device = -1;
        sys::cuCtxGetDevice(&mut device).result()?;
        assert_eq!(device, A100 as i32);
    }
    Ok(())
}

#[test]
fn what_belongs_to_a_primary_context_ends_with_the_last_who_retains_it() -> Result<(), DriverError> {
    library();
    result::init()?;
    let device = device::get(H100 as i32)?;
    // SAFETY: each release belongs to a retain; handles of what is no more are what the mock is asked about.
    unsafe {
        let context = primary_ctx::retain(device)?;
        assert_eq!(primary_ctx::retain(device)?, context);
        ctx::set_current(context)?;
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        let address = result::malloc_sync(4)?;
        primary_ctx::release(device)?;
        let (mut flags, mut is_active) = (9, 9);
        sys::cuDevicePrimaryCtxGetState(device, &mut flags, &mut is_active).result()?;
        assert_eq!((flags, is_active), (0, 1));
        result::stream::synchronize(stream)?;
        primary_ctx::release(device)?;
        assert_eq!(code(result::malloc_sync(4)), CUresult::CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(code(primary_ctx::release(device)), CUresult::CUDA_ERROR_INVALID_CONTEXT);
        let again = primary_ctx::retain(device)?;
        ctx::set_current(again)?;
        assert_eq!(code(result::stream::synchronize(stream)), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code(result::free_sync(address)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(primary_ctx::retain(device)?, again);
        sys::cuDevicePrimaryCtxReset_v2(device).result()?;
        assert_eq!(code(ctx::set_current(again)), CUresult::CUDA_ERROR_INVALID_CONTEXT);
    }
    Ok(())
}

#[test]
fn what_belongs_to_a_context_ends_with_it() -> Result<(), DriverError> {
    let before = context(H100);
    // SAFETY: handles of what is no more are what the mock is asked about.
    unsafe {
        let mut other = std::ptr::null_mut();
        sys::cuCtxCreate_v4(&mut other, std::ptr::null_mut(), 0, H100 as i32).result()?;
        assert_eq!(ctx::get_current()?, Some(other));
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        let mut of_stream = std::ptr::null_mut();
        sys::cuStreamGetCtx(stream, &mut of_stream).result()?;
        assert_eq!(of_stream, other);
        let address = result::malloc_sync(4)?;
        sys::cuCtxDestroy_v2(other).result()?;
        assert_eq!(ctx::get_current()?, Some(before.cu_ctx()));
        assert_eq!(sys::cuStreamQuery(stream), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code(result::memset_d8_sync(address, 0, 4)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(sys::cuCtxDestroy_v2(other), CUresult::CUDA_ERROR_INVALID_CONTEXT);
    }
    Ok(())
}

#[test]
fn limits_are_a_contexts() -> Result<(), DriverError> {
    let context = context(A100);
    assert_eq!(context.get_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE), Ok(1024));
    context.set_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE, 2048)?;
    assert_eq!(context.get_limit(sys::CUlimit::CU_LIMIT_STACK_SIZE), Ok(2048));
    assert_eq!(context.get_limit(sys::CUlimit::CU_LIMIT_PRINTF_FIFO_SIZE), Ok(0));
    let unknown = context.set_limit(sys::CUlimit::CU_LIMIT_SHMEM_SIZE, 1);
    assert_eq!(code(unknown), CUresult::CUDA_ERROR_UNSUPPORTED_LIMIT);
    Ok(())
}

#[test]
fn errors_have_names_and_meanings() -> Result<(), DriverError> {
    library();
    let error = DriverError(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_eq!(error.error_name()?, c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED");
    assert_eq!(error.error_string()?, c"operation not permitted when stream is capturing");
    assert_eq!(DriverError(CUresult::CUDA_SUCCESS).error_name()?, c"CUDA_SUCCESS");
    let unknown = DriverError(CUresult::CUDA_ERROR_KEY_ROTATION);
    assert_eq!(code(unknown.error_name()), CUresult::CUDA_ERROR_INVALID_VALUE);
    Ok(())
}

#[test]
fn handles_of_one_kind_are_not_taken_for_another() {
    let stream = stream(H100);
    let event = stream.context().new_event(None).expect("an event");
    // SAFETY: the mock compares handles and reads nothing through them.
    unsafe {
        assert_eq!(sys::cuStreamSynchronize(event.cu_event().cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(sys::cuEventSynchronize(stream.cu_stream().cast()), CUresult::CUDA_ERROR_INVALID_HANDLE);
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking).expect("a stream");
        assert_eq!(sys::cuStreamDestroy_v2(raw), CUresult::CUDA_SUCCESS);
        assert_eq!(sys::cuStreamDestroy_v2(raw), CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}
