//! The backend cuda, over the mock of NVIDIA's driver that `KDLOSS_MOCK_CUDA` names, and what is said where something of it
//! is missing.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

use super::support::{Folder, close, error, f32s, flowing, gradient, i64s, json, kdloss, noise, number, printed, run};
use super::width::assert_fits;

/// The mock, or `None` where it or the compiler is not there: the tests say so, and fail if they are to prove something.
fn mock() -> Option<PathBuf> {
    let there = ["KDLOSS_MOCK_CUDA", "KDLOSS_NVRTC"].map(|name| std::env::var_os(name).map(PathBuf::from));
    if let [Some(mock), Some(_)] = there {
        return Some(mock);
    }
    assert!(std::env::var_os("CI").is_none(), "the backend cuda must be tested here");
    eprintln!("skipped: the backend cuda: run by cargo xtask test, which provides a mock driver and NVRTC");
    None
}

/// A process that finds this driver, and keeps kernels in a folder.
fn with_driver(mut process: Command, driver: &Path, cache: &Folder) -> Command {
    process.env("LD_LIBRARY_PATH", driver.parent().expect("a folder")).env("KDLOSS_CACHE", cache.path("kernels"));
    process
}

fn cuda(doctor: &Value) -> &Value {
    doctor["backends"].as_array().expect("a list").iter().find(|backend| backend["name"] == "cuda").expect("cuda")
}

fn batch(folder: &Folder) -> PathBuf {
    let (student, teacher) = (noise(1, 4 * 50), noise(2, 4 * 50));
    let tensors = [
        f32s("student", &[4, 50], &student),
        f32s("teacher", &[4, 50], &teacher),
        i64s("labels", &[4], &[3, -100, 49, 0]),
    ];
    folder.save("batch.safetensors", &tensors)
}

#[test]
fn doctor_describes_gpu_driver_compiler_and_plans() {
    let (Some(mock), folder) = (mock(), Folder::new()) else { return };
    let answer = json(with_driver(kdloss(["doctor"]), &mock, &folder));
    let found = cuda(&answer);
    assert_eq!((&answer["auto"], &found["available"]), (&"cuda".into(), &true.into()));
    for part in ["CUDA 12.9", "NVRTC 12.9", "libnvrtc", "kernels"] {
        assert!(found["note"].as_str().is_some_and(|note| note.contains(part)), "{part} is not in {found}");
    }
    let device = &found["devices"][0];
    assert_eq!((&device["compute_capability"], &device["largest_cluster"]), (&"9.0".into(), &8.into()));
    let wide = &device["plans"][1];
    assert_eq!((&wide["dtype"], &wide["vocab"], &wide["cluster"]), (&"bf16".into(), &151_936.into(), &6.into()));

    let text = printed(with_driver(kdloss(["doctor"]), &mock, &folder));
    assert_fits(&text);
    let text = flowing(&text);
    for part in ["GPU 0", "Mock", "compute capability", "in that of a cluster of 6 CTAs", "--backend auto picks cuda"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn eval_gives_what_the_reference_gives_and_keeps_its_kernels() {
    let (Some(mock), folder) = (mock(), Folder::new()) else { return };
    let file = batch(&folder);
    let eval = |backend: &str, name: &str| {
        let mut process = with_driver(run("eval", &file, "--temperature 2 --grad-out"), &mock, &folder);
        process.arg(folder.path(name)).args(["--backend", backend]);
        json(process)
    };
    let want = eval("reference", "want.safetensors");
    for backend in ["cuda", "auto"] {
        let got = eval(backend, "got.safetensors");
        assert_eq!(got["backend"], "cuda");
        assert!(got["device"].as_str().is_some_and(|device| device.contains("Mock")), "{got}");
        for key in ["loss", "hard", "soft", "counted_rows"] {
            assert!(close(number(&got, key), number(&want, key), 1e-5), "{key}: {got} {want}");
        }
        let (shape, entries) = gradient(&folder.path("got.safetensors"));
        assert_eq!(shape, [4, 50]);
        for (got, want) in entries.iter().zip(gradient(&folder.path("want.safetensors")).1) {
            assert!(close(f64::from(*got), f64::from(want), 1e-6), "{got} {want}");
        }
    }
    assert_eq!(fs::read_dir(folder.path("kernels")).expect("a cache").count(), 1, "one kernel, kept once");
}

#[test]
fn what_is_missing_is_named_and_auto_picks_another() {
    let (Some(mock), folder) = (mock(), Folder::new()) else { return };
    let file = batch(&folder);
    for (name, value, parts) in [
        ("MOCK_CUDA_DEVICES", "0", ["no device", "NVIDIA GPU"]),
        ("MOCK_CUDA_DRIVER", "11020", ["CUDA 11.2, is too old", "CUDA 11.4"]),
        ("KDLOSS_NVRTC", "/nowhere/libnvrtc.so", ["looked for /nowhere/libnvrtc.so", "KDLOSS_NVRTC"]),
    ] {
        let mut process = with_driver(run("eval", &file, "--backend cuda"), &mock, &folder);
        process.env(name, value);
        let line = error(process);
        let mut process = with_driver(kdloss(["doctor"]), &mock, &folder);
        process.env(name, value);
        let doctor = json(process);
        assert_eq!(cuda(&doctor)["available"], false);
        assert_ne!(doctor["auto"], "cuda");
        for part in parts {
            assert!(line.contains(part), "{part} is not in {line}");
            assert!(cuda(&doctor)["note"].as_str().is_some_and(|note| note.contains(part)), "{part}: {doctor}");
        }
    }
}

#[test]
fn a_driver_without_a_function_is_too_old() {
    let (Some(mock), folder) = (mock(), Folder::new()) else { return };
    // A name in the table of symbols that is not the function's: nobody finds the function.
    let mut library = fs::read(&mock).expect("the mock");
    let name = b"\0cuStreamIsCapturing\0";
    let places: Vec<usize> =
        library.windows(name.len()).enumerate().filter(|(_, at)| at == name).map(|at| at.0).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| library[place + 3] = b'x');
    let driver = folder.write("libcuda.so", &library);
    let line = error(with_driver(run("eval", &batch(&folder), "--backend cuda"), &driver, &folder));
    assert!(line.contains("too old: it has no function cuStreamIsCapturing"), "{line}");
}

#[test]
fn without_a_driver_its_names_are_told() {
    let folder = Folder::new();
    if cuda(&json(kdloss(["doctor"])))["note"].as_str().is_some_and(|note| !note.contains("NVIDIA's driver (")) {
        eprintln!("skipped: this machine has a driver");
        return;
    }
    let line = error(run("eval", &batch(&folder), "--backend cuda"));
    for part in ["looked for NVIDIA's driver (libcuda.so, libcuda.so.1)", "found none", "install"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
