//! Host slices that are taken in parts: whatever the parts, the same bits.

use kdloss::wgpu::Options;
use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

use super::device::{implementation, open, run_on_host_slices};
use crate::case::{Case, LabelVec, Layout, Table};
use crate::contract::check;
use crate::generate::{self, Rows};
use crate::implementations::Outcome;

/// Batches of 11 rows in which every row, label and factor is another, of which a few are NaN or have no label.
fn cases() -> Vec<Case> {
    let Rows { mut student, teacher, labels } = generate::rows(51, 11, 501, 3.0);
    student[7][500] = f32::NAN;
    let loss = DistillationLoss::new().with_temperature(2.0);
    let mut wide = Case::new(loss, &student, &teacher, &labels);
    wide.row_grad_scale = Some((0..11).map(|row| 1.0 + row as f32).collect());
    wide.vocab = Some(501);
    wide.student = Table::of_rows(&student, Layout { dtype: DType::F32, cols: 503, row_stride: 509 });
    wide.teacher = Some(Table::of_rows(&teacher, Layout { dtype: DType::Bf16, cols: 501, row_stride: 505 }));
    wide.gradient = Layout { dtype: DType::F16, cols: 502, row_stride: 507 };
    let mut narrow = wide.clone();
    narrow.labels = Some(LabelVec::I32(labels.iter().map(|&label| label as i32).collect()));
    narrow.loss = loss.with_reduction(Reduction::DividedBy(3.0)).with_ignored_rows(IgnoredRows::SoftOnly);
    let mut soft = wide.clone();
    (soft.loss, soft.labels) = (loss.with_alpha(0.0).with_reduction(Reduction::None), None);
    vec![wide, narrow, soft]
}

#[test]
fn parts_of_any_size_give_the_bits_of_the_whole() {
    let run_in_parts = |part_size| {
        let gpu = open(None, Options::new().with_part_size(part_size))?;
        let in_parts = implementation("wgpu in parts", move |case| run_on_host_slices(&gpu, case));
        Some(cases().iter().map(|case| check(&in_parts, case)).collect::<Vec<Outcome>>())
    };
    let Some(whole) = run_in_parts(u64::MAX) else { return };
    // A row takes 2016 bytes: one, two, three and four at a time, the last part whole or not.
    for part_size in [0, 1, 4032, 6050, 8064] {
        for (got, want) in run_in_parts(part_size).unwrap().into_iter().zip(&whole) {
            assert_eq!(format!("{:?}", got.value), format!("{:?}", want.value));
            assert_eq!(format!("{:?}", got.written), format!("{:?}", want.written));
        }
    }
}
