//! What `doctor` says about an adapter.

use comfy_table::Table;
use kdloss::external::wgpu;
use kdloss::wgpu::{Adapter, Kernels};
use serde_json::{Value, json};

use crate::output::{readable_bytes, table};

pub(super) fn as_json(adapter: &Adapter) -> Value {
    let (info, limits, workgroup) = (adapter.info(), adapter.limits(), workgroup(adapter));
    json!({
        "index": adapter.index(),
        "name": info.name,
        "type": kind(info.device_type),
        "software": adapter.is_software(),
        "driver": driver(adapter),
        "backend": info.backend.to_string(),
        "features": features(adapter),
        "max_storage_binding_bytes": limits.max_storage_buffer_binding_size,
        "max_buffer_bytes": limits.max_buffer_size,
        "max_workgroup_memory_bytes": limits.max_compute_workgroup_storage_size,
        "max_workgroup_invocations": limits.max_compute_invocations_per_workgroup,
        "max_workgroups_per_dimension": limits.max_compute_workgroups_per_dimension,
        "binding_offset_alignment": limits.min_storage_buffer_offset_alignment,
        "workgroup_size": workgroup.as_ref().ok().map(|workgroup| workgroup.size),
        "uses_subgroups": workgroup.as_ref().ok().map(|workgroup| workgroup.uses_subgroups),
        "refusal": workgroup.err().map(|error| error.to_string()),
    })
}

/// A table of two columns.
pub(super) fn as_table(adapter: &Adapter) -> Table {
    let (info, limits, features) = (adapter.info(), adapter.limits(), features(adapter));
    let picked = if adapter.is_software() { ": runs on the processor, auto never picks it" } else { "" };
    let workgroup = match workgroup(adapter) {
        Ok(Workgroup { size, uses_subgroups: true }) => format!("{size} lanes, joined by subgroup operations"),
        Ok(Workgroup { size, uses_subgroups: false }) => format!("{size} lanes, joined through workgroup memory"),
        Err(error) => error.to_string(),
    };
    let mut table = table(&[&format!("adapter {}", adapter.index()), &info.name], 0..0);
    table
        .add_row(["type", &format!("{}{picked}", kind(info.device_type))])
        .add_row(["driver", &driver(adapter)])
        .add_row(["backend", &info.backend.to_string()])
        .add_row(["features used", &if features.is_empty() { "none found".to_owned() } else { features.join(" ") }])
        .add_row([
            "storage binding",
            &format!(
                "{} at most, at offsets in multiples of {} B",
                readable_bytes(limits.max_storage_buffer_binding_size),
                limits.min_storage_buffer_offset_alignment
            ),
        ])
        .add_row(["buffer", &format!("{} at most", readable_bytes(limits.max_buffer_size))])
        .add_row([
            "workgroup",
            &format!(
                "{} invocations and {} of memory at most",
                limits.max_compute_invocations_per_workgroup,
                readable_bytes(limits.max_compute_workgroup_storage_size.into())
            ),
        ])
        .add_row(["grid", &format!("{} to a side at most", limits.max_compute_workgroups_per_dimension)])
        .add_row(["kernels", &workgroup]);
    table
}

/// The driver's name and version, as far as the backend tells them.
pub(super) fn driver(adapter: &Adapter) -> String {
    let info = adapter.info();
    let parts: Vec<&str> = [&info.driver, &info.driver_info].into_iter().map(|part| part.trim()).collect();
    match parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ") {
        nothing if nothing.is_empty() => "unknown driver".to_owned(),
        driver => driver,
    }
}

/// The workgroup of the kernels.
struct Workgroup {
    size: u32,
    uses_subgroups: bool,
}

/// Asks the kernels themselves, which shows besides whether the adapter takes them.
fn workgroup(adapter: &Adapter) -> kdloss::Result<Workgroup> {
    let (device, queue) = adapter.open()?;
    let kernels = Kernels::new(&device, &queue)?;
    Ok(Workgroup { size: kernels.workgroup_size(), uses_subgroups: kernels.uses_subgroups() })
}

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "unknown",
    }
}

/// The features that the adapter has, of those that the kernels or their benchmarks use.
fn features(adapter: &Adapter) -> Vec<&'static str> {
    let used = [(wgpu::Features::SUBGROUP, "subgroups"), (wgpu::Features::TIMESTAMP_QUERY, "timestamps")];
    used.into_iter().filter(|(feature, _)| adapter.features().contains(*feature)).map(|(_, name)| name).collect()
}
