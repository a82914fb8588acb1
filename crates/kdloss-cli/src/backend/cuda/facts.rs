//! What `doctor` says about a GPU.

use comfy_table::Table;
use kdloss::DType;
use kdloss::cuda::Device;
use kdloss::cuda::plan::{Plan, Problem, plan};
use kdloss::cuda::specialisation::{Residency, Terms};
use serde_json::{Value, json};

use crate::output::{readable_bytes, table};

/// Shapes whose layout is shown: rows as language models have them.
const SHAPES: [(DType, u32); 4] =
    [(DType::Bf16, 32_000), (DType::Bf16, 151_936), (DType::F32, 32_000), (DType::F32, 151_936)];

const ROWS: u32 = 8192;

pub(super) fn as_json(device: &Device) -> Value {
    let limits = &device.limits;
    let plans = plans(device).map(|(dtype, vocab, plan)| {
        json!({
            "dtype": dtype.to_string(),
            "vocab": vocab,
            "rows_stay": residency(&plan),
            "cluster": plan.cluster,
            "threads": plan.threads,
            "ctas_per_multiprocessor": plan.resident,
            "shared_bytes": plan.shared_bytes,
        })
    });
    json!({
        "index": device.ordinal,
        "name": device.name,
        "compute_capability": capability(device),
        "multiprocessors": limits.multiprocessors,
        "memory_bytes": device.memory_bytes,
        "max_shared_bytes_per_cta": limits.shared_per_cta,
        "max_shared_bytes_per_multiprocessor": limits.shared_per_multiprocessor,
        "largest_cluster": limits.largest_cluster,
        "plans": plans.collect::<Vec<_>>(),
    })
}

/// A table of two columns.
pub(super) fn as_table(device: &Device) -> Table {
    let limits = &device.limits;
    let mut table = table(&[&format!("GPU {}", device.ordinal), &device.name], 0..0);
    table
        .add_row(["compute capability", &capability(device)])
        .add_row(["multiprocessors", &limits.multiprocessors.to_string()])
        .add_row(["memory", &readable_bytes(device.memory_bytes)])
        .add_row([
            "shared memory",
            &format!(
                "{} to a CTA, {} to a multiprocessor, at most",
                readable_bytes(limits.shared_per_cta.into()),
                readable_bytes(limits.shared_per_multiprocessor.into())
            ),
        ]);
    for (dtype, vocab, plan) in plans(device) {
        let Plan { threads, resident, .. } = plan;
        table.add_row([
            format!("{dtype}, vocabulary {vocab}"),
            format!("rows stay {}; {threads} threads to a CTA, CTAs per multiprocessor: {resident}", residency(&plan)),
        ]);
    }
    table
}

fn plans(device: &Device) -> impl Iterator<Item = (DType, u32, Plan)> {
    SHAPES.into_iter().map(|(dtype, vocab)| {
        let problem = Problem::new(ROWS, vocab, dtype, Terms::BothBySquaring(1));
        (dtype, vocab, plan(&problem, &device.limits))
    })
}

fn capability(device: &Device) -> String {
    format!("{}.{}", device.limits.architecture / 10, device.limits.architecture % 10)
}

/// Where rows are between the passes.
fn residency(plan: &Plan) -> String {
    match plan.specialisation.residency {
        Residency::Block => "in the shared memory of one CTA".to_owned(),
        Residency::Cluster => format!("in that of a cluster of {} CTAs", plan.cluster),
        _ => "in global memory, read twice".to_owned(),
    }
}
