//! Memory: allocating, copying, freeing, and asking about addresses.

use crate::support::{A100, COUNTED, H100, KERNELS, address, code, context, fresh, increment, kernel, stream};
use cudarc::driver::sys::{self, CUpointer_attribute_enum as Attribute, CUresult};
use cudarc::driver::{DriverError, result};

#[test]
fn what_is_copied_to_a_device_comes_back() -> Result<(), DriverError> {
    let stream = stream(H100);
    let words: Vec<u32> = (0..1000).collect();
    let first = stream.clone_htod(&words)?;
    let second = stream.clone_dtod(&first)?;
    drop(first);
    assert_eq!(stream.clone_dtoh(&second)?, words);
    assert_eq!(stream.clone_dtoh(&stream.alloc_zeros::<u32>(10)?)?, [0; 10]);
    assert_eq!(stream.clone_dtoh(&second.slice(500..503))?, [500, 501, 502]);
    Ok(())
}

#[test]
fn synchronous_copies_are_done_when_they_return() -> Result<(), DriverError> {
    let _context = context(H100);
    let mut back = [0u8; 4];
    // SAFETY: within the allocation, and of initialised words.
    unsafe {
        let address = result::malloc_sync(8)?;
        result::memcpy_htod_sync(address, &[1u8, 2, 3, 4])?;
        sys::cuMemcpyDtoD_v2(address + 4, address, 4).result()?;
        result::memcpy_dtoh_sync(&mut back, address + 4)?;
        assert_eq!(back, [1, 2, 3, 4]);
        result::memset_d8_sync(address, 7, 8)?;
        result::memcpy_dtoh_sync(&mut back, address + 4)?;
        assert_eq!(back, [7; 4]);
        sys::cuMemsetD32_v2(address, 0x0102_0304, 2).result()?;
        result::memcpy_dtoh_sync(&mut back, address)?;
        assert_eq!(back, [4, 3, 2, 1]);
        result::free_sync(address)
    }
}

