// Joining what the lanes of a workgroup have found, through workgroup memory: a binary tree of fixed shape, whose root is
// the last lane.
//
// Lanes synchronise at the barrier before the tree, and at one after each of its levels; after the last, all read the root.
// A workgroup joins each kind of thing once, so its memory is not used again.

// A lane, and where it stands.
struct Lane {
    @builtin(local_invocation_index) index: u32,
}

var<workgroup> joined_parts: array<RowPart, WORKGROUP_SIZE>;
var<workgroup> joined_sums: array<f32, WORKGROUP_SIZE>;

// The row, from each lane's part of it. All lanes call it and get the same.
fn join_parts(lane: Lane, part: RowPart) -> RowPart {
    let index = lane.index;
    joined_parts[index] = part;
    workgroupBarrier();
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        if index >= WORKGROUP_SIZE - step {
            joined_parts[index] = merge(joined_parts[index - step], joined_parts[index]);
        }
        workgroupBarrier();
    }
    return joined_parts[WORKGROUP_SIZE - 1u];
}

// The sum over lanes. All lanes call it and get the same.
fn join_sum(lane: Lane, part: f32) -> f32 {
    let index = lane.index;
    joined_sums[index] = part;
    workgroupBarrier();
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        if index >= WORKGROUP_SIZE - step {
            joined_sums[index] += joined_sums[index - step];
        }
        workgroupBarrier();
    }
    return joined_sums[WORKGROUP_SIZE - 1u];
}
