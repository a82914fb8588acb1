//! Launches: those that run, and those that are refused.

use crate::support::{
    A100, CLUSTERS, H100, KERNELS, Shape, address, code, configured, fresh, increment, kernel, launch, stream,
};
use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute, CUresult};
use cudarc::driver::{CudaFunction, CudaStream, DriverError, LaunchConfig, PushKernelArg};

const MAX_DYNAMIC: Attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;

#[test]
fn a_kernel_runs_with_the_parameters_of_its_launch() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let words: Vec<u32> = (0..1000).collect();
    let mut buffer = stream.clone_htod(&words)?;
    let mut count = 900u32;
    let config = LaunchConfig { grid_dim: (10, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the parameters are the kernel's, and it stays within the buffer.
    unsafe { stream.launch_builder(&increment_one).arg(&mut buffer).arg(&count).launch(config)? };
    count = 0;
    let back = stream.clone_dtoh(&buffer)?;
    let expected: Vec<u32> = (0..1000).map(|word| word + u32::from(word < 900)).collect();
    assert_eq!((back, count), (expected, 0));
    Ok(())
}

#[test]
fn clusters_have_ranks() -> Result<(), DriverError> {
    let stream = stream(H100);
    let ranks = kernel(stream.context(), CLUSTERS, "ranks");
    let out = fresh(&stream, 12);
    launch(&stream, &ranks, Shape { grid: 12, cluster: 4, ..Shape::default() }, [address(&out)])?;
    assert_eq!(stream.clone_dtoh(&out)?, [40, 41, 42, 43, 40, 41, 42, 43, 40, 41, 42, 43]);
    launch(&stream, &ranks, Shape { grid: 12, ..Shape::default() }, [address(&out)])?;
    assert_eq!(stream.clone_dtoh(&out)?, [10; 12]);
    Ok(())
}

/// What becomes of launches of a kernel that needs nothing.
fn outcome(stream: &CudaStream, kernel: &CudaFunction, shape: Shape) -> CUresult {
    code(launch(stream, kernel, shape, []).and_then(|()| stream.synchronize()))
}

#[test]
fn clusters_are_small_and_whole_and_not_everywhere() {
    let shape = |grid, cluster| Shape { grid, cluster, ..Shape::default() };
    let stream_h100 = stream(H100);
    let of_h100 = kernel(stream_h100.context(), KERNELS, "shared");
    assert_eq!(outcome(&stream_h100, &of_h100, shape(8, 8)), CUresult::CUDA_SUCCESS);
    assert_eq!(outcome(&stream_h100, &of_h100, shape(16, 16)), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_eq!(outcome(&stream_h100, &of_h100, shape(8, 3)), CUresult::CUDA_ERROR_INVALID_VALUE);
    let stream_a100 = stream(A100);
    let of_a100 = kernel(stream_a100.context(), KERNELS, "shared");
    assert_eq!(outcome(&stream_a100, &of_a100, shape(8, 1)), CUresult::CUDA_SUCCESS);
    assert_eq!(outcome(&stream_a100, &of_a100, shape(8, 2)), CUresult::CUDA_ERROR_NOT_SUPPORTED);
    assert_eq!(outcome(&stream_a100, &of_h100, shape(8, 1)), CUresult::CUDA_ERROR_INVALID_HANDLE, "another context's");
}

#[test]
fn threads_are_as_many_as_a_kernel_was_compiled_for() {
    let stream = stream(H100);
    let shape = |grid, threads| Shape { grid, threads, ..Shape::default() };
    let shared = kernel(stream.context(), KERNELS, "shared");
    assert_eq!(outcome(&stream, &shared, shape(1, 128)), CUresult::CUDA_SUCCESS);
    assert_eq!(outcome(&stream, &shared, shape(1, 160)), CUresult::CUDA_ERROR_INVALID_VALUE);
    assert_eq!(outcome(&stream, &shared, shape(1, 0)), CUresult::CUDA_ERROR_INVALID_VALUE);
    assert_eq!(outcome(&stream, &shared, shape(0, 128)), CUresult::CUDA_ERROR_INVALID_VALUE);
    let any = kernel(stream.context(), KERNELS, "increment");
    let of_threads = |threads| code(launch(&stream, &any, shape(1, threads), [0, 0]));
    assert_eq!((of_threads(1024), of_threads(1056)), (CUresult::CUDA_SUCCESS, CUresult::CUDA_ERROR_INVALID_VALUE));
}

#[test]
fn shared_memory_is_asked_for_first() -> Result<(), DriverError> {
    for (device, largest) in [(H100, 227 << 10), (A100, 163 << 10)] {
        let stream = stream(device);
        let shared = kernel(stream.context(), KERNELS, "shared");
        let of_bytes = |bytes| outcome(&stream, &shared, Shape { shared: bytes, ..Shape::default() });
        assert_eq!(of_bytes(47 << 10), CUresult::CUDA_SUCCESS);
        assert_eq!(of_bytes((47 << 10) + 1), CUresult::CUDA_ERROR_INVALID_VALUE);
        let most = largest - 1024;
        assert_eq!(code(shared.set_attribute(MAX_DYNAMIC, most + 1)), CUresult::CUDA_ERROR_INVALID_VALUE);
        shared.set_attribute(MAX_DYNAMIC, most)?;
        assert_eq!(of_bytes(most as u32), CUresult::CUDA_SUCCESS);
        assert_eq!(of_bytes(most as u32 + 1), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

#[test]
fn occupancy_is_what_threads_and_shared_memory_allow() -> Result<(), DriverError> {
    let stream = stream(H100);
    let shared = kernel(stream.context(), KERNELS, "shared");
    let resident = |threads, bytes| shared.occupancy_max_active_blocks_per_multiprocessor(threads, bytes, None);
    assert_eq!(resident(128, 0)?, 16);
    assert_eq!(resident(32, 0)?, 32);
    assert_eq!(resident(128, 112 << 10)?, 2);
    assert_eq!(resident(128, 113 << 10)?, 1);
    assert_eq!(resident(128, 227 << 10)?, 0);
    let clusters = |cluster, shared_bytes| {
        let shape = Shape { grid: 8, threads: 128, cluster, shared: shared_bytes };
        let mut clusters = -1;
        // SAFETY: the function is alive.
        let query =
            |config: &_| unsafe { sys::cuOccupancyMaxActiveClusters(&mut clusters, shared.cu_function(), config) };
        configured(&stream, shape, query).result().map(|()| clusters)
    };
    assert_eq!((clusters(4, 0)?, clusters(2, 112 << 10)?, clusters(8, 112 << 10)?), (8, 2, 1));
    assert_eq!(clusters(2, 227 << 10)?, 0);
    assert_eq!(code(clusters(9, 0)), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    Ok(())
}

#[test]
fn a_kernel_and_its_buffer_may_be_dropped_once_it_is_launched() -> Result<(), DriverError> {
    let stream = stream(H100);
    let increment_one = kernel(stream.context(), KERNELS, "increment");
    let buffer = stream.clone_htod(&[0u32; 10])?;
    increment(&stream, &increment_one, &buffer)?;
    drop(increment_one);
    drop(buffer);
    stream.synchronize()
}
