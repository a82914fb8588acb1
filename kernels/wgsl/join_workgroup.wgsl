// Joining what the lanes of a workgroup have found, through workgroup memory: a binary tree of fixed shape.
//
// Lanes synchronise at the barrier before each level of the tree. `workgroupUniformLoad` is one more on either side: all
// of the tree is done before the result is read, and read by all before the memory is used again.

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

var<workgroup> joined_stats: array<RowStats, WORKGROUP_SIZE>;
var<workgroup> joined_sums: array<f32, WORKGROUP_SIZE>;

// The statistics of the row, from those of each lane's part of it. All lanes call it and get the same.
fn join_stats(invocation: Invocation, part: RowStats) -> RowStats {
    let lane = invocation.lane;
    joined_stats[lane] = part;
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if lane < step {
            joined_stats[lane] = merge(joined_stats[lane], joined_stats[lane + step]);
        }
    }
    return workgroupUniformLoad(&joined_stats[0]);
}

// The sum over lanes. All lanes call it and get the same.
fn join_sum(invocation: Invocation, part: f32) -> f32 {
    let lane = invocation.lane;
    joined_sums[lane] = part;
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if lane < step {
            joined_sums[lane] += joined_sums[lane + step];
        }
    }
    return workgroupUniformLoad(&joined_sums[0]);
}
