// The labels, 32 or 64 bits wide, and what a label says about its row. A label indexes memory only
// once it has been found to be a class.

struct Label {
    long long index;
    bool is_class;
    bool is_ignored;
};

// The label of a row; where there are no labels, neither a class nor ignored.
__device__ __forceinline__ Label label_of(unsigned row, const Params& params) {
    if (params.label_bytes == 0) return Label{0, false, false};
    long long index = params.label_bytes == 8 ? static_cast<const long long*>(params.labels)[row]
                                              : static_cast<const int*>(params.labels)[row];
    bool is_ignored = index == params.ignore_index;
    return Label{index, !is_ignored && 0 <= index && index < params.vocab, is_ignored};
}

// Rows whose label is a class; all rows where there are no labels. All threads of a CTA call it and get the same: they
// read each label once, and meet each time that every thread has read one.
__device__ __forceinline__ unsigned count_labelled_rows(const Params& params) {
    if (params.label_bytes == 0) return params.rows;
    unsigned count = 0;
    for (unsigned first = 0; first < params.rows; first += blockDim.x) {
        unsigned row = first + threadIdx.x;
        count += __syncthreads_count(row < params.rows && label_of(row, params).is_class);
    }
    return count;
}

// What a row contributes.
struct Role {
    Label label;
    bool counts_hard;
    bool counts_soft;
    bool has_bad_label;
};

__device__ __forceinline__ Role role_of(unsigned row, const Params& params) {
    Label label = label_of(row, params);
    return Role{
        label,
        HARD && !label.is_ignored,
        SOFT && (!label.is_ignored || params.soft_only != 0),
        params.label_bytes != 0 && !label.is_class && !label.is_ignored,
    };
}
