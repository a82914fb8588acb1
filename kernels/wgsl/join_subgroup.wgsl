// Joining what the lanes of a workgroup have found: among SUBGROUP_SIZE lanes of a subgroup by exchanging registers, between
// these groups through workgroup memory, where each writes a leaf of the tree (tree.wgsl). Both are trees. The workgroup is made
// of whole subgroups, so that every lane has all its partners; SUBGROUP_SIZE is the smallest that the device's subgroups have,
// since a larger one is made of several such groups.
//
// Within a subgroup lanes run together and need no barrier.

// A lane, and where it stands.
struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_index: u32,
}

const LEAVES: u32 = WORKGROUP_SIZE / SUBGROUP_SIZE;

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
        subgroupShuffleXor(part.visited_and_flags, step),
    );
}

fn exchange_sums(sums: RowSums, step: u32) -> RowSums {
    return RowSums(subgroupShuffleXor(sums.divergence, step), subgroupShuffleXor(sums.visited, step));
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
    return root_of_parts(lane.index);
}

// The sums over lanes. All lanes call it and get the same.
fn join_sums(lane: Lane, part: RowSums) -> RowSums {
    var joined = part;
    for (var step = 1u; step < SUBGROUP_SIZE; step *= 2u) {
        joined = merge_sums(joined, exchange_sums(joined, step));
    }
    if is_first(lane) {
        joined_sums[group_of(lane)] = joined;
    }
    return root_of_sums(lane.index);
}
