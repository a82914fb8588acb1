//! A mock of NVIDIA's driver library, over the executor of PTX in `tests/ptx`: the host code of kdloss, and cudarc
//! unmodified, run on it where there is no GPU.
//!
//! Cargo builds it as `libmock_libcuda.so`. (Programs that cargo runs look for libraries where cargo puts them: under NVIDIA's
//! name it would get in the way of a real driver.) There are two ways to get it. Its soname is `libcuda.so.1`: once a program
//! has opened it by its path, whoever opens `libcuda.so.1` is given it. And programs that know nothing of it find a copy named
//! `libcuda.so` in a folder that `LD_LIBRARY_PATH` names. It exports what cudarc's `driver` calls and kdloss needs, by NVIDIA's
//! names.
//!
//! # What it makes sure of
//!
//! * Work is done when somebody waits for it, and not before. If all streams are waited for, the youngest comes first. A launch
//!   keeps the parameters that it was given; a copy from pinned memory reads that memory only when it is done.
//! * Memory that nobody has written is not read, by kernels or by copies to the host; what has been freed is not touched,
//!   and its addresses are never given out again.
//! * What a GPU refuses is refused: PTX that is newer than the driver or the GPU, shared memory that was not asked for,
//!   clusters where there are none, handles of what is no more, calls that a capture forbids.
//! * What a kernel must not do is a fault. Its context answers with it from then on, as a GPU's does. Contexts of one GPU share
//!   nothing but its amount of memory, so that a test that makes its own disturbs no other.
//!
//! # What it is told
//!
//! Variables of the environment, read by `cuInit`:
//!
//! * `MOCK_CUDA_DEVICE`: the GPUs, of `a100`, `h100`, `b200` and `rtx5090`, separated by commas; one H100 unless said.
//! * `MOCK_CUDA_DEVICES=0`: there is none.
//! * `MOCK_CUDA_DRIVER`: the driver's version, 12090 unless said.
//! * `MOCK_CUDA_NOISE=1`: approximations are off by as much as NVIDIA allows; `MOCK_CUDA_SEED` decides by how much, and in
//!   which order warps take turns.
//!
//! Functions that it has besides NVIDIA's, all of them about the calling thread or its current context:
//!
//! * `kdloss_mock_fail(function, nth, code)` lets the nth next call of a function return a code and do nothing.
//! * `kdloss_mock_fail_execution(code)` lets the next kernel that is launched fail when it runs.
//! * `kdloss_mock_calls(function)` counts calls.
//! * `kdloss_mock_last_fault()` tells what the context failed of, or else why a call was refused.
//! * `kdloss_mock_reset_context()` lets the context forget that it failed.
//!
//! # What it is not
//!
//! It knows the kernels that `tests/ptx` knows, in grids of one dimension; no machine code, no managed memory, no textures, no
//! streams that join another's capture, no access from one GPU to another's memory but by copies. It models no time. Where
//! NVIDIA does not say which code a refusal has, its code here is a guess.

#![warn(missing_docs)]
#![allow(non_snake_case, reason = "functions have NVIDIA's names")]

mod abi;
mod capture;
mod context;
mod copy;
mod device;
mod driver;
mod event;
mod fault;
mod inject;
mod launch;
mod memory;
mod module;
mod occupancy;
mod status;
mod stream;
mod work;
