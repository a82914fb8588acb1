// Joining what the lanes of a workgroup have found, through workgroup memory: every lane writes a leaf of the tree (tree.wgsl).

// A lane, and where it stands.
struct Lane {
    @builtin(local_invocation_index) index: u32,
}

const LEAVES: u32 = WORKGROUP_SIZE;

// The row, from each lane's part of it. All lanes call it and get the same.
fn join_parts(lane: Lane, part: RowPart) -> RowPart {
    let index = lane.index;
    joined_parts[index] = part;
    return root_of_parts(index);
}

// The sums over lanes. All lanes call it and get the same.
fn join_sums(lane: Lane, part: RowSums) -> RowSums {
    let index = lane.index;
    joined_sums[index] = part;
    return root_of_sums(index);
}
