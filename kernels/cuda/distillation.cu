// The knowledge-distillation loss and its gradient over rows of logits: one launch, and one reading of the logits.
//
// A cluster of CTAs, or a single CTA, takes one row after another. It passes over each row twice:
//   First pass. Each thread reads its groups of elements from the student's row and the teacher's, and keeps them. It
//     summarises them as a part of the row (row_part.cuh). Then the threads join their parts (join.cuh).
//   Second pass. Each thread takes the same groups again. It writes their gradient, and adds up what they add to the soft
//     term. Then the threads join these sums too, and the first thread of the cluster writes the row's record.
// The cluster that finishes last folds the records of all rows (fold.cuh).
//
// The kernel is compiled for one of three residencies. They differ in where both rows are kept between the passes:
//   BLOCK    in the shared memory of one CTA;
//   CLUSTER  in that of 2 to 8 CTAs, a slice each;
//   STREAM   nowhere: the second pass reads again, in reverse order, so that caches still hold what it begins with.
//
// Bytes: BLOCK and CLUSTER read each logit once and write each entry of the gradient once, the least there is. STREAM
// reads each logit twice. Beside that, a row costs its label, the label's logit and a record.
//
// Who synchronises with whom: one thread alone touches a group, on chip too. So the passes need no barrier of their own,
// and the gradient may overwrite the student's logits. The threads of a CTA meet three times for each row: before the
// warps' parts are merged, before all threads read what follows from the whole row, and before the warps' sums are added.
// A cluster meets twice. While one CTA waits for memory, another on the same multiprocessor computes: the host chooses
// clusters so small that two CTAs fit a multiprocessor, where that can be.
//
// Accuracy: a thread adds to its running sums the sum of one group at a time. The host chooses so many threads that no
// running sum takes more than 128 addends, for every vocabulary up to 262 144.

enum Residency { BLOCK, CLUSTER, STREAM };

#include "two.cuh"
#include "math.cuh"
#include "storage.cuh"
#include "groups.cuh"
#include "params.cuh"
#include "row_part.cuh"
#include "divergence.cuh"
#include "labels.cuh"
#include "join.cuh"
#include "rows.cuh"
#include "fold.cuh"

// A thread reads so many groups before it computes, so that their loads are in flight together: two if registers allow it.
static constexpr bool HAS_POLYNOMIAL = HARD && SOFT && SQUARINGS == NO_SQUARINGS;
static constexpr int TILE = WIDE && !HAS_POLYNOMIAL ? 2 : 1;

// Whether the student is masked somewhere in a group where the teacher is not.
__device__ __forceinline__ bool has_infinite_soft(const Pair& pair) {
    bool found = false;
#pragma unroll
    for (int index = 0; index < GROUP; index++) {
        found |= is_masked(element(pair.student, index)) && !is_masked(element(pair.teacher, index));
    }
    return found;
}

// Two elements of a group.
template <class Element>
__device__ __forceinline__ Two elements(const Words<Element>& words, int pair) {
    return Two{element(words, 2 * pair), element(words, 2 * pair + 1)};
}

// The sum of a group's numbers, in pairs.
__device__ __forceinline__ float sum_of(const Two (&values)[GROUP / 2]) {
    Two pairs = values[0] + values[1];
    if constexpr (GROUP == 8) pairs = pairs + (values[2] + values[3]);
    return pairs.low + pairs.high;
}

// Adds a group whose logits are not above the maxima.
__device__ __forceinline__ void push_group(RowPart& part, const Pair& pair, const Params& params) {
    Two plain[GROUP / 2], tempered[GROUP / 2], teacher[GROUP / 2];
#pragma unroll
    for (int index = 0; index < GROUP / 2; index++) {
        Exponentials student = exponentials<true>(elements(pair.student, index) - part.student_max, params);
        plain[index] = student.plain;
        tempered[index] = student.tempered;
        if (SOFT) {
            Two shifted = elements(pair.teacher, index) - part.teacher_max;
            teacher[index] = exp2_special(shifted * params.temperature_exponent_scale);
        }
    }
    if (HARD) part.student_sum += sum_of(plain);
    if (SOFT) {
        part.student_tempered_sum += sum_of(tempered);
        part.teacher_tempered_sum += sum_of(teacher);
    }
}

