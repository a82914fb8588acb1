//! The program on the adapters of this machine.

use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

use super::support::{Folder, error, eval, f32s, flowing, i64s, json, kdloss, keys, noise, printed, run};

/// Whether there is an adapter. Where there is none the tests say so, and fail if they are to prove something (`CI` is
/// set).
pub(crate) fn an_adapter_is_there() -> bool {
    let there = !adapters(&doctor()).is_empty();
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "`kdloss eval --backend wgpu` must be tested here, but has no adapter"
        );
        eprintln!("skipped: there is no adapter for `kdloss eval --backend wgpu`");
    }
    there
}

fn doctor() -> Value {
    json(kdloss(["doctor"]))
}

fn wgpu(doctor: &Value) -> &Value {
    let backends = doctor["backends"].as_array().expect("a list");
    backends.iter().find(|backend| backend["name"] == "wgpu").expect("there")
}

fn adapters(doctor: &Value) -> &[Value] {
    wgpu(doctor)["adapters"].as_array().expect("a list")
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key} is {}", object[key]))
}

fn batch(folder: &Folder) -> PathBuf {
    let labels = i64s("labels", &[2], &[0, 2]);
    let tensors = [f32s("student", &[2, 3], &noise(1, 6)), f32s("teacher", &[2, 3], &noise(2, 6)), labels];
    folder.save("batch.safetensors", &tensors)
}

/// Takes every driver away from the program, on Linux.
#[cfg(target_os = "linux")]
fn without_drivers(mut process: Command) -> Command {
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "__EGL_VENDOR_LIBRARY_FILENAMES"] {
        process.env(variable, "/nonexistent");
    }
    process
}

#[test]
fn doctor_lists_every_adapter() {
    if !an_adapter_is_there() {
        return;
    }
    let answer = doctor();
    assert_eq!(wgpu(&answer)["available"], true);
    let expected = [
        "index",
        "name",
        "type",
        "software",
        "driver",
        "backend",
        "features",
        "max_storage_binding_bytes",
        "max_buffer_bytes",
        "max_workgroup_memory_bytes",
        "max_workgroup_invocations",
        "max_workgroups_per_dimension",
        "binding_offset_alignment",
        "workgroup_size",
        "uses_subgroups",
        "refusal",
    ];
    let table = flowing(&printed(kdloss(["doctor"])));
    for (index, adapter) in adapters(&answer).iter().enumerate() {
        assert_eq!(keys(adapter), expected);
        assert_eq!(adapter["index"], index);
        assert_eq!(adapter["software"], text(adapter, "type") == "software");
        for limit in expected.iter().filter(|key| key.starts_with("max_")) {
            assert!(adapter[limit].as_u64().is_some_and(|limit| limit >= 256), "{limit}: {adapter}");
        }
        let size = adapter["workgroup_size"].as_u64().unwrap_or_else(|| panic!("refused: {adapter}"));
        assert!(size.is_power_of_two() && size <= adapter["max_workgroup_invocations"].as_u64().expect("a number"));
        let features = adapter["features"].as_array().expect("a list");
        assert!(features.contains(&"subgroups".into()) || adapter["uses_subgroups"] == false);
        let alignment = format!("offsets in multiples of {} B", adapter["binding_offset_alignment"]);
        let groups = format!("{} to a side", adapter["max_workgroups_per_dimension"]);
        let number = format!("adapter {index}");
        let facts = ["name", "driver", "type"].map(|key| text(adapter, key));
        for part in facts.into_iter().chain([number.as_str(), &alignment, &groups]) {
            assert!(table.contains(part), "{part} is not in {table}");
        }
        assert!(table.contains(&format!("{size} lanes")), "{table}");
    }
}

#[test]
fn auto_picks_a_real_gpu_and_never_a_software_adapter() {
    let answer = doctor();
    let real = adapters(&answer).iter().any(|adapter| adapter["software"] == false);
    let expected = if real { "wgpu" } else { "cpu" };
    assert_eq!(answer["auto"], expected);
    let folder = Folder::new();
    assert_eq!(eval(&batch(&folder), "")["backend"], expected);
    let output = kdloss(["doctor"]).assert().success().get_output().clone();
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("--backend auto picks {expected}")));
}

#[test]
fn adapters_are_chosen_by_number_and_by_text() {
    if !an_adapter_is_there() {
        return;
    }
    let folder = Folder::new();
    let file = batch(&folder);
    let doctor = doctor();
    let device = |adapter: &Value| format!("{}, {}", text(adapter, "name"), text(adapter, "driver"));
    for adapter in adapters(&doctor) {
        for backend in ["wgpu", "auto"] {
            let answer = eval(&file, &format!("--backend {backend} --adapter {}", adapter["index"]));
            assert_eq!((&answer["backend"], &answer["device"]), (&"wgpu".into(), &device(adapter).into()));
        }
        // A part of its name, in capitals: the best adapter that has it is taken.
        let word = text(adapter, "name").split_whitespace().next().expect("a name").to_uppercase();
        let answer = eval(&file, &format!("--adapter {word}"));
        assert_eq!(answer["backend"], "wgpu");
        assert!(text(&answer, "device").to_uppercase().contains(&word), "{word}: {answer}");
        let answer = eval(&file, &format!("--adapter {}", text(adapter, "backend")));
        assert!(adapters(&doctor).iter().any(|adapter| answer["device"] == device(adapter)), "{answer}");
    }
    // A number that no adapter has may be part of a name: a model, as in `--adapter 4090`.
    let numbers = |name: &str| name.split(|c: char| !c.is_ascii_digit()).map(str::to_owned).collect::<Vec<_>>();
    for number in adapters(&doctor).iter().flat_map(|adapter| numbers(text(adapter, "name"))) {
        if number.parse::<usize>().is_ok_and(|number| number >= adapters(&doctor).len()) {
            assert!(text(&eval(&file, &format!("--adapter {number}")), "device").contains(&number));
        }
    }
    let table = flowing(&printed(run("eval", &file, "--adapter 0")));
    assert!(table.contains(&device(&adapters(&doctor)[0])), "{table}");
}

