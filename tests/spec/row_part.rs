//! The row statistics and the element formula by themselves, where the accuracy contract of whole rows would not notice.

use kdloss::row_stats::{Normalizer, RowFlags, RowStats, Temperature};

const NAN: f32 = f32::NAN;
const INFINITY: f32 = f32::INFINITY;
const MINUS_INFINITY: f32 = f32::NEG_INFINITY;

/// The statistics of a whole row, one element after another, at `T = 2`.
fn pushed(row: &[(f32, Option<f32>)]) -> RowStats {
    row.iter().fold(RowStats::IDENTITY, |mut stats, &(student, teacher)| {
        stats.push(student, teacher, Temperature::new(2.0));
        stats
    })
}

#[test]
fn a_nan_or_infinity_pushed_anywhere_is_remembered() {
    for bad in [NAN, -NAN, INFINITY] {
        for element in [(bad, Some(0.0)), (bad, None), (0.0, Some(bad))] {
            for row in [[element, (1.0, Some(2.0))], [(1.0, Some(2.0)), element]] {
                assert!(pushed(&row).flags.contains(RowFlags::NONFINITE), "{row:?}");
                assert!(pushed(&row).is_nonfinite(true), "{row:?}");
            }
        }
    }
    assert_eq!(pushed(&[(1.0, Some(2.0)), (MINUS_INFINITY, Some(MINUS_INFINITY))]).flags, RowFlags::default());
}

#[test]
fn a_masked_student_logit_pushed_beside_an_unmasked_teacher_logit_is_remembered() {
    let infinite_soft = |element| pushed(&[(1.0, Some(2.0)), element]).flags.contains(RowFlags::INFINITE_SOFT);
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
    let stats = pushed(&[(1.0, None), (2.0, None)]);
    assert!(!stats.is_nonfinite(false));
    assert!(stats.is_nonfinite(true));
}

#[test]
fn the_log_ratio_keeps_its_digits_where_the_sums_are_close() {
    // The difference of two logarithms in f32 would be off by an eighth of this ratio's logarithm.
    let stats = RowStats { student_tempered_sum: 131_072.0, teacher_tempered_sum: 131_073.0, ..RowStats::IDENTITY };
    let exact = (1.0f64 / 131_072.0).ln_1p();
    let got = f64::from(stats.finish(Temperature::new(2.0)).log_ratio);
    assert!((got / exact - 1.0).abs() < 1e-7, "{got:e} {exact:e}");
    let equal = RowStats { teacher_tempered_sum: 131_072.0, ..stats };
    assert_eq!(equal.finish(Temperature::new(2.0)).log_ratio, 0.0);
}

#[test]
fn logits_are_subtracted_before_they_are_scaled() {
    // Twenty below the maximum and one unit in the last place apart: scaled by 1/3 first, both would be rounded by as
    // much as they differ.
    let temperature = Temperature::new(3.0);
    let normalizer = Normalizer {
        student_max: 0.0,
        teacher_max: 0.0,
        student_factor: 1.0,
        student_tempered_factor: 1.0,
        teacher_tempered_factor: 1.0,
        log_ratio: 0.0,
        temperature,
    };
    for student in [-20.0f32, -20.1, -21.7, -25.3, -30.9] {
        let teacher = student.next_up();
        let element = normalizer.soft_element(student, teacher);
        let p = (f64::from(teacher) / 3.0).exp();
        let exact = p * (f64::from(student) - f64::from(teacher)) / 3.0;
        let got = f64::from(element.difference);
        assert!((got / exact - 1.0).abs() < 1e-5, "{student}: {got:e} {exact:e}");
    }
}
