//! Variables of the environment, each in a process of its own.

use crate::support::{KERNELS, code, context, elsewhere, library, stream};
use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, result};
use cudarc::nvrtc::Ptx;

#[test]
fn there_may_be_no_gpu() {
    elsewhere("settings::no_gpu", &[("MOCK_CUDA_DEVICES", "0")]);
    elsewhere("settings::no_gpu", &[("MOCK_CUDA_DEVICE", "abacus")]);
}

#[test]
#[ignore = "in a process of its own"]
fn no_gpu() {
    library();
    assert_eq!(code(result::init()), CUresult::CUDA_ERROR_NO_DEVICE);
    assert_eq!(code(CudaContext::device_count()), CUresult::CUDA_ERROR_NO_DEVICE);
    assert_eq!(code(result::device::get_count()), CUresult::CUDA_ERROR_NOT_INITIALIZED);
}

#[test]
fn drivers_may_be_old() {
    for (version, newest) in [("11040", "7.4"), ("12000", "8.0"), ("12050", "8.5"), ("12060", "8.5"), ("13000", "9.0")]
    {
        let variables = [("MOCK_CUDA_DRIVER", version), ("NEWEST", newest)];
        elsewhere("settings::old_driver", &variables);
    }
}

#[test]
#[ignore = "in a process of its own"]
fn old_driver() {
    let variable = |name| std::env::var(name).expect("a variable");
    let (context, newest) = (context(0), variable("NEWEST"));
    let mut version = 0;
    // SAFETY: a number is written.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().expect("a version");
    assert_eq!(version.to_string(), variable("MOCK_CUDA_DRIVER"));
    let of_version = |version: &str| {
        let text = KERNELS.replace(".version 7.0", &format!(".version {version}"));
        code(context.load_module(Ptx::from_src(text)))
    };
    assert_eq!(of_version(&newest), CUresult::CUDA_SUCCESS);
    let (major, minor) = newest.split_once('.').expect("a version");
    let next = format!("{major}.{}", minor.parse::<u32>().expect("a number") + 1);
    assert_eq!(of_version(&next), CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
}

#[test]
fn noise_moves_approximations() {
    let [still, quiet] = ["1", "2"].map(|seed| approximation(&[("MOCK_CUDA_SEED", seed)]));
    assert_eq!(still, quiet);
    let seeds = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let noisy = seeds.map(|seed| approximation(&[("MOCK_CUDA_NOISE", "1"), ("MOCK_CUDA_SEED", seed)]));
    assert!(noisy.iter().any(|noisy| *noisy != still));
}

/// What `noisy` writes to a file, run with these variables.
fn approximation(variables: &[(&str, &str)]) -> String {
    let path = std::env::temp_dir().join(format!("mock-libcuda-{}", std::process::id()));
    let path = path.to_str().expect("a path");
    elsewhere("settings::noisy", &[variables, &[("OUT", path)]].concat());
    let text = std::fs::read_to_string(path).expect("a file");
    std::fs::remove_file(path).expect("a file");
    text
}

#[test]
#[ignore = "in a process of its own"]
fn noisy() {
    let stream = stream(0);
    let text =
        KERNELS.replace("add.s32 %r7, %r6, 1;", "mov.b32 %f1, %r6; ex2.approx.ftz.f32 %f1, %f1; mov.b32 %r7, %f1;");
    let text = text.replacen(".reg .b32 %r<8>;", ".reg .b32 %r<8>; .reg .f32 %f<2>;", 1);
    let exponential = crate::support::kernel(stream.context(), &text, "increment");
    let numbers: Vec<u32> = (0..32).map(|number| (number as f32 / 7.0).to_bits()).collect();
    let buffer = stream.clone_htod(&numbers).expect("memory");
    crate::support::increment(&stream, &exponential, &buffer).expect("a launch");
    let words = stream.clone_dtoh(&buffer).expect("no fault");
    std::fs::write(std::env::var("OUT").expect("a variable"), format!("{words:?}")).expect("a file");
}
