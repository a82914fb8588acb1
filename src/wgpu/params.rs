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

    pub(crate) zeros: [u32; 4],
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
    pub(crate) visited_rows: u32,
}

impl Totals {
    /// `bad_label_row` where every label is a class or ignored.
    pub(crate) const NO_ROW: u32 = u32::MAX;
    /// `complete` once everything is written and nothing was missed.
    pub(crate) const COMPLETE: u32 = 0x6b64_6c73;
    /// `complete` once everything is written, of which something was missed.
    pub(crate) const INCOMPLETE: u32 = 0x6b64_6c69;
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

impl RowRecord {
    /// The bit of `status` that says that every element of the row was visited.
    pub(crate) const WHOLE: u32 = 64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// Names and offsets of the fields of a structure, as Rust and as the kernels see them.
    macro_rules! same_layout {
        ($module:ident, $structure:ident { $($field:ident),* $(,)? }) => {{
            let ours = [$((stringify!($field).to_owned(), offset_of!($structure, $field) as u32)),*];
            let (theirs, size) = fields(&$module, stringify!($structure));
            assert_eq!(ours.as_slice(), theirs.as_slice());
            assert_eq!(size_of::<$structure>(), size as usize);
        }};
    }

    fn fields(module: &naga::Module, name: &str) -> (Vec<(String, u32)>, u32) {
        let (_, found) = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
        let naga::TypeInner::Struct { members, span } = &found.inner else { panic!("{name} is a structure") };
        (members.iter().map(|member| (member.name.clone().unwrap(), member.offset)).collect(), *span)
    }

    #[test]
    fn structures_are_laid_out_as_in_the_kernels() {
        let source = include_str!("../../kernels/wgsl/params.wgsl");
        let module = naga::front::wgsl::parse_str(source).unwrap();
        same_layout!(
            module,
            Totals {
                loss,
                hard,
                soft,
                labelled_rows,
                soft_rows,
                nonfinite_rows,
                bad_label_row,
                bad_label_low,
                bad_label_high,
                complete,
                visited_rows,
            }
        );
        same_layout!(module, RowRecord { hard, soft, total, status });
        same_layout!(
            module,
            Params {
                rows,
                first_row,
                batch_rows,
                vocab,
                student_start,
                student_stride,
                teacher_start,
                teacher_stride,
                gradient_start,
                gradient_stride,
                gradient_cols,
                label_words,
                labels_start,
                ignore_index_low,
                ignore_index_high,
                soft_only,
                temperature_reciprocal,
                temperature_exponent_scale,
                temperature_squared,
                largest_distance,
                hard_weight,
                soft_weight,
                hard_gradient,
                soft_gradient,
                is_mean,
                denominator,
                has_row_grad_scale,
                row_grad_scale_start,
                zeros,
            }
        );
        for constant in [
            format!("const COMPLETE: u32 = {:#x}u;", Totals::COMPLETE),
            format!("const INCOMPLETE: u32 = {:#x}u;", Totals::INCOMPLETE),
            format!("const NO_ROW: u32 = {:#x}u;", Totals::NO_ROW),
            format!("const STATUS_WHOLE: u32 = {}u;", RowRecord::WHOLE),
        ] {
            assert!(source.contains(&constant), "{constant}");
        }
    }
}
