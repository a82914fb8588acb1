// From the records of the rows to the loss of the batch: one workgroup, a tree whose shape depends on the number of rows
// only, so that the same rows give the same bits however they were dispatched.
//
// Lane l sums rows l, l + WORKGROUP_SIZE, and so on, in blocks of BLOCK rows; then the lanes' sums are joined,
// with a barrier before the tree and after each of its levels. Its root is the last lane, which writes the totals.
//
// The batch is complete only if both this kernel and count_labels have visited every row, and every row is whole. Else its
// totals are NaN.

@group(0) @binding(6) var<storage, read_write> totals: Totals;
@group(0) @binding(7) var<storage, read> records: array<RowRecord>;

const BLOCK: u32 = 128u;

// Sums of terms over rows, and for each term the status bits of any row that enters it.
struct Fold {
    hard: f32,
    soft: f32,
    hard_status: u32,
    soft_status: u32,
    nonfinite_rows: u32,
    visited_rows: u32,
    whole_rows: u32,
}

var<workgroup> folds: array<Fold, WORKGROUP_SIZE>;

fn join(a: Fold, b: Fold) -> Fold {
    return Fold(
        a.hard + b.hard,
        a.soft + b.soft,
        a.hard_status | b.hard_status,
        a.soft_status | b.soft_status,
        a.nonfinite_rows + b.nonfinite_rows,
        a.visited_rows + b.visited_rows,
        a.whole_rows + b.whole_rows,
    );
}

fn fold_of(record: RowRecord) -> Fold {
    let is_nan = (record.status & STATUS_NONFINITE) != 0u;
    let hard_bits = select(0u, record.hard, !is_nan && (record.status & STATUS_INFINITE_HARD) == 0u);
    let soft_bits = select(0u, record.soft, !is_nan && (record.status & STATUS_INFINITE_SOFT) == 0u);
    return Fold(
        bitcast<f32>(hard_bits),
        bitcast<f32>(soft_bits),
        select(0u, record.status, (record.status & STATUS_HARD) != 0u),
        select(0u, record.status, (record.status & STATUS_SOFT) != 0u),
        select(0u, 1u, is_nan),
        1u,
        select(0u, 1u, (record.status & STATUS_WHOLE) != 0u),
    );
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn fold_rows(@builtin(local_invocation_index) lane: u32) {
    var total: Fold;
    for (var block = lane; block < params.batch_rows; block += BLOCK * WORKGROUP_SIZE) {
        var part: Fold;
        let end = min(block + BLOCK * WORKGROUP_SIZE, params.batch_rows);
        for (var row = block; row < end; row += WORKGROUP_SIZE) {
            part = join(part, fold_of(records[row]));
        }
        total = join(total, part);
    }
    folds[lane] = total;
    workgroupBarrier();
    for (var step = WORKGROUP_SIZE / 2u; step > 0u; step /= 2u) {
        if lane >= WORKGROUP_SIZE - step {
            folds[lane] = join(folds[lane - step], folds[lane]);
        }
        workgroupBarrier();
    }
    if lane == WORKGROUP_SIZE - 1u {
        let fold = folds[lane];
        var hard_term = fold.hard;
        var soft_term = fold.soft;
        if params.is_mean != 0u {
            hard_term /= row_count(totals.labelled_rows);
            soft_term /= row_count(totals.soft_rows);
        } else {
            hard_term /= params.denominator;
            soft_term /= params.denominator;
        }
        let visited_rows = min(totals.visited_rows, fold.visited_rows);
        let is_complete = visited_rows == params.batch_rows && fold.whole_rows == params.batch_rows;
        let missed = select(STATUS_NONFINITE, 0u, is_complete);
        let terms = terms_of(hard_term, soft_term, fold.hard_status | missed, fold.soft_status | missed);
        totals.loss = terms.total;
        totals.hard = terms.hard;
        totals.soft = terms.soft;
        totals.nonfinite_rows = fold.nonfinite_rows;
        totals.visited_rows = visited_rows;
        totals.complete = select(INCOMPLETE, COMPLETE, is_complete);
    }
}
