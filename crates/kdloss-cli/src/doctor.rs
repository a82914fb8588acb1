//! `kdloss doctor`: what this machine has, which backends are there, and what was looked for where one is not.

use std::io::Write;
use std::path::Path;

use kdloss::cpu;
use serde_json::{Value, json};

use super::args::DoctorArgs;
use super::backend::Pick;
use super::cuda::{self, Device};
use super::failure::Result;
use super::gpu::{self, Adapter};
use super::machine;
use super::output::{readable_bytes, table};

/// One backend and what there is to say about it.
struct Finding {
    name: &'static str,
    available: bool,
    note: String,
}

pub(crate) fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<()> {
    let adapters = gpu::adapters();
    let devices = cuda::usable();
    let findings = findings(&adapters, &devices);
    let devices = devices.unwrap_or_default();
    let auto = Pick::auto(devices.clone(), || adapters.clone());
    if args.json {
        writeln!(out, "{}", as_json(&findings, &adapters, &devices, &auto))?;
        return Ok(());
    }
    let mut machine_table = table(&["machine", ""], 0..0);
    let (total, available) = machine::memory();
    let vectors = machine::vector_instructions();
    machine_table
        .add_row(["kdloss", env!("CARGO_PKG_VERSION")])
        .add_row(["device", &machine::device()])
        .add_row(["processor", &machine::processor()])
        .add_row(["cores", &machine::cores().to_string()])
        .add_row(["rayon threads", &format!("{} (RAYON_NUM_THREADS changes it)", rayon::current_num_threads())])
        .add_row(["vector instructions", &if vectors.is_empty() { "none found".to_owned() } else { vectors.join(" ") }])
        .add_row(["cpu computes by", &machine::instructions()])
        .add_row(["memory", &format!("{}, {} available", bytes_or_unknown(total), bytes_or_unknown(available))]);
    writeln!(out, "{machine_table}")?;

    let mut backends = table(&["backend", "there", "note"], 0..0);
    for finding in &findings {
        backends.add_row([finding.name, if finding.available { "yes" } else { "no" }, &finding.note]);
    }
    writeln!(out, "{backends}")?;
    for adapter in &adapters {
        writeln!(out, "{}", gpu::as_table(adapter))?;
    }
    for device in &devices {
        writeln!(out, "{}", cuda::as_table(device))?;
    }
    writeln!(out, "--backend auto picks {auto}")?;
    Ok(())
}

fn as_json(findings: &[Finding], adapters: &[Adapter], devices: &[Device], auto: &Pick) -> Value {
    let (total, available) = machine::memory();
    let backend = |finding: &Finding| {
        let mut object = json!({ "name": finding.name, "available": finding.available, "note": finding.note });
        if finding.name == "wgpu" {
            object["adapters"] = adapters.iter().map(gpu::as_json).collect();
        }
        if finding.name == "cuda" {
            object["devices"] = devices.iter().map(cuda::as_json).collect();
        }
        object
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": machine::device(),
        "processor": machine::processor(),
        "cores": machine::cores(),
        "rayon_threads": rayon::current_num_threads(),
        "vector_instructions": machine::vector_instructions(),
        "cpu_instructions": cpu::instructions().ok().map(cpu::Instructions::name),
        "memory_bytes": total,
        "available_memory_bytes": available,
        "auto": auto.name(),
        "backends": findings.iter().map(backend).collect::<Vec<_>>(),
    })
}

fn findings(adapters: &[Adapter], devices: &Result<Vec<Device>>) -> [Finding; 4] {
    let there = |name, note: String| Finding { name, available: true, note };
    [
        there("reference", "scalar f64 oracle: slow, one thread".to_owned()),
        Finding {
            name: "cpu",
            available: cpu::instructions().is_ok(),
            note: cpu::instructions().map_or_else(
                |error| format!("looked for vector instructions: {error}"),
                |_| format!("{} threads", rayon::current_num_threads()),
            ),
        },
        Finding { name: "wgpu", available: !adapters.is_empty(), note: wgpu_note(adapters) },
        Finding { name: "cuda", available: devices.is_ok(), note: cuda_note(devices) },
    ]
}

fn cuda_note(devices: &Result<Vec<Device>>) -> String {
    let note = cuda::note(devices);
    if devices.is_ok() {
        return note;
    }
    format!("{note}; looked for NVIDIA's driver {}", looked_at(&["/dev/nvidiactl", "/proc/driver/nvidia/version"]))
}

fn wgpu_note(adapters: &[Adapter]) -> String {
    let drivers = looked_at(&["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]);
    let software = adapters.iter().filter(|adapter| adapter.is_software()).count();
    match (adapters.len(), software) {
        _ if !gpu::BUILT_IN => {
            format!("not built in: build kdloss-cli with --features wgpu; looked for Vulkan drivers {drivers}")
        }
        (0, _) => format!(
            "no adapter; looked for Vulkan drivers {drivers}: install one (on Debian, mesa-vulkan-drivers has those of \
             many GPUs and a software adapter)"
        ),
        (all, 0) => format!("adapters: {all}"),
        (all, _) => format!("adapters: {all} ({software} software, which auto never picks)"),
    }
}

/// The paths looked at, each with what was found.
fn looked_at(paths: &[&str]) -> String {
    let state = |path: &&str| format!("at {path} ({})", if Path::new(path).exists() { "found" } else { "not found" });
    paths.iter().map(state).collect::<Vec<_>>().join(" and ")
}

fn bytes_or_unknown(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), readable_bytes)
}
