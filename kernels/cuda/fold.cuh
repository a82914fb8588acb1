// From the records of the rows to the totals of the batch, in the same launch: by the cluster that finishes last.
//
// The first thread of each cluster has written the cluster's records. It makes them visible to the whole device (a fence)
// and draws a ticket. The cluster that draws the last ticket knows that all records are there, and its first CTA folds them
// by a tree. The shape of the tree depends on the numbers of rows and of threads alone, so the same rows give the same bits
// whichever cluster comes last. In the end the ticket is 0 again, for the next launch. Bytes: 16 for each row, beside some
// 100 000 of logits.

struct FoldExchange {
    double hard[MOST_WARPS];
    double soft[MOST_WARPS];
    unsigned bad_label_row;
    unsigned is_last;
};

// Whether this CTA is to fold, which is the first of the cluster that finishes last. Its threads meet once.
__device__ __forceinline__ bool comes_last(FoldExchange& exchange, unsigned clusters, const Params& params) {
    if (threadIdx.x == 0) {
        __threadfence();
        exchange.is_last = atomicAdd(&params.totals->ticket, 1) == clusters - 1;
        exchange.bad_label_row = NO_ROW;
        __threadfence();
    }
    __syncthreads();
    return exchange.is_last;
}

// The sum over the threads of a CTA, in its first thread. They meet once.
__device__ __forceinline__ double sum_over_cta(double part, double (&of_warp)[MOST_WARPS]) {
    part = sum_over_lanes(part);
    if (lane() == 0) of_warp[warp()] = part;
    __syncthreads();
    return sum_over_lanes(lane() < warps() ? of_warp[lane()] : 0.0);
}

__device__ __forceinline__ void fold_rows(FoldExchange& exchange, const Params& params) {
    double hard = 0.0, soft = 0.0;
    unsigned labelled_rows = 0, soft_rows = 0, nonfinite_rows = 0;
    for (unsigned first = 0; first < params.rows; first += blockDim.x) {
        unsigned row = first + threadIdx.x;
        RowRecord record = row < params.rows ? params.records[row] : RowRecord{0.0f, 0.0f, 0.0f, 0};
        hard += record.hard;
        soft += record.soft;
        labelled_rows += __syncthreads_count(record.status & STATUS_LABELLED);
        soft_rows += __syncthreads_count(record.status & STATUS_SOFT);
        nonfinite_rows += __syncthreads_count(record.status & STATUS_NONFINITE);
        if (record.status & STATUS_BAD_LABEL) atomicMin(&exchange.bad_label_row, row);
    }
    hard = sum_over_cta(hard, exchange.hard);
    soft = sum_over_cta(soft, exchange.soft);
    if (threadIdx.x != 0) return;

    // A term that no row counts for has a sum of 0, which any denominator leaves as it is.
    hard /= params.is_mean ? double(max(labelled_rows, 1u)) : params.denominator;
    soft /= params.is_mean ? double(max(soft_rows, 1u)) : params.denominator;
    Totals& totals = *params.totals;
    totals.loss = (HARD ? params.hard_weight * hard : 0.0) + (SOFT ? params.soft_weight * soft : 0.0);
    totals.hard = hard;
    totals.soft = soft;
    totals.labelled_rows = labelled_rows;
    totals.soft_rows = soft_rows;
    totals.nonfinite_rows = nonfinite_rows;
    totals.bad_label_row = exchange.bad_label_row;
    totals.bad_label = exchange.bad_label_row == NO_ROW ? 0 : label_of(exchange.bad_label_row, params).index;
    totals.ticket = 0;
}
