//! The structures that Rust and the kernels share are laid out alike: the compiler of the kernels says so.

use std::mem::offset_of;

use kdloss::DType;
use kdloss::cuda::nvrtc::compile_source;
use kdloss::cuda::params::{Params, RowRecord, Totals};
use kdloss::cuda::plan::{DeviceLimits, Problem, plan};
use kdloss::cuda::specialisation::{Terms, source};

use crate::cuda::kernels;

/// An assertion for each field, and one for the size.
macro_rules! same_layout {
    ($structure:ident { $($field:ident),* $(,)? }) => {{
        let mut assertions = format!("static_assert(sizeof({0}) == {1}, \"{0}\");\n", stringify!($structure), size_of::<$structure>());
        $(
            assertions += &format!(
                "static_assert(__INTADDR__(&((({0}*)0)->{1})) == {2}, \"{0}.{1}\");\n",
                stringify!($structure), stringify!($field), offset_of!($structure, $field),
            );
        )*
        assertions
    }};
}

#[test]
fn structures_are_laid_out_as_in_the_kernels() {
    if !kernels::are_there() {
        return;
    }
    #[rustfmt::skip]
    let assertions = [
        same_layout!(Params {
            student, teacher, gradient, labels, row_grad_scale, grad_scale, records, totals, student_stride,
            teacher_stride, gradient_stride, ignore_index, rows, vocab, gradient_cols, slots, label_bytes, soft_only,
            is_mean, temperature_reciprocal, temperature_exponent_scale, temperature_squared, hard_weight, soft_weight,
            hard_gradient, soft_gradient, denominator,
        }),
        same_layout!(RowRecord { hard, soft, total, status }),
        same_layout!(Totals {
            loss, hard, soft, bad_label, labelled_rows, soft_rows, nonfinite_rows, bad_label_row, ticket, padding,
        }),
    ].concat();
    let h100 = DeviceLimits::new(90, 132, 232_448, 233_472);
    let specialisation = plan(&Problem::new(1, 8, DType::F32, Terms::Both), &h100).specialisation;
    let compile =
        |assertions: &str| compile_source(&(source() + assertions), &specialisation.options(), "compute_90").map(drop);
    compile(&assertions).unwrap();
    // The compiler does look.
    assert!(compile(&assertions.replace("== 0,", "== 4,")).is_err());
}
