//! How a call is laid out on a device: pure functions of sizes and limits.

use std::ops::Range;

use super::variant::{Join, Workgroup};
use crate::error::{Error, Result};

/// The most bytes of a binding that a kernel addresses: element numbers are 32-bit, and sums of two of them must be too.
const LARGEST_BINDING: u64 = 1 << 31;

/// Bytes of workgroup memory per lane, at most: statistics of a row, and its sums.
const WORKGROUP_BYTES_PER_LANE: u32 = 32;

/// Columns to a lane on a software adapter, at most. Mesa's llvmpipe ends loops after 65 535 iterations, counted over all loops of
/// a kernel: a lane needs one for each 4 columns that it clears, and fewer where it visits 16 at a time, up to three times.
const SOFTWARE_COLUMNS_PER_LANE: usize = 1 << 17;

/// Lanes of the kernels that take a batch's rows, not their logits, on a software adapter: they are short whatever the lanes.
const SOFTWARE_LANES_OF_BATCH: u32 = 256;

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

/// How many lanes take what on a device.
#[derive(Debug, Clone)]
pub(crate) struct Lanes {
    workgroup: Workgroup,
    largest: u32,
    info: wgpu::AdapterInfo,
    features: wgpu::Features,
    is_fixed: bool,
}

impl Lanes {
    pub(crate) fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, features: wgpu::Features) -> Self {
        Self {
            workgroup: workgroup(info, limits, features),
            largest: largest_workgroup(limits),
            info: info.clone(),
            features,
            is_fixed: info.device_type != wgpu::DeviceType::Cpu,
        }
    }

    /// Whatever it is for, a workgroup of this size.
    pub(crate) fn fix(&mut self, size: u32) {
        self.is_fixed = true;
        self.workgroup = self.resized(size);
    }

    /// Does without subgroups.
    pub(crate) fn join_through_memory(&mut self) {
        self.features.remove(wgpu::Features::SUBGROUP);
        self.workgroup.join = Join::Workgroup;
    }

    /// The workgroup that takes a row of this many columns.
    pub(crate) fn of_row(&self, columns: usize) -> Workgroup {
        let needed = columns.div_ceil(SOFTWARE_COLUMNS_PER_LANE).next_power_of_two();
        let needed = u32::try_from(needed).unwrap_or(u32::MAX).min(self.largest);
        if self.is_fixed || needed <= self.workgroup.size { self.workgroup } else { self.resized(needed) }
    }

    /// The workgroup that takes the rows' labels and losses.
    pub(crate) fn of_batch(&self) -> Workgroup {
        if self.is_fixed { self.workgroup } else { self.resized(SOFTWARE_LANES_OF_BATCH.min(self.largest)) }
    }

    fn resized(&self, size: u32) -> Workgroup {
        Workgroup { size, join: join(size, &self.info, self.features) }
    }
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
        Window { offset, size: (last - offset + extent.row).next_multiple_of(4), start: first - offset }
    }
}

