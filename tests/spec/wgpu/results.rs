//! What a call leaves on the device for other kernels to use, as the documentation of `Pending` lays it out.

use kdloss::wgpu::Options;
use kdloss::{DistillationLoss, IgnoredRows, LossValue, Reduction};

use super::device::{Gpu, open, run_for_results};
use crate::case::Case;
use crate::contract::close;
use crate::generate::{self, Rows};

/// The flags by which the hard term, the soft term and their mix are infinite.
const INFINITE: [u32; 3] = [8, 16, 8 | 16];

fn float(word: u32) -> f64 {
    f64::from(f32::from_bits(word))
}

/// Holds totals and records against what is read.
fn check_results(gpu: &Gpu, case: &Case) -> LossValue {
    let (value, totals, records) = run_for_results(gpu, case).unwrap();
    let near = |word: u32, want: Option<f64>| close(float(word), want.unwrap_or(0.0), 2e-6 * want.unwrap_or(0.0).abs());
    for (&word, want) in totals.iter().zip([Some(value.loss), value.hard, value.soft]) {
        assert!(near(word, want), "{} is not {want:?}: {:?}", float(word), case.loss);
    }
    assert_eq!(totals[5] as usize, value.nonfinite_rows);
    assert_eq!((totals[3] as usize, totals[6]), (value.counted_rows, u32::MAX));
    assert_eq!(records.len(), 4 * value.rows.len());
    for (record, row) in records.as_chunks::<4>().0.iter().zip(&value.rows) {
        let terms = [row.hard, row.soft, Some(row.total)];
        assert!(record.iter().zip(terms).all(|(&word, want)| near(word, want)), "{record:?} is not {row:?}");
        assert_eq!(record[3] & 4 != 0, row.total.is_nan());
        for (term, flags) in terms.into_iter().zip(INFINITE) {
            assert_eq!(record[3] & flags != 0, term == Some(f64::INFINITY), "{record:?} is not {row:?}");
        }
    }
    value
}

#[test]
fn totals_and_rows_on_the_device_agree_with_what_is_read() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let Rows { mut student, mut teacher, labels } = generate::rows(27, 40, 100, 3.0);
    let finite = (student.clone(), teacher.clone());
    student[3][7] = f32::NAN;
    student[5][labels[5] as usize] = f32::NEG_INFINITY;
    (student[6][50], teacher[7][50]) = (f32::MIN, f32::MIN);
    for alpha in [0.0, 0.1, 1.0] {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None, Reduction::DividedBy(12.5)] {
            for ignored_rows in [IgnoredRows::Skip, IgnoredRows::SoftOnly] {
                let loss = DistillationLoss::new().with_temperature(3.0).with_alpha(alpha).with_reduction(reduction);
                let loss = loss.with_ignored_rows(ignored_rows);
                let value = check_results(&gpu, &Case::new(loss, &finite.0, &finite.1, &labels));
                assert!(value.loss.is_finite() && value.counted_rows == 32);
                // Rows alone: NaN, without a label, infinite in one way and another; then several of them together.
                for rows in [3..4, 4..5, 5..6, 6..7, 7..8, 4..40, 0..40] {
                    let part = |all: &[Vec<f32>]| all[rows.clone()].to_vec();
                    let case = Case::new(loss, &part(&student), &part(&teacher), &labels[rows.clone()]);
                    check_results(&gpu, &case);
                }
            }
        }
    }
}

#[test]
fn flags_say_which_terms_count() {
    let Some(gpu) = open(None, Options::new()) else { return };
    let row = vec![0.0f32, 1.0, 2.0];
    for (alpha, ignored_rows, want) in [
        (0.5, IgnoredRows::Skip, [3, 0]),
        (0.5, IgnoredRows::SoftOnly, [3, 2]),
        (1.0, IgnoredRows::Skip, [1, 0]),
        (0.0, IgnoredRows::SoftOnly, [2, 2]),
    ] {
        let loss = DistillationLoss::new().with_alpha(alpha).with_ignored_rows(ignored_rows);
        let case = Case::new(loss, &[row.clone(), row.clone()], &[row.clone(), row.clone()], &[1, -100]);
        let (_, totals, records) = run_for_results(&gpu, &case).unwrap();
        // All rows were visited whole.
        assert_eq!([records[3], records[7]], want.map(|flags| flags | 64), "alpha {alpha} {ignored_rows:?}");
        assert_eq!(totals[4], if ignored_rows == IgnoredRows::SoftOnly { 2 } else { 1 });
    }
}
