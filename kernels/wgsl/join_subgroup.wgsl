// Joining what the lanes of a workgroup have found: among SUBGROUP_SIZE lanes of a subgroup by exchanging registers, between
// these groups through workgroup memory. The workgroup is made of whole subgroups, so that every lane has all its partners;
// SUBGROUP_SIZE is the smallest that the device's subgroups have, since a larger one is made of several such groups.
//
// Within a subgroup lanes run together and need no barrier. One barrier orders what the groups write before all lanes read
// it. A workgroup joins each kind of thing once, so its memory is not used again.

// A lane, and where it stands.
struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_index: u32,
}

const GROUPS: u32 = WORKGROUP_SIZE / SUBGROUP_SIZE;

var<workgroup> joined_parts: array<RowPart, GROUPS>;
var<workgroup> joined_sums: array<f32, GROUPS>;

// The group of a lane, and whether it is the group's first.
fn group_of(lane: Lane) -> u32 {
    return (lane.subgroup * lane.subgroup_size + lane.subgroup_index) / SUBGROUP_SIZE;
}

fn is_first(lane: Lane) -> bool {
    return lane.subgroup_index % SUBGROUP_SIZE == 0u;
}

// The part that the lane `step` away holds.
fn exchange(part: RowPart, step: u32) -> RowPart {
    return RowPart(
        subgroupShuffleXor(part.student_max, step),
        subgroupShuffleXor(part.student_sum, step),
        subgroupShuffleXor(part.student_tempered_sum, step),
        subgroupShuffleXor(part.teacher_max, step),
        subgroupShuffleXor(part.teacher_tempered_sum, step),
        subgroupShuffleXor(part.flags, step),
    );
}

// The row, from each lane's part of it. All lanes call it and get the same.
fn join_parts(lane: Lane, part: RowPart) -> RowPart {
    var joined = part;
    for (var step = 1u; step < SUBGROUP_SIZE; step *= 2u) {
        joined = merge(joined, exchange(joined, step));
    }
    if is_first(lane) {
        joined_parts[group_of(lane)] = joined;
    }
    workgroupBarrier();
    joined = joined_parts[0];
    for (var group = 1u; group < GROUPS; group++) {
        joined = merge(joined, joined_parts[group]);
    }
    return joined;
}

// The sum over lanes. All lanes call it and get the same.
fn join_sum(lane: Lane, part: f32) -> f32 {
    var joined = part;
    for (var step = 1u; step < SUBGROUP_SIZE; step *= 2u) {
        joined += subgroupShuffleXor(joined, step);
    }
    if is_first(lane) {
        joined_sums[group_of(lane)] = joined;
    }
    workgroupBarrier();
    joined = joined_sums[0];
    for (var group = 1u; group < GROUPS; group++) {
        joined += joined_sums[group];
    }
    return joined;
}
