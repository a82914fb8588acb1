//! The blocks shared with the kernels: twins of the structures in `kernels/wgsl/params.wgsl`, field for field.

use bytemuck::{Pod, Zeroable};

/// What one dispatch has to know. Offsets and strides count elements from the start of a binding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Params {
    pub(crate) rows: u32,
    pub(crate) first_row: u32,
    pub(crate) batch_rows: u32,
    pub(crate) vocab: u32,

    pub(crate) student_start: u32,
    pub(crate) student_stride: u32,
    pub(crate) teacher_start: u32,
    pub(crate) teacher_stride: u32,

    pub(crate) gradient_start: u32,
    pub(crate) gradient_stride: u32,
    pub(crate) gradient_cols: u32,
    pub(crate) label_words: u32,

    pub(crate) labels_start: u32,
    pub(crate) ignore_index_low: u32,
    pub(crate) ignore_index_high: u32,
    pub(crate) soft_only: u32,

    pub(crate) temperature_reciprocal: f32,
    pub(crate) temperature_exponent_scale: f32,
    pub(crate) temperature_squared: f32,
    pub(crate) largest_distance: f32,

    pub(crate) hard_weight: f32,
    pub(crate) soft_weight: f32,
    pub(crate) hard_gradient: f32,
    pub(crate) soft_gradient: f32,

    pub(crate) is_mean: u32,
    pub(crate) denominator: f32,
    pub(crate) has_row_grad_scale: u32,
    pub(crate) row_grad_scale_start: u32,
}

/// The totals of a batch. Terms are bits of `f32` numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Totals {
    pub(crate) loss: u32,
    pub(crate) hard: u32,
    pub(crate) soft: u32,
    pub(crate) labelled_rows: u32,

    pub(crate) soft_rows: u32,
    pub(crate) nonfinite_rows: u32,
    pub(crate) bad_label_row: u32,
    pub(crate) bad_label_low: u32,

    pub(crate) bad_label_high: u32,
    pub(crate) complete: u32,
}

impl Totals {
    /// `bad_label_row` where every label is a class or ignored.
    pub(crate) const NO_ROW: u32 = u32::MAX;
    /// `complete` once everything is written.
    pub(crate) const COMPLETE: u32 = 0x6b64_6c73;
}

/// The terms of one row, as bits of `f32` numbers, and its status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct RowRecord {
    pub(crate) hard: u32,
    pub(crate) soft: u32,
    pub(crate) total: u32,
    pub(crate) status: u32,
}
