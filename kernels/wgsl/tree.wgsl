// Joining LEAVES parts of a row, or of its sums, that lie in workgroup memory: a binary tree of fixed shape, whose root is the
// last leaf.
//
// Lanes synchronise at the barrier before the tree, and at one after each of its levels; after the last, all read the root.
// A workgroup joins each kind of thing once, so its memory is not used again.

var<workgroup> joined_parts: array<RowPart, LEAVES>;
var<workgroup> joined_sums: array<RowSums, LEAVES>;

// The row, once every leaf is written. All lanes call it and get the same.
fn root_of_parts(index: u32) -> RowPart {
    workgroupBarrier();
    for (var step = LEAVES / 2u; step > 0u; step /= 2u) {
        if index >= LEAVES - step && index < LEAVES {
            joined_parts[index] = merge(joined_parts[index - step], joined_parts[index]);
        }
        workgroupBarrier();
    }
    return joined_parts[LEAVES - 1u];
}

// The sums, once every leaf is written. All lanes call it and get the same.
fn root_of_sums(index: u32) -> RowSums {
    workgroupBarrier();
    for (var step = LEAVES / 2u; step > 0u; step /= 2u) {
        if index >= LEAVES - step && index < LEAVES {
            joined_sums[index] = merge_sums(joined_sums[index - step], joined_sums[index]);
        }
        workgroupBarrier();
    }
    return joined_sums[LEAVES - 1u];
}
