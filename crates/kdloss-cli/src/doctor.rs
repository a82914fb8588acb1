//! `kdloss doctor`: what this machine has, which backends are there, and what was looked for where one is not.

use std::io::Write;
use std::sync::Arc;

use kdloss::cpu;
use serde_json::{Value, json};

use crate::args::DoctorArgs;
use crate::backend::{Device, PROVIDERS, Pick, Provider};
use crate::failure::Result;
use crate::machine;
use crate::output::{readable_bytes, table};

/// One backend and what there is to say about it.
struct Finding {
    name: &'static str,
    available: bool,
    note: String,
    /// The devices that one can choose among, and what they are called.
    devices: Option<(&'static str, Vec<Arc<dyn Device>>)>,
}

pub(crate) fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<()> {
    let gpus = PROVIDERS.map(Finding::gpu);
    let auto = Pick::auto(gpus.iter().map(|gpu| gpu.devices().to_vec()));
    // From the slowest to the fastest, where `auto` goes from the fastest to the slowest.
    let findings: Vec<Finding> =
        [Finding::reference(), Finding::cpu()].into_iter().chain(gpus.into_iter().rev()).collect();
    if args.json { write_json(&findings, &auto, out) } else { write_tables(&findings, &auto, out) }
}

impl Finding {
    fn reference() -> Self {
        Self {
            name: "reference",
            available: true,
            note: "scalar f64 oracle: slow, one thread".to_owned(),
            devices: None,
        }
    }

    fn cpu() -> Self {
        let (available, note) = match cpu::instructions() {
            Ok(_) => (true, format!("{} threads", rayon::current_num_threads())),
            Err(error) => (false, format!("looked for vector instructions: {error}")),
        };
        Self { name: "cpu", available, note, devices: None }
    }

    fn gpu(provider: &dyn Provider) -> Self {
        let found = provider.devices();
        let available = found.is_ok();
        let (note, devices) = match found {
            Ok(devices) => (provider.note(&devices), devices),
            Err(missing) => (missing.to_string(), Vec::new()),
        };
        Self { name: provider.name(), available, note, devices: Some((provider.plural(), devices)) }
    }

    fn devices(&self) -> &[Arc<dyn Device>] {
        self.devices.as_ref().map_or(&[], |(_, devices)| devices)
    }

    fn as_json(&self) -> Value {
        let mut object = json!({ "name": self.name, "available": self.available, "note": self.note });
        if let Some((plural, devices)) = &self.devices {
            object[plural] = devices.iter().map(|device| device.as_json()).collect();
        }
        object
    }
}

fn write_tables(findings: &[Finding], auto: &Pick, out: &mut dyn Write) -> Result<()> {
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
    for finding in findings {
        backends.add_row([finding.name, if finding.available { "yes" } else { "no" }, &finding.note]);
    }
    writeln!(out, "{backends}")?;
    for device in findings.iter().flat_map(Finding::devices) {
        writeln!(out, "{}", device.as_table())?;
    }
    writeln!(out, "--backend auto picks {auto}")?;
    Ok(())
}

fn write_json(findings: &[Finding], auto: &Pick, out: &mut dyn Write) -> Result<()> {
    let (total, available) = machine::memory();
    let answer = json!({
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
        "backends": findings.iter().map(Finding::as_json).collect::<Vec<_>>(),
    });
    writeln!(out, "{answer}")?;
    Ok(())
}

fn bytes_or_unknown(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), readable_bytes)
}
