//! The blocks shared with the kernels: twins of the structures in `kernels/cuda/params.cuh`, field for field.

use bytemuck::{Pod, Zeroable};

/// What one launch has to know. Pointers are device addresses, 0 where there is nothing; strides count elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    pub student: u64,
    pub teacher: u64,
    pub gradient: u64,
    pub labels: u64,
    pub row_grad_scale: u64,
    pub grad_scale: u64,
    pub records: u64,
    pub totals: u64,

    pub student_stride: i64,
    pub teacher_stride: i64,
    pub gradient_stride: i64,
    pub ignore_index: i64,

    pub rows: u32,
    pub vocab: u32,
    pub gradient_cols: u32,
    pub slots: u32,

    pub label_bytes: u32,
    pub soft_only: u32,
    pub is_mean: u32,
    pub temperature_reciprocal: f32,
    pub temperature_exponent_scale: f32,
    pub temperature_squared: f32,
    pub hard_weight: f32,
    pub soft_weight: f32,
    pub hard_gradient: f32,
    pub soft_gradient: f32,

    pub denominator: f64,
}

/// The terms of one row, before any reduction, and what there is to know about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct RowRecord {
    pub hard: f32,
    pub soft: f32,
    pub total: f32,
    pub status: u32,
}

/// The totals of a batch, and the ticket that tells which cluster finishes last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Totals {
    pub loss: f64,
    pub hard: f64,
    pub soft: f64,
    pub bad_label: i64,
    pub labelled_rows: u32,
    pub soft_rows: u32,
    pub nonfinite_rows: u32,
    pub bad_label_row: u32,
    pub ticket: u32,
    pub padding: u32,
}

impl Totals {
    /// `bad_label_row` where every label is a class or ignored.
    pub const NO_ROW: u32 = u32::MAX;
}
