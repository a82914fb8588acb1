//! Parts of a row by themselves, where the accuracy contract of whole rows would not notice.

use kdloss::Divergence;
use kdloss::row_part::{RowFlags, RowPart, Soft};

const NAN: f32 = f32::NAN;
const INFINITY: f32 = f32::INFINITY;
const MINUS_INFINITY: f32 = f32::NEG_INFINITY;

/// A whole row, one element after another, at `T = 2`.
fn merged(row: &[(f32, Option<f32>)]) -> RowPart {
    let parts = row.iter().map(|&(student, teacher)| RowPart::of(student, teacher));
    parts.fold(RowPart::IDENTITY, |whole, part| whole.merge(part, &Soft::new(Divergence::ForwardKl, 2.0)))
}

#[test]
fn a_nan_or_infinity_anywhere_is_remembered() {
    for bad in [NAN, -NAN, INFINITY] {
        for element in [(bad, Some(0.0)), (bad, None), (0.0, Some(bad))] {
            for row in [[element, (1.0, Some(2.0))], [(1.0, Some(2.0)), element]] {
                assert!(merged(&row).flags.contains(RowFlags::NONFINITE), "{row:?}");
                assert!(merged(&row).is_nonfinite(true), "{row:?}");
            }
        }
    }
    assert_eq!(merged(&[(1.0, Some(2.0)), (MINUS_INFINITY, Some(MINUS_INFINITY))]).flags, RowFlags::default());
}

#[test]
fn a_masked_student_logit_beside_an_unmasked_teacher_logit_is_remembered() {
    let infinite_soft = |element| merged(&[(1.0, Some(2.0)), element]).flags.contains(RowFlags::INFINITE_SOFT);
    for mask in [MINUS_INFINITY, f32::MIN, -1e30] {
        assert!(infinite_soft((mask, Some(0.0))), "{mask}");
        assert!(infinite_soft((mask, Some(-9e29))), "{mask}");
        assert!(!infinite_soft((mask, Some(mask))), "{mask}");
        assert!(!infinite_soft((mask, None)), "{mask}: the teacher is not read");
        assert!(!infinite_soft((0.0, Some(mask))), "{mask}");
    }
}

#[test]
fn a_row_whose_teacher_is_not_read_may_have_a_masked_teacher_maximum() {
    let part = merged(&[(1.0, None), (2.0, None)]);
    assert!(!part.is_nonfinite(false));
    assert!(part.is_nonfinite(true));
}

#[test]
fn a_row_whose_teacher_is_not_read_has_no_soft_term() {
    let part = merged(&[(1.0, None), (2.0, None)]);
    assert_eq!((part.teacher_tempered_sum, part.log_ratio, part.soft()), (0.0, 0.0, 0.0));
    assert!((part.hard(2.0) - (1.0 + (-1.0f64).exp()).ln()).abs() < 1e-7);
}

#[test]
fn identical_rows_have_a_divergence_of_exactly_zero() {
    let logits = (0..100).map(|index| index as f32 * 0.37 % 5.0);
    assert_eq!(merged(&logits.map(|logit| (logit, Some(logit))).collect::<Vec<_>>()).soft(), 0.0);
}

#[test]
fn a_common_offset_changes_nothing() {
    let row = |offset: f32| [(1.0 + offset, Some(2.0 - offset)), (3.5 + offset, Some(0.25 - offset))];
    let (plain, shifted) = (merged(&row(0.0)), merged(&row(4096.0)));
    assert_eq!((plain.divergence, plain.student_sum), (shifted.divergence, shifted.student_sum));
}
