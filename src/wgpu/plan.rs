//! How a call is laid out on a device: pure functions of sizes and limits.

use std::ops::Range;

use super::variant::{Join, Workgroup};
use crate::error::{Error, Result};

/// The most bytes of a binding that a kernel addresses: element numbers are 32-bit, and sums of two of them must be too.
const LARGEST_BINDING: u64 = 1 << 31;

/// Bytes of workgroup memory per lane, at most: statistics of a row, and a sum.
const WORKGROUP_BYTES_PER_LANE: u32 = 28;

/// The workgroup that suits an adapter: a power of two, within its limits, with a lane for each of the widest accesses that
/// are worth having in flight.
///
/// On a GPU 256 lanes are enough to hide latency, with several workgroups to a processor. A software adapter runs a
/// workgroup as a loop over vectors of lanes, and each barrier is a switch of all of them: one vector is best
/// (1.5 to 2.8 times faster than 256 lanes on lavapipe).
///
/// Subgroups are used where the device has them and the workgroup is made of whole ones.
#[must_use]
pub fn workgroup(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, features: wgpu::Features) -> Workgroup {
    let wanted = if info.device_type == wgpu::DeviceType::Cpu { 8 } else { 256 };
    let size = largest_workgroup(limits).min(wanted);
    Workgroup { size, join: join(size, info, features) }
}

/// The largest workgroup that a device takes: a power of two.
pub(crate) fn largest_workgroup(limits: &wgpu::Limits) -> u32 {
    let lanes = limits
        .max_compute_invocations_per_workgroup
        .min(limits.max_compute_workgroup_size_x)
        .min(limits.max_compute_workgroup_storage_size / WORKGROUP_BYTES_PER_LANE);
    1 << lanes.max(1).ilog2()
}

/// How the lanes of a workgroup can be joined on a device.
pub(crate) fn join(size: u32, info: &wgpu::AdapterInfo, features: wgpu::Features) -> Join {
    let (narrowest, widest) = (info.subgroup_min_size, info.subgroup_max_size);
    let whole = narrowest >= 4 && narrowest.is_power_of_two() && widest >= narrowest && size.is_multiple_of(widest);
    if features.contains(wgpu::Features::SUBGROUP) && whole {
        Join::Subgroup { size: narrowest }
    } else {
        Join::Workgroup
    }
}

/// Where the rows of a matrix lie in its buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) matrix: &'static str,
    /// Of the first row.
    pub(crate) offset: u64,
    /// Between the starts of two rows.
    pub(crate) row_stride: u64,
    /// Of what is accessed of a row.
    pub(crate) row: u64,
}

/// The part of a buffer that is bound for some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Where the binding starts, at a multiple of the device's alignment.
    pub(crate) offset: u64,
    /// Bytes of the binding, a multiple of four.
    pub(crate) size: u64,
    /// Where the first row starts within the binding.
    pub(crate) start: u64,
}

/// What a device binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BindingLimits {
    /// Offsets are multiples of this.
    pub(crate) alignment: u64,
    /// The most bytes.
    pub(crate) size: u64,
    /// The most rows of a dispatch, one workgroup each.
    pub(crate) rows: u64,
}

impl BindingLimits {
    pub(crate) fn new(limits: &wgpu::Limits) -> Self {
        Self {
            alignment: u64::from(limits.min_storage_buffer_offset_alignment),
            size: limits.max_storage_buffer_binding_size.min(LARGEST_BINDING),
            rows: u64::from(limits.max_compute_workgroups_per_dimension).pow(2),
        }
    }

    /// Rows in as few parts as bindings allow, each of them within every matrix's binding.
    pub(crate) fn chunks(&self, rows: usize, extents: &[Extent]) -> Result<Vec<Range<usize>>> {
        let mut chunk = self.rows.min(rows as u64);
        for extent in extents {
            // A binding may have to start this much before its first row, and end up to a word after its last.
            let slack = self.alignment + 4;
            let Some(room) = self.size.checked_sub(slack + extent.row) else {
                let Extent { matrix, row, .. } = *extent;
                return Err(Error::RowTooWide { matrix, bytes: row, limit: self.size.saturating_sub(slack) });
            };
            chunk = chunk.min(1 + room / extent.row_stride.max(1));
        }
        let chunk = usize::try_from(chunk).unwrap_or(rows).max(1);
        Ok((0..rows).step_by(chunk).map(|start| start..rows.min(start + chunk)).collect())
    }

    /// The binding of some rows.
    pub(crate) fn window(&self, extent: &Extent, rows: &Range<usize>) -> Window {
        let first = extent.offset + rows.start as u64 * extent.row_stride;
        let last = extent.offset + rows.end.saturating_sub(1).max(rows.start) as u64 * extent.row_stride;
        let offset = first / self.alignment * self.alignment;
        Window { offset, size: (last + extent.row - offset).next_multiple_of(4), start: first - offset }
    }
}

/// The grid of a dispatch: at least `workgroups` of them, at most `limit` to a side.
pub(crate) fn grid(workgroups: u32, limit: u32) -> (u32, u32) {
    let lines = workgroups.div_ceil(limit.max(1)).max(1);
    (workgroups.div_ceil(lines), lines)
}