// Adds COUNT groups of a thread, from group `first` on, and keeps them.
template <int COUNT, bool IS_WHOLE>
__device__ __forceinline__ void push_tile(RowPart& part, const Row& row, unsigned first, const Params& params) {
    Pair tile[COUNT];
#pragma unroll
    for (int index = 0; index < COUNT; index++) tile[index] = load_pair<IS_WHOLE>(row, first + index * blockDim.x, params);
    float student_max = part.student_max, teacher_max = part.teacher_max, student_min = 0.0f;
#pragma unroll
    for (int index = 0; index < COUNT; index++) {
        if (RESIDENCY != STREAM) keep_pair(first + index * blockDim.x - row.first_group, tile[index], params);
        student_max = fmaxf(student_max, largest(tile[index].student));
        if (SOFT) teacher_max = fmaxf(teacher_max, largest(tile[index].teacher));
        if (SOFT) student_min = fminf(student_min, smallest(tile[index].student));
    }
    // Few groups have masked logits at all.
    if (SOFT && is_masked(student_min)) {
#pragma unroll
        for (int index = 0; index < COUNT; index++) part.infinite_soft |= has_infinite_soft(tile[index]);
    }
    if (student_max > part.student_max || teacher_max > part.teacher_max) {
        part = rebased(part, student_max, teacher_max, params);
    }
#pragma unroll
    for (int index = 0; index < COUNT; index++) push_group(part, tile[index], params);
}

// First pass: what is known of a thread's groups.
__device__ __forceinline__ RowPart first_pass(const Row& row, const Params& params) {
    RowPart part = identity();
    unsigned group = row.first_whole + threadIdx.x;
#pragma unroll 1
    for (; group + (TILE - 1) * blockDim.x < row.end_whole; group += TILE * blockDim.x) {
        push_tile<TILE, true>(part, row, group, params);
    }
    if (TILE > 1 && group < row.end_whole) push_tile<1, true>(part, row, group, params);
    unsigned edge = edge_of(row);
    if (edge < row.end_group) push_tile<1, false>(part, row, edge, params);
    return part;
}

// What the second pass needs to know of its row.
struct Finished {
    Normalizer normalizer;
    // What multiplies e^(s - m_s), what multiplies q - p, and what is subtracted at the label. All are NaN if the row is.
    float plain_weight;
    float difference_weight;
    float label_weight;
    // The column of the label, -1 if there is none.
    int label;
};

// What the threads of a CTA share.
struct Shared {
    PartExchange part;
    SumExchange sums;
    FoldExchange fold;
    Finished finished;
    // Only the first thread uses the rest. What a row's terms weigh in the mean, if the kernel has to count the rows, else 1;
    // the label's logit; and the record of the present row, until its soft term is known.
    float hard_share;
    float soft_share;
    float label_logit;
    RowRecord record;
};

__device__ __forceinline__ void count_rows(Shared& shared, const Params& params) {
    bool is_needed = GRADIENT && params.is_mean;
    unsigned labelled_rows = is_needed ? count_labelled_rows(params) : 1;
    unsigned soft_rows = is_needed && params.soft_only ? params.rows : labelled_rows;
    if (threadIdx.x == 0) {
        shared.hard_share = 1.0f / float(max(labelled_rows, 1u));
        shared.soft_share = 1.0f / float(max(soft_rows, 1u));
    }
}

__device__ __forceinline__ bool is_nan_row(const Role& role, const RowPart& part) {
    return role.has_bad_label || is_nonfinite(part);
}

