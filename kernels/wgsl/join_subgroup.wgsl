// Joining what the lanes of a workgroup have found: within a subgroup by exchanging registers, between subgroups through
// workgroup memory. The workgroup is made of whole subgroups, so that every lane has all its partners.
//
// Within a subgroup lanes run together and need no barrier. One barrier orders what the subgroups write before all lanes
// read it, another these reads before the memory is used again.

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

// No device has subgroups of fewer than four lanes.
var<workgroup> joined_stats: array<RowStats, WORKGROUP_SIZE / 4u>;
var<workgroup> joined_sums: array<f32, WORKGROUP_SIZE / 4u>;

// The statistics that the lane `step` away holds.
fn exchange(stats: RowStats, step: u32) -> RowStats {
    return RowStats(
        subgroupShuffleXor(stats.student_max, step),
        subgroupShuffleXor(stats.student_sum, step),
        subgroupShuffleXor(stats.student_tempered_sum, step),
        subgroupShuffleXor(stats.teacher_max, step),
        subgroupShuffleXor(stats.teacher_tempered_sum, step),
        subgroupShuffleXor(stats.flags, step),
    );
}

// The statistics of the row, from those of each lane's part of it. All lanes call it and get the same.
fn join_stats(invocation: Invocation, part: RowStats) -> RowStats {
    var joined = part;
    for (var step = 1u; step < invocation.subgroup_size; step *= 2u) {
        joined = merge(joined, exchange(joined, step));
    }
    if invocation.subgroup_lane == 0u {
        joined_stats[invocation.subgroup] = joined;
    }
    workgroupBarrier();
    joined = joined_stats[0];
    for (var subgroup = 1u; subgroup < invocation.subgroups; subgroup++) {
        joined = merge(joined, joined_stats[subgroup]);
    }
    workgroupBarrier();
    return joined;
}

// The sum over lanes. All lanes call it and get the same.
fn join_sum(invocation: Invocation, part: f32) -> f32 {
    var joined = part;
    for (var step = 1u; step < invocation.subgroup_size; step *= 2u) {
        joined += subgroupShuffleXor(joined, step);
    }
    if invocation.subgroup_lane == 0u {
        joined_sums[invocation.subgroup] = joined;
    }
    workgroupBarrier();
    joined = joined_sums[0];
    for (var subgroup = 1u; subgroup < invocation.subgroups; subgroup++) {
        joined += joined_sums[subgroup];
    }
    workgroupBarrier();
    return joined;
}
