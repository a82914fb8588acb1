//! Properties that hold for any input, tried on generated ones.

use kdloss::row_part::{RowPart, Soft};
use kdloss::{DistillationLoss, Divergence, Reduction};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::case::Case;
use crate::contract::{check, check_all, close};
use crate::implementations::{Implementation, in_turn, run_reference};

/// Logits whose differences `f32` keeps to six digits, and masked ones.
fn plain_logit() -> impl Strategy<Value = f32> {
    prop_oneof![8 => -20.0f32..20.0, 1 => Just(f32::NEG_INFINITY), 1 => Just(f32::MIN)]
}

/// Logits as they are met, and as they are feared. NaN is left to its own test, since nothing equals it.
fn logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => -20.0f32..20.0,
        2 => -1e4f32..1e4,
        1 => select(&[f32::NEG_INFINITY, f32::MIN, -1e30, 0.0, -0.0, 1e4, -1e4][..]),
        1 => select(&[f32::MIN_POSITIVE, 1e-40, -1e-45, 1e-30][..]),
    ]
}

fn temperature() -> impl Strategy<Value = f64> {
    prop_oneof![select(&[0.5, 1.0, 2.0, 4.0, 20.0][..]), 0.5..20.0]
}

/// A row of student and teacher logits: unrelated, or so near that their difference drowns in composed `f32` arithmetic.
fn row() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let unrelated = (1usize..80).prop_flat_map(|vocab| (vec(logit(), vocab), vec(logit(), vocab)));
    let near = (vec((-8.0f32..8.0, -1.0f32..1.0), 1..80), select(&[1e-1f32, 1e-3, 1e-5][..]))
        .prop_map(|(pairs, size)| pairs.iter().map(|(logit, step)| (logit + size * step, logit)).unzip());
    prop_oneof![2 => unrelated, 1 => near]
}

fn loss(temperature: f64, alpha: f64) -> DistillationLoss {
    DistillationLoss::new().with_temperature(temperature).with_alpha(alpha).with_reduction(Reduction::Sum)
}

