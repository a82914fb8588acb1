// What one call has to know, in one uniform block. Its twin in Rust is `Params` of src/wgpu/params.rs, field for field.
//
// Offsets and strides count elements of the matrix (or labels, or factors) from the start of its binding.

struct Params {
    // Rows of this dispatch, and the number of the first of them within the batch.
    rows: u32,
    first_row: u32,
    // Rows of the batch.
    batch_rows: u32,
    // Columns that are classes.
    vocab: u32,

    student_start: u32,
    student_stride: u32,
    teacher_start: u32,
    teacher_stride: u32,

    gradient_start: u32,
    gradient_stride: u32,
    // Columns of the gradient; those from `vocab` on are padding and become 0.
    gradient_cols: u32,
    // 32-bit words of a label: 1, 2, or 0 where there are no labels.
    label_words: u32,

    // In 32-bit words.
    labels_start: u32,
    // The label of a row without one, as the two words of a 64-bit integer.
    ignore_index_low: u32,
    ignore_index_high: u32,
    // Whether the soft term of a row without a label counts.
    soft_only: u32,

    // 1 / T.
    temperature_reciprocal: f32,
    // log2(e) / T.
    temperature_exponent_scale: f32,
    // T².
    temperature_squared: f32,
    // The largest distance of two logits that 1 / T does not take beyond the range of f32.
    largest_distance: f32,

    // α and 1 - α.
    hard_weight: f32,
    soft_weight: f32,
    // Factors of softmax(s) - onehot(y) and of q - p. Where `is_mean` is set, they are yet to be divided by numbers of rows.
    hard_gradient: f32,
    soft_gradient: f32,

    // Whether the sum of a term over rows is divided by the number of rows that count for it, else by `denominator`.
    is_mean: u32,
    denominator: f32,
    // Whether there is a factor for each row's gradient, and where the first one is.
    has_row_grad_scale: u32,
    row_grad_scale_start: u32,

    // Zeros, which no compiler knows.
    zeros: vec4<u32>,
}

// Totals of the batch, written by `count_labels` (the counts) and by `fold_rows` (the rest).
// Its twin in Rust is `Totals` of src/wgpu/params.rs. Terms are the bits of f32 numbers: a NaN or an infinity that passes
// through the arithmetic of a shader need not come out as it went in.
struct Totals {
    loss: u32,
    hard: u32,
    soft: u32,
    // Rows whose label is a class; all rows where there are no labels.
    labelled_rows: u32,

    // Rows whose soft term counts.
    soft_rows: u32,
    // Rows whose loss is NaN.
    nonfinite_rows: u32,
    // The first row whose label is no class, else NO_ROW; and the two words of that label.
    bad_label_row: u32,
    bad_label_low: u32,

    bad_label_high: u32,
    // COMPLETE once everything is written and nothing was missed, INCOMPLETE if anything was; else 0.
    complete: u32,
    // Rows that were visited both by `count_labels` and by `fold_rows`.
    visited_rows: u32,
}

const NO_ROW: u32 = 0xffffffffu;
const COMPLETE: u32 = 0x6b646c73u;
const INCOMPLETE: u32 = 0x6b646c69u;

// The terms of one row, as bits of f32 numbers, and what there is to know about it. Twin: `RowRecord` of
// src/wgpu/params.rs.
struct RowRecord {
    hard: u32,
    soft: u32,
    total: u32,
    status: u32,
}

// Bits of a row's status.
const STATUS_HARD: u32 = 1u;            // the hard term counts
const STATUS_SOFT: u32 = 2u;            // the soft term counts
const STATUS_NONFINITE: u32 = 4u;       // the terms that count are NaN
const STATUS_INFINITE_HARD: u32 = 8u;
const STATUS_INFINITE_SOFT: u32 = 16u;
const STATUS_BAD_LABEL: u32 = 32u;      // the label is no class: the row is NaN
const STATUS_WHOLE: u32 = 64u;          // every element was visited in both passes; else the row is NaN

const NAN_BITS: u32 = 0x7fc00000u;
const INFINITY_BITS: u32 = 0x7f800000u;

@group(0) @binding(0) var<uniform> params: Params;