// The first thread of each CTA calls this, once the sums of the row are known.
__device__ __forceinline__ Finished finish_row(unsigned row, const Role& role, const RowPart& part, const Shared& shared,
                                               const Params& params) {
    bool is_nan = is_nan_row(role, part);
    Finished finished = {finish(part)};
    float scale = params.row_grad_scale ? params.row_grad_scale[row] : 1.0f;
    if (params.grad_scale) scale *= *params.grad_scale;
    if (is_nan) scale = NOT_A_NUMBER;
    // A row without a label has no hard term, but the gradient of one that is NaN is NaN.
    float hard = role.counts_hard || is_nan ? scale * params.hard_gradient * shared.hard_share : 0.0f;
    finished.plain_weight = hard * finished.normalizer.student_factor;
    finished.label_weight = hard;
    finished.difference_weight = scale * params.soft_gradient * shared.soft_share;
    finished.label = role.label.is_class ? int(role.label.index) : -1;
    return finished;
}

// The row's record before its divergence is known: the soft term is NaN or infinite if it will be, else 0. The first thread
// of the cluster calls this.
__device__ __forceinline__ RowRecord begin_record(const Role& role, const RowPart& part, float label_logit) {
    bool is_nan = is_nan_row(role, part);
    RowRecord record = {0.0f, 0.0f, 0.0f, 0};
    if (role.counts_hard) record.hard = is_nan ? NOT_A_NUMBER : hard_term(part, label_logit);
    if (role.counts_soft) record.soft = is_nan ? NOT_A_NUMBER : part.infinite_soft ? INFINITE : 0.0f;
    if (!role.label.is_ignored && !role.has_bad_label) record.status |= STATUS_LABELLED;
    if (role.counts_soft) record.status |= STATUS_SOFT;
    if (is_nan) record.status |= STATUS_NONFINITE;
    if (role.has_bad_label) record.status |= STATUS_BAD_LABEL;
    return record;
}

// Adds the divergence to the record and writes it. The first thread of the cluster calls this.
__device__ __forceinline__ void write_record(unsigned row, RowRecord record, float divergence, const Params& params) {
    if (record.status & STATUS_SOFT) record.soft += params.temperature_squared * divergence;
    record.total = (HARD ? params.hard_weight * record.hard : 0.0f) + (SOFT ? params.soft_weight * record.soft : 0.0f);
    params.records[row] = record;
}

// Writes zeros from a group on: over the padding, or over all of a row that does not count, whatever the row holds.
__device__ __forceinline__ void clear_gradient(const Row& row, unsigned first_group, const Params& params) {
    unsigned groups = groups_of(row.phase, params.gradient_cols);
    unsigned stride = cluster_size() * blockDim.x;
    for (unsigned group = first_group + cluster_rank() * blockDim.x + threadIdx.x; group < groups; group += stride) {
        Columns columns = columns_of(group, row.phase, params.gradient_cols);
        store_group(row.gradient + group * GROUP, columns, Words<Gradient>{});
    }
}