#[test]
fn copies_beyond_an_allocation_and_second_frees_are_refused() -> Result<(), DriverError> {
    let _context = context(H100);
    let mut back = [0u8; 5];
    // SAFETY: nothing that is refused is done.
    unsafe {
        let address = result::malloc_sync(4)?;
        assert_eq!(code(result::memcpy_htod_sync(address, &[0u8; 5])), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::memcpy_dtoh_sync(&mut back, address)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::memset_d8_sync(address + 1, 0, 4)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::free_sync(address + 1)), CUresult::CUDA_ERROR_INVALID_VALUE);
        let default = std::ptr::null_mut();
        assert_eq!(code(result::free_async(address + 1, default)), CUresult::CUDA_ERROR_INVALID_VALUE);
        result::free_async(address, default)?;
        assert_eq!(code(result::free_async(address, default)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::free_sync(address)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::memset_d8_sync(address, 0, 4)), CUresult::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(code(result::malloc_sync(0)), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

#[test]
fn freeing_waits_for_the_work_of_every_stream() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[0u32; 64])?;
    increment(&stream, &increment_one, &buffer)?;
    // SAFETY: nobody uses it any more.
    unsafe { result::free_sync(buffer.leak())? };
    stream.synchronize()
}

#[test]
fn a_device_has_so_much_memory_and_no_more() -> Result<(), DriverError> {
    let stream = stream(COUNTED);
    let context = stream.context();
    let (free, total) = context.mem_get_info()?;
    assert_eq!((free, total), (2 << 30, 2 << 30));
    let buffer = fresh(&stream, 1 << 20);
    assert_eq!(context.mem_get_info()?.0, total - (4 << 20));
    // SAFETY: it is refused.
    let more = unsafe { stream.alloc::<u8>(total - (4 << 20) + 1) };
    assert_eq!(code(more), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    drop(buffer);
    // Freeing is work of the stream.
    assert_eq!(context.mem_get_info()?.0, total - (4 << 20));
    stream.synchronize()?;
    assert_eq!(context.mem_get_info()?.0, total);
    Ok(())
}

/// A pointer attribute of so many bytes.
fn attribute<const N: usize>(attribute: Attribute, address: u64) -> Result<[u8; N], DriverError> {
    let mut value = [0; N];
    // SAFETY: the caller knows how long the attribute is.
    unsafe { sys::cuPointerGetAttribute(value.as_mut_ptr().cast(), attribute, address) }.result()?;
    Ok(value)
}

#[test]
fn addresses_know_what_they_belong_to() -> Result<(), DriverError> {
    let (first, second) = (context(H100), stream(A100));
    first.bind_to_thread()?;
    // SAFETY: freed below.
    let own = unsafe { result::malloc_sync(100)? };
    let pooled = fresh(&second, 25);
    let context_of =
        |address| attribute::<8>(Attribute::CU_POINTER_ATTRIBUTE_CONTEXT, address).map(usize::from_ne_bytes);
    assert_eq!(context_of(own)?, first.cu_ctx() as usize);
    assert_eq!(context_of(address(&pooled))?, 0, "memory of a pool belongs to no context");
    let device_of =
        |address| attribute::<4>(Attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address).map(i32::from_ne_bytes);
    assert_eq!((device_of(own)?, device_of(address(&pooled))?), (H100 as i32, A100 as i32));
    let start = attribute(Attribute::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, own + 99).map(u64::from_ne_bytes);
    let size = attribute(Attribute::CU_POINTER_ATTRIBUTE_RANGE_SIZE, own + 99).map(usize::from_ne_bytes);
    assert_eq!((start?, size?), (own, 100));
    let (mut start, mut size) = (0, 0);
    // SAFETY: two numbers are written.
    unsafe { sys::cuMemGetAddressRange_v2(&mut start, &mut size, own + 50) }.result()?;
    assert_eq!((start, size), (own, 100));
    let kind = |address| attribute(Attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address).map(u32::from_ne_bytes);
    assert_eq!(kind(own), Ok(sys::CUmemorytype::CU_MEMORYTYPE_DEVICE as u32));
    assert_eq!(code(kind(own + 100)), CUresult::CUDA_ERROR_INVALID_VALUE);
    assert_eq!(code(kind(0)), CUresult::CUDA_ERROR_INVALID_VALUE);
    // SAFETY: nobody uses it any more.
    unsafe { result::free_sync(own)? };
    assert_eq!(code(kind(own)), CUresult::CUDA_ERROR_INVALID_VALUE);
    Ok(())
}

#[test]
fn copies_from_one_device_to_another() -> Result<(), DriverError> {
    let (first, second) = (stream(H100), stream(A100));
    let there = first.clone_htod(&[1u32, 2, 3])?;
    first.synchronize()?;
    let here = second.clone_dtod(&there)?;
    assert_eq!(second.clone_dtoh(&here)?, [1, 2, 3]);
    Ok(())
}

#[test]
fn only_pinned_memory_is_read_and_written_later() -> Result<(), DriverError> {
    let stream = stream(H100);
    let bytes = 4;
    // SAFETY: pinned memory outlives the copies.
    unsafe {
        let pinned = result::malloc_host(bytes, 0)?.cast::<u32>();
        let buffer = fresh(&stream, 1);
        pinned.write(1);
        sys::cuMemcpyHtoDAsync_v2(address(&buffer), pinned.cast(), bytes, stream.cu_stream()).result()?;
        pinned.write(2);
        assert_eq!(stream.clone_dtoh(&buffer)?, [2], "read when the copy is done");
        let mut word = [3u32];
        sys::cuMemcpyHtoDAsync_v2(address(&buffer), word.as_ptr().cast(), bytes, stream.cu_stream()).result()?;
        word[0] = 4;
        sys::cuMemcpyDtoHAsync_v2(pinned.cast(), address(&buffer), bytes, stream.cu_stream()).result()?;
        assert_eq!((pinned.read(), word), (2, [4]), "written when the stream comes to it");
        stream.synchronize()?;
        assert_eq!(pinned.read(), 3, "read when it was called");
        result::free_host(pinned.cast())
    }
}
