// How many rows count, before the first logit is read: the mean's denominators, and the first label that is no class.
//
// One workgroup reads the labels once: 8 bytes a row, beside the logits' 100 000. Integers, so the order does not matter.
// Rows are counted as they are visited: a driver may end a loop early.
//
// Its lanes meet twice: when the counters are 0, and when all have counted.

@group(0) @binding(6) var<storage, read_write> totals: Totals;

var<workgroup> labelled_rows: atomic<u32>;
var<workgroup> bad_label_row: atomic<u32>;
var<workgroup> visited_rows: atomic<u32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn count_labels(@builtin(local_invocation_index) lane: u32) {
    if lane == WORKGROUP_SIZE - 1u {
        atomicStore(&labelled_rows, 0u);
        atomicStore(&visited_rows, 0u);
        atomicStore(&bad_label_row, NO_ROW);
    }
    workgroupBarrier();
    var labelled = 0u;
    var bad_row = NO_ROW;
    var visited = 0u;
    for (var row = lane; row < params.batch_rows; row += WORKGROUP_SIZE) {
        visited += 1u;
        let label = label_of(row);
        if params.label_words == 0u || label.is_class {
            labelled += 1u;
        } else if !label.is_ignored {
            bad_row = min(bad_row, row);
        }
    }
    atomicAdd(&visited_rows, visited);
    atomicAdd(&labelled_rows, labelled);
    atomicMin(&bad_label_row, bad_row);
    workgroupBarrier();
    if lane == 0u {
        let counted = atomicLoad(&labelled_rows);
        totals.visited_rows = atomicLoad(&visited_rows);
        totals.labelled_rows = counted;
        totals.soft_rows = select(counted, params.batch_rows, params.soft_only != 0u);
        totals.bad_label_row = atomicLoad(&bad_label_row);
        if totals.bad_label_row != NO_ROW {
            let label = label_of(totals.bad_label_row);
            totals.bad_label_low = label.class_index;
            totals.bad_label_high = label.high;
        }
    }
}