// Writes the gradient of a group, and returns what the group adds to soft / T².
template <bool IS_WHOLE>
__device__ __forceinline__ float finish_group(const Row& row, unsigned group, const Finished& finished, const Params& params) {
    Pair pair = RESIDENCY == STREAM ? load_pair<IS_WHOLE>(row, group, params) : kept_pair(group - row.first_group, params);
    const Normalizer& normalizer = finished.normalizer;
    Two divergence[GROUP / 2];
    float gradient[GROUP];
#pragma unroll
    for (int index = 0; index < GROUP / 2; index++) {
        Two student = elements(pair.student, index) - normalizer.student_max;
        Exponentials exponential = exponentials<false>(student, params);
        Two sum = HARD ? exponential.plain * finished.plain_weight : Two();
        if (SOFT) {
            Two teacher = elements(pair.teacher, index) - normalizer.teacher_max;
            SoftElements soft = soft_elements(normalizer, student, exponential.tempered, teacher, params);
            sum = fmaf(soft.difference, finished.difference_weight, sum);
            divergence[index] = soft.divergence;
        }
        gradient[2 * index] = sum.low;
        gradient[2 * index + 1] = sum.high;
    }
    if (GRADIENT) {
        Columns columns = columns_in<IS_WHOLE>(row, group, params.gradient_cols);
        // Where in the group the label is, and where the padding begins.
        unsigned label = finished.label - columns.first;
        unsigned padding = IS_WHOLE ? GROUP : params.vocab - columns.first;
        if (label < GROUP || padding < GROUP) {
#pragma unroll
            for (unsigned index = 0; index < GROUP; index++) {
                if (HARD && index == label) gradient[index] -= finished.label_weight;
                if (index >= padding) gradient[index] = 0.0f;
            }
        }
        store_group(row.gradient + group * GROUP, columns, words_of<Gradient>(gradient));
    }
    return SOFT ? sum_of(divergence) : 0.0f;
}

// Second pass: writes the gradient of a thread's groups, and returns what they add to soft / T².
__device__ __forceinline__ float second_pass(const Row& row, const Finished finished, const Params& params) {
    float divergence = 0.0f;
    unsigned first = row.first_whole + threadIdx.x;
    unsigned count = first < row.end_whole ? (row.end_whole - first - 1) / blockDim.x + 1 : 0;
#pragma unroll 1
    for (unsigned index = 0; index < count; index++) {
        unsigned group = first + (RESIDENCY == STREAM ? count - 1 - index : index) * blockDim.x;
        divergence += finish_group<true>(row, group, finished, params);
    }
    unsigned edge = edge_of(row);
    if (edge < row.end_group) divergence += finish_group<false>(row, edge, finished, params);
    if (GRADIENT) clear_gradient(row, groups_of(row.phase, params.vocab), params);
    return divergence;
}

// One row, by all threads of a cluster.
__device__ __forceinline__ void distill_row(const Row& row, Shared& shared, const Params& params) {
    bool writes_record = cluster_rank() == 0 && threadIdx.x == 0;
    Role role = role_of(row.index, params);
    if (!role.counts_hard && !role.counts_soft) {
        if (GRADIENT) clear_gradient(row, 0, params);
        if (writes_record) params.records[row.index] = RowRecord{0.0f, 0.0f, 0.0f, 0};
        return;
    }
    // Read before the gradient overwrites it: no CTA writes any until all CTAs of the cluster have met.
    if (HARD && writes_record) {
        const Student* student = student_of(row.index, params);
        shared.label_logit = role.label.is_class ? to_float(student[role.label.index]) : MASKED;
    }
    RowPart part = merged_over_threads(first_pass(row, params), shared.part, params);
    if (threadIdx.x == 0) {
        role = role_of(row.index, params);
        shared.finished = finish_row(row.index, role, part, shared, params);
        if (writes_record) shared.record = begin_record(role, part, shared.label_logit);
    }
    __syncthreads();
    float divergence = 0.0f;
    if (SOFT || GRADIENT) divergence = second_pass(row, shared.finished, params);
    divergence = sum_over_threads(divergence, shared.sums);
    if (writes_record) write_record(row.index, shared.record, divergence, params);
}

extern "C" __global__ void __launch_bounds__(32 * MOST_WARPS)
distill(const __grid_constant__ Params params) {
    __shared__ Shared shared;
    unsigned clusters = gridDim.x / cluster_size();
    count_rows(shared, params);
    for (unsigned index = blockIdx.x / cluster_size(); index < params.rows; index += clusters) {
        distill_row(row_of(index, params), shared, params);
    }
    // No CTA leaves while another may still read its shared memory.
    meet_cluster();
    if (cluster_rank() == 0 && comes_last(shared.fold, clusters, params)) fold_rows(shared.fold, params);
}
