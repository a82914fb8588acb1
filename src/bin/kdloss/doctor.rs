//! `kdloss doctor`: what this machine has, which backends are there, and what was looked for where one is not.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::args::DoctorArgs;
use super::backend::Backend;
use super::failure::Result;
use super::machine;
use super::output::table;

/// One backend and what there is to say about it.
struct Finding {
    name: &'static str,
    available: bool,
    note: String,
}

pub(crate) fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<()> {
    let findings = findings();
    if args.json {
        writeln!(out, "{}", as_json(&findings))?;
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
        .add_row(["memory", &format!("{}, {} available", gibibytes(total), gibibytes(available))]);
    writeln!(out, "{machine_table}")?;

    let mut backends = table(&["backend", "there", "note"], 0..0);
    for finding in &findings {
        backends.add_row([finding.name, if finding.available { "yes" } else { "no" }, &finding.note]);
    }
    writeln!(out, "{backends}")?;
    writeln!(out, "--backend auto picks {}", Backend::AUTO)?;
    Ok(())
}

fn as_json(findings: &[Finding]) -> Value {
    let (total, available) = machine::memory();
    let backends: Vec<Value> = findings
        .iter()
        .map(|finding| json!({ "name": finding.name, "available": finding.available, "note": finding.note }))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": machine::device(),
        "processor": machine::processor(),
        "cores": machine::cores(),
        "rayon_threads": rayon::current_num_threads(),
        "vector_instructions": machine::vector_instructions(),
        "memory_bytes": total,
        "available_memory_bytes": available,
        "auto": Backend::AUTO.to_string(),
        "backends": backends,
    })
}

fn findings() -> [Finding; 4] {
    let there = |name, note: &str| Finding { name, available: true, note: note.to_owned() };
    let absent = |name, looked_for: &str, paths: &[&'static str]| Finding {
        name,
        available: false,
        note: format!("not built into this version; looked for {looked_for} {}", looked_at(paths)),
    };
    [
        there("reference", "scalar f64 oracle: slow, one thread"),
        there("cpu", &format!("{} threads", rayon::current_num_threads())),
        absent("wgpu", "Vulkan drivers", &["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]),
        absent("cuda", "NVIDIA's driver", &["/dev/nvidiactl", "/proc/driver/nvidia/version"]),
    ]
}

/// The paths looked at, each with what was found.
fn looked_at(paths: &[&str]) -> String {
    let state = |path: &&str| format!("at {path} ({})", if Path::new(path).exists() { "found" } else { "not found" });
    paths.iter().map(state).collect::<Vec<_>>().join(" and ")
}

fn gibibytes(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64))
}