/// The grid of a dispatch: at least `workgroups` of them, at most `limit` to a side.
pub(crate) fn grid(workgroups: u32, limit: u32) -> (u32, u32) {
    let lines = workgroups.div_ceil(limit.max(1)).max(1);
    (workgroups.div_ceil(lines), lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn extent(offset: u64, row_stride: u64, row: u64) -> Extent {
        Extent { matrix: "student", offset, row_stride, row }
    }

    fn limits(size: u64) -> BindingLimits {
        BindingLimits { alignment: 256, size, rows: u64::from(u32::MAX) }
    }

    /// Every window fits the limits, starts aligned, holds its rows, and the chunks cover all rows in order.
    fn check_chunks(limits: BindingLimits, rows: usize, extents: &[Extent]) -> Vec<Range<usize>> {
        let chunks = limits.chunks(rows, extents).unwrap();
        assert_eq!(chunks.iter().map(Range::len).sum::<usize>(), rows);
        assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
        for (chunk, extent) in chunks.iter().flat_map(|chunk| extents.iter().map(move |extent| (chunk, extent))) {
            let window = limits.window(extent, chunk);
            let first = extent.offset + chunk.start as u64 * extent.row_stride;
            let last = extent.offset + (chunk.end - 1) as u64 * extent.row_stride + extent.row;
            assert!(window.size <= limits.size && window.size.is_multiple_of(4));
            assert!(window.offset.is_multiple_of(limits.alignment) && window.offset + window.start == first);
            assert!(window.offset + window.size >= last && window.offset + window.size < last + 4);
        }
        chunks
    }

    #[test]
    fn a_tensor_of_more_elements_than_32_bits_count_is_taken_in_chunks() {
        // 32 768 rows of 262 144 f32: 2³³ elements, 32 GiB.
        let row = 262_144 * 4;
        let chunks = check_chunks(limits(128 << 20), 32_768, &[extent(0, row, row)]);
        assert_eq!(chunks.len(), 32_768usize.div_ceil(127));
        // The widest binding that a kernel addresses: 2³¹ bytes.
        let widest =
            BindingLimits::new(&wgpu::Limits { max_storage_buffer_binding_size: 1 << 40, ..Default::default() });
        assert_eq!(widest.size, 2 * GIB);
        let chunks = check_chunks(widest, 32_768, &[extent(12, row, row)]);
        // Element numbers within a window, and those that a loop steps to beyond its end, stay below 2³¹.
        let window = widest.window(&extent(12, row, row), &chunks[0]);
        assert!((window.start + window.size) / 2 + 4 * 128 * 1024 < 1 << 31);
    }

    #[test]
    fn chunks_suit_the_widest_matrix_and_odd_starts() {
        // 50 257 halves to a row, which starts at any even byte.
        let halves = extent(6, 100_514, 100_514);
        let floats = extent(4, 50_257 * 4, 50_257 * 4);
        let chunks = check_chunks(limits(1 << 20), 1000, &[halves, floats, extent(0, 8, 8)]);
        assert_eq!(chunks[0].len(), ((1 << 20) - 260 - 50_257 * 4) / (50_257 * 4) + 1);
        // One row, whose stride says nothing.
        check_chunks(limits(1 << 20), 1, &[extent(0, 0, 1000), extent(0, u64::MAX / 4, 1000)]);
        assert_eq!(limits(1 << 20).chunks(0, &[halves]), Ok(Vec::new()));
    }

    #[test]
    fn a_row_that_fits_no_binding_is_refused() {
        let error = limits(4096).chunks(1, &[extent(0, 4096, 4096)]).unwrap_err();
        assert_eq!(error, Error::RowTooWide { matrix: "student", bytes: 4096, limit: 4096 - 260 });
    }

    #[test]
    fn grids_cover_their_workgroups_and_keep_the_limit() {
        for limit in [1, 3, 65_535] {
            for workgroups in [1, 2, 3, 9, 65_535, 65_536, 70_000, 1 << 20] {
                let (x, y) = grid(workgroups, limit);
                assert!(u64::from(x) * u64::from(y) >= u64::from(workgroups));
                assert!(x <= limit);
                // At most a line is idle.
                assert!(u64::from(x) * u64::from(y - 1) < u64::from(workgroups));
            }
        }
    }

    fn adapter(device_type: wgpu::DeviceType, subgroups: (u32, u32)) -> wgpu::AdapterInfo {
        let mut info = wgpu::AdapterInfo::new(device_type, wgpu::Backend::Vulkan);
        (info.subgroup_min_size, info.subgroup_max_size) = subgroups;
        info
    }

    #[test]
    fn the_workgroup_suits_the_adapter() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu};
        let with = wgpu::Features::SUBGROUP;
        let without = wgpu::Features::empty();
        let least = wgpu::Limits::defaults();
        let cramped = wgpu::Limits { max_compute_workgroup_size_x: 100, ..least.clone() };
        let forgetful = wgpu::Limits { max_compute_workgroup_storage_size: 2048, ..least.clone() };
        for (device_type, subgroups, features, limits, size, join) in [
            // One after another: NVIDIA, Intel, AMD, Apple without the feature, lavapipe, and devices with small limits.
            (DiscreteGpu, (32, 32), with, &least, 256, Join::Subgroup { size: 32 }),
            (IntegratedGpu, (8, 32), with, &least, 256, Join::Subgroup { size: 8 }),
            (DiscreteGpu, (32, 64), with, &least, 256, Join::Subgroup { size: 32 }),
            (IntegratedGpu, (32, 32), without, &least, 256, Join::Workgroup),
            (Cpu, (8, 8), with, &least, 8, Join::Subgroup { size: 8 }),
            (Cpu, (4, 128), without, &least, 8, Join::Workgroup),
            (DiscreteGpu, (32, 128), with, &cramped, 64, Join::Workgroup),
            (DiscreteGpu, (64, 64), with, &forgetful, 64, Join::Subgroup { size: 64 }),
        ] {
            let chosen = workgroup(&adapter(device_type, subgroups), limits, features);
            assert_eq!(chosen, Workgroup { size, join }, "{device_type:?} {subgroups:?}");
        }
    }
}