/// CUDA's implementations in turn, by the case's logits, so that a case always meets the same: each of the seven is tried on some
/// 57 of 400 generated cases.
fn implementations(case: &Case) -> Vec<Implementation> {
    in_turn(case.student.buffer.to_bytes().iter().copied().map(usize::from).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn implementations_agree_with_the_reference(
        (student, teacher) in row(),
        temperature in temperature(),
        alpha in select(&[0.0, 0.5, 1.0][..]),
        label in any::<prop::sample::Index>(),
    ) {
        let label = label.index(student.len()) as i64;
        let case = Case::row(loss(temperature, alpha), &student, &teacher, label);
        check_all(&implementations(&case), &case);
    }

    #[test]
    fn a_nan_anywhere_makes_the_row_nan(
        (mut student, mut teacher) in row(),
        position in any::<prop::sample::Index>(),
        poison in select(&[f32::NAN, -f32::NAN, f32::INFINITY][..]),
        in_teacher: bool,
    ) {
        let position = position.index(student.len());
        (if in_teacher { &mut teacher } else { &mut student })[position] = poison;
        let case = Case::row(loss(2.0, 0.5), &student, &teacher, 0);
        for implementation in implementations(&case) {
            let outcome = check(&implementation, &case);
            prop_assert!(outcome.value.loss.is_nan() && outcome.gradient.iter().all(|entry| entry.is_nan()));
        }
    }

    #[test]
    fn the_soft_term_keeps_its_digits_at_a_temperature_of_ten_thousand((student, teacher) in row()) {
        // The contract ends at T = 20; its bound on the soft term holds here too.
        let case = Case::row(loss(1e4, 0.0), &student, &teacher, 0);
        check_all(&implementations(&case), &case);
    }

    #[test]
    fn permuting_the_vocabulary_permutes_the_gradient(
        ((student, teacher), order) in row().prop_flat_map(|rows| {
            let order = Just((0..rows.0.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(rows), order)
        }),
        temperature in temperature(),
    ) {
        let permute = |row: &[f32]| order.iter().map(|&from| row[from]).collect::<Vec<_>>();
        let label = order.iter().position(|&from| from == 0).unwrap() as i64;
        let straight = Case::row(loss(temperature, 0.5), &student, &teacher, 0);
        let permuted = Case::row(loss(temperature, 0.5), &permute(&student), &permute(&teacher), label);
        // The reference permutes; the contract holds every implementation to the reference, either way round.
        let want = run_reference(&straight).unwrap().gradient;
        let got = run_reference(&permuted).unwrap().gradient;
        for (to, &from) in order.iter().enumerate() {
            prop_assert!(close(got[to], want[from], 1e-10 * want[from].abs() + 1e-13), "{} {}", got[to], want[from]);
        }
        check_all(&implementations(&straight), &straight);
        check_all(&implementations(&straight), &permuted);
    }

    #[test]
    fn the_gradient_sums_to_zero_and_the_soft_term_is_not_negative(
        (student, teacher) in row(),
        temperature in temperature(),
    ) {
        let case = Case::row(loss(temperature, 0.5), &student, &teacher, 0);
        for implementation in implementations(&case) {
            let outcome = check(&implementation, &case);
            if outcome.value.nonfinite_rows == 0 {
                let size: f64 = outcome.gradient.iter().map(|entry| entry.abs()).sum();
                let sum: f64 = outcome.gradient.iter().sum();
                prop_assert!(sum.abs() <= 1e-6 * size + 1e-6 * temperature, "{sum} of {size}");
                prop_assert!(outcome.value.soft.unwrap() >= 0.0);
            }
        }
    }

    #[test]
    fn identical_rows_give_exactly_zero(row in vec(logit(), 1..80), temperature in 0.5f64..1e4) {
        let case = Case::row(loss(temperature, 0.0), &row, &row, 0);
        for implementation in implementations(&case) {
            let outcome = check(&implementation, &case);
            if outcome.value.nonfinite_rows == 0 {
                prop_assert!(outcome.value.loss == 0.0 && outcome.gradient.iter().all(|&entry| entry == 0.0));
            }
        }
    }

    #[test]
    fn exactly_representable_shifts_change_nothing(
        row in vec((-800i16..800, -800i16..800), 1..80),
        shift in -60i16..60,
        temperature in temperature(),
    ) {
        // Multiples of 1/8 up to 100, and shifts by multiples of 64: every sum is exact.
        let rows = |offset: f32| -> (Vec<f32>, Vec<f32>) {
            row.iter().map(|&(s, t)| (f32::from(s) / 8.0 + offset, f32::from(t) / 8.0 - offset)).unzip()
        };
        let case = |(student, teacher): (Vec<f32>, Vec<f32>)| Case::row(loss(temperature, 0.5), &student, &teacher, 0);
        for implementation in implementations(&case(rows(0.0))) {
            let plain = check(&implementation, &case(rows(0.0)));
            let shifted = check(&implementation, &case(rows(64.0 * f32::from(shift))));
            prop_assert_eq!(&plain.gradient, &shifted.gradient);
            prop_assert_eq!(plain.value.rows, shifted.value.rows);
        }
    }

    #[test]
    fn the_reference_gradient_is_the_slope_of_the_reference_loss(
        row in vec((-4.0f32..4.0, -4.0f32..4.0), 2..12),
        temperature in temperature(),
        alpha in 0.0..1.0,
        column in any::<prop::sample::Index>(),
    ) {
        let (student, teacher): (Vec<f32>, Vec<f32>) = row.into_iter().unzip();
        let column = column.index(student.len());
        let run = |step: f32| {
            let mut student = student.clone();
            student[column] += step;
            let moved = student[column];
            (f64::from(moved), run_reference(&Case::row(loss(temperature, alpha), &student, &teacher, 1)).unwrap())
        };
        let (low, high) = (run(-1e-3), run(1e-3));
        let slope = (high.1.value.loss - low.1.value.loss) / (high.0 - low.0);
        let gradient = run(0.0).1.gradient[column];
        // The error of a central difference: a sixth of the step squared times the third derivative.
        prop_assert!((slope - gradient).abs() < 1e-6, "{slope} {gradient}");
    }

    #[test]
    fn parts_of_a_row_are_a_monoid(row in vec((plain_logit(), plain_logit()), 3..60), cut in 1usize..100, temperature in temperature()) {
        let soft = Soft::new(Divergence::ForwardKl, temperature);
        let merged = |elements: &[(f32, f32)]| {
            let parts = elements.iter().map(|&(student, teacher)| RowPart::of(student, Some(teacher)));
            parts.fold(RowPart::IDENTITY, |whole, part| whole.merge(part, &soft))
        };
        let (first, second) = (1 + cut % (row.len() - 2), row.len() - 1);
        let (a, b, c) = (merged(&row[..first]), merged(&row[first..second]), merged(&row[second..]));
        prop_assert_eq!(a.merge(b, &soft), b.merge(a, &soft));
        let left = a.merge(b, &soft).merge(c, &soft);
        let right = a.merge(b.merge(c, &soft), &soft);
        for (one, other) in [
            (RowPart::IDENTITY.merge(a, &soft), a),
            (a.merge(RowPart::IDENTITY, &soft), a),
            (left, right),
            (left, merged(&row)),
        ] {
            let exact = |part: &RowPart| (part.student_max, part.teacher_max, part.flags);
            prop_assert_eq!(exact(&one), exact(&other));
            for (one, other, tolerance) in [
                (one.student_sum, other.student_sum, 1e-12 * one.student_sum),
                (one.student_tempered_sum, other.student_tempered_sum, 1e-12 * one.student_tempered_sum),
                (one.teacher_tempered_sum, other.teacher_tempered_sum, 1e-12 * one.teacher_tempered_sum),
                (one.log_ratio, other.log_ratio, 1e-12 * (1.0 + one.log_ratio.abs())),
                // Masses are compared in f32.
                (one.divergence, other.divergence, 1e-5 * one.divergence + 1e-6),
            ] {
                prop_assert!((one - other).abs() <= tolerance, "{one} {other}");
            }
        }
    }

    #[test]
    fn parts_of_a_row_come_to_its_terms(row in vec((plain_logit(), plain_logit()), 1..60), cut in 0usize..100, temperature in temperature()) {
        let soft = Soft::new(Divergence::ForwardKl, temperature);
        let parts: Vec<RowPart> = row.iter().map(|&(student, teacher)| RowPart::of(student, Some(teacher))).collect();
        let (left, right) = parts.split_at(cut % row.len());
        let merged = |parts: &[RowPart]| parts.iter().fold(RowPart::IDENTITY, |whole, &part| whole.merge(part, &soft));
        let whole = merged(left).merge(merged(right), &soft);
        let (student, teacher): (Vec<f32>, Vec<f32>) = row.iter().copied().unzip();
        let want = run_reference(&Case::row(loss(temperature, 0.5), &student, &teacher, 0)).unwrap().value.rows[0];
        let got = match whole.is_nonfinite(true) {
            true => [f64::NAN; 2],
            false => [whole.hard(student[0]), temperature.powi(2) * whole.soft()],
        };
        for (got, want) in got.into_iter().zip([want.hard.unwrap(), want.soft.unwrap()]) {
            let is_close = (got - want).abs() <= 1e-5 * want + 1e-6 * temperature.powi(2);
            prop_assert!(is_close || got == want || (got.is_nan() && want.is_nan()), "{got} {want}");
        }
    }
}
