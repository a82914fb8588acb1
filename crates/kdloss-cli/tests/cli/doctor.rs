//! `kdloss doctor`.

use serde_json::Value;

use super::support::{flowing, json, kdloss, keys, printed};

#[test]
fn json_names_the_machine_and_every_backend() {
    let answer = json(kdloss(["doctor"]));
    let expected = [
        "version",
        "device",
        "processor",
        "cores",
        "rayon_threads",
        "vector_instructions",
        "cpu_instructions",
        "memory_bytes",
        "available_memory_bytes",
        "auto",
        "backends",
    ];
    assert_eq!(keys(&answer), expected);
    assert_eq!(answer["version"], env!("CARGO_PKG_VERSION"));
    assert!(answer["cores"].as_u64().is_some_and(|cores| cores > 0));
    let backends = answer["backends"].as_array().expect("a list");
    let names: Vec<_> = backends.iter().map(|backend| backend["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["reference", "cpu", "wgpu", "cuda"]);
    for backend in backends.iter().filter(|backend| backend["available"] == false) {
        assert!(backend["note"].as_str().is_some_and(|note| note.contains("looked for")), "{backend}");
    }
}

#[test]
fn threads_are_those_of_the_environment() {
    let mut process = kdloss(["doctor"]);
    process.env("RAYON_NUM_THREADS", "3");
    let answer = json(process);
    assert_eq!(answer["rayon_threads"], 3);
    assert!(answer["device"].as_str().is_some_and(|device| device.contains("(3 threads)")));
}

#[test]
fn the_vector_instructions_are_those_of_the_environment() {
    let doctor = |wanted: &str| {
        let mut process = kdloss(["doctor"]);
        process.env("KDLOSS_CPU", wanted);
        process
    };
    assert_eq!(json(doctor("portable"))["cpu_instructions"], "portable");
    let answer = json(doctor("sse9"));
    assert_eq!((&answer["cpu_instructions"], &answer["backends"][1]["available"]), (&Value::Null, &false.into()));
    assert!(answer["backends"][1]["note"].as_str().is_some_and(|note| note.contains("sse9")), "{answer}");
}

#[test]
fn people_get_tables_and_what_auto_picks() {
    let text = flowing(&printed(kdloss(["doctor"])));
    for part in ["vector instructions", "memory", "wgpu", "cuda", "looked for", "--backend auto picks "] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[cfg(not(feature = "wgpu"))]
#[test]
fn without_wgpu_the_processor_is_picked_and_the_remedy_told() {
    let answer = json(kdloss(["doctor"]));
    let wgpu = &answer["backends"][2];
    assert_eq!((&answer["auto"], &wgpu["available"]), (&"cpu".into(), &false.into()));
    assert_eq!(wgpu["adapters"].as_array().map(Vec::len), Some(0));
    assert!(wgpu["note"].as_str().is_some_and(|note| note.contains("--features wgpu")), "{wgpu}");
}