#[test]
fn without_a_wish_the_best_adapter_computes() {
    if !an_adapter_is_there() {
        return;
    }
    let folder = Folder::new();
    let answer = eval(&batch(&folder), "--backend wgpu");
    let doctor = doctor();
    let computed =
        |adapter: &&Value| answer["device"] == format!("{}, {}", text(adapter, "name"), text(adapter, "driver"));
    let chosen = adapters(&doctor).iter().find(computed).expect("one of doctor's adapters");
    assert!(chosen["software"] == false || adapters(&doctor).iter().all(|adapter| adapter["software"] == true));
}

#[test]
fn adapters_that_are_not_there_are_refused_with_those_that_are() {
    if !an_adapter_is_there() {
        return;
    }
    let folder = Folder::new();
    let file = batch(&folder);
    let doctor = doctor();
    for wish in ["9999999", "abacus"] {
        for backend in ["wgpu", "auto"] {
            let line = error(run("eval", &file, &format!("--backend {backend} --adapter {wish}")));
            assert!(line.contains(&format!("`{wish}`")) && line.contains("--backend cpu"), "{line}");
            for adapter in adapters(&doctor) {
                assert!(line.contains(text(adapter, "name")), "{line}");
            }
        }
    }
    kdloss(["eval".as_ref(), file.as_os_str(), "--adapter".as_ref(), "".as_ref()]).assert().code(2);
}

/// What the library finds wrong with a batch is told as on the processor.
#[test]
fn errors_of_a_batch_leave_no_file_behind() {
    if !an_adapter_is_there() {
        return;
    }
    let folder = Folder::new();
    let labels = i64s("labels", &[2], &[0, 3]);
    let tensors = [f32s("student", &[2, 3], &noise(1, 6)), f32s("teacher", &[2, 3], &noise(2, 6)), labels];
    let file = folder.save("high.safetensors", &tensors);
    let gradient = folder.path("grad.safetensors");
    let refused =
        |backend: &str| error(run("eval", &file, &format!("--backend {backend} --grad-out {}", gradient.display())));
    assert!(refused("wgpu").contains("row 1 has label 3"));
    assert_eq!(refused("wgpu"), refused("cpu"));
    assert_eq!(folder.names(), ["high.safetensors"]);
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_driver_the_processor_is_picked_and_the_remedy_told() {
    let answer = json(without_drivers(kdloss(["doctor"])));
    assert_eq!((&answer["auto"], &wgpu(&answer)["available"]), (&"cpu".into(), &false.into()));
    assert!(adapters(&answer).is_empty());
    for part in ["looked for", "/usr/share/vulkan/icd.d", "mesa-vulkan-drivers"] {
        assert!(text(wgpu(&answer), "note").contains(part), "{part}: {answer}");
    }
    let folder = Folder::new();
    let file = batch(&folder);
    assert_eq!(json(without_drivers(run("eval", &file, "")))["backend"], "cpu");
    let line = error(without_drivers(run("eval", &file, "--backend wgpu")));
    assert!(line.contains("install a driver") && line.contains("--backend cpu"), "{line}");
}

/// Vulkan's loader tells what it does on stderr, if it is loaded and asked to.
#[cfg(target_os = "linux")]
#[test]
fn drivers_are_loaded_only_where_they_are_needed() {
    if !an_adapter_is_there() {
        return;
    }
    let folder = Folder::new();
    let file = batch(&folder);
    let loader = |args: &str| {
        let output = run("eval", &file, args).env("VK_LOADER_DEBUG", "all").assert().success().get_output().clone();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for args in ["--backend wgpu", "--backend auto"] {
        assert!(!loader(args).is_empty(), "{args} asked for no adapter");
    }
    for args in ["--backend cpu", "--backend reference"] {
        assert_eq!(loader(args), "", "{args}");
    }
}

/// On a server, where there is neither a session nor a screen, Mesa would print an error that is none.
#[test]
fn nothing_is_printed_on_stderr_without_a_session() {
    let folder = Folder::new();
    let file = batch(&folder);
    for mut process in [run("eval", &file, "--backend auto"), kdloss(["doctor"])] {
        for variable in ["XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "DISPLAY", "MESA_VK_DEVICE_SELECT", "NODEVICE_SELECT"] {
            process.env_remove(variable);
        }
        let output = process.assert().success().get_output().clone();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
