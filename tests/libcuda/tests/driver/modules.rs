//! Modules and functions: what is taken, and what refused.

use crate::support::{A100, B200, CLUSTERS, H100, KERNELS, RTX_5090, code, context, kernel, last_fault};
use cudarc::driver::CudaContext;
use cudarc::driver::result::module;
use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute, CUjit_option, CUresult};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;

fn load(context: &Arc<CudaContext>, text: &str) -> CUresult {
    code(context.load_module(Ptx::from_src(text)))
}

#[test]
fn a_gpu_takes_ptx_for_itself_and_its_elders() {
    let for_target = |target: &str| KERNELS.replace("sm_80", target);
    for (device, target, expected) in [
        (A100, "sm_80", CUresult::CUDA_SUCCESS),
        (A100, "sm_90", CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU),
        (H100, "sm_90a", CUresult::CUDA_SUCCESS),
        (B200, "sm_90", CUresult::CUDA_SUCCESS),
        (B200, "sm_90a", CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU),
        (B200, "sm_100f", CUresult::CUDA_SUCCESS),
        (RTX_5090, "sm_100f", CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU),
        (RTX_5090, "sm_120", CUresult::CUDA_SUCCESS),
    ] {
        assert_eq!(load(&context(device), &for_target(target)), expected, "{target} on device {device}");
    }
    assert_eq!(load(&context(A100), &for_target("sm_90")), CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
    assert_eq!(last_fault(), "sm_90 on a GPU of sm_80");
}

#[test]
fn a_driver_takes_ptx_of_its_time() {
    let of_version = |version: &str| KERNELS.replace(".version 7.0", &format!(".version {version}"));
    assert_eq!(load(&context(H100), &of_version("8.8")), CUresult::CUDA_SUCCESS);
    assert_eq!(load(&context(H100), &of_version("8.9")), CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    assert_eq!(load(&context(H100), &of_version("9.0")), CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    assert_eq!(last_fault(), "PTX 9.0, but a driver of CUDA 12.9 knows 8.8");
}

#[test]
fn what_is_no_ptx_is_refused() {
    let context = context(H100);
    assert_eq!(load(&context, "\u{7f}ELF\u{2}\u{1}"), CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
    assert_eq!(load(&context, "nothing"), CUresult::CUDA_ERROR_INVALID_PTX);
    assert_eq!(load(&context, &KERNELS.replace("add.s32", "add.s31")), CUresult::CUDA_ERROR_INVALID_PTX);
    assert!(last_fault().contains("add.s31"), "{}", last_fault());
}

#[test]
fn the_log_says_why_as_far_as_it_is_long_enough() {
    let context = context(H100);
    context.bind_to_thread().expect("a context");
    let text = std::ffi::CString::new(KERNELS.replace("mad.lo", "mad.no")).expect("a string");
    let log_of = |bytes: usize| {
        let mut log = [b'*'; 200];
        let mut options = [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(bytes)];
        let mut module = std::ptr::null_mut();
        // SAFETY: the text ends with a zero, and the log is at least as long as is said.
        let result = unsafe {
            sys::cuModuleLoadDataEx(&mut module, text.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr())
        };
        assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
        String::from_utf8_lossy(&log).into_owned()
    };
    assert!(log_of(200).contains("mad.no"));
    assert!(log_of(4).starts_with("PTX\0*"));
    assert!(log_of(0).starts_with('*'));
}

#[test]
fn functions_are_found_by_name_until_their_module_is_unloaded() {
    let context = context(H100);
    let loaded = context.load_module(Ptx::from_src(KERNELS)).expect("a module");
    assert_eq!(code(loaded.load_function("increments")), CUresult::CUDA_ERROR_NOT_FOUND);
    let text = std::ffi::CString::new(CLUSTERS).expect("a string");
    // SAFETY: the text ends with a zero; the mock reads nothing through handles.
    unsafe {
        let loaded = module::load_data(text.as_ptr().cast()).expect("a module");
        let function = module::get_function(loaded, c"ranks".into()).expect("a function");
        module::unload(loaded).expect("it is there");
        let mut value = 0;
        let asked = sys::cuFuncGetAttribute(&mut value, Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS, function);
        assert_eq!(asked, CUresult::CUDA_ERROR_INVALID_HANDLE);
        assert_eq!(code(module::unload(loaded)), CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
}

#[test]
fn functions_tell_their_limits() {
    let shared = kernel(&context(H100), KERNELS, "shared");
    let attribute = |attribute| shared.get_attribute(attribute).expect("an attribute");
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 128);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES), 1024);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), 47 * 1024);
    assert_eq!(attribute(Attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION), 80);
}
