//! Every edge case of the documentation, under its own name: what each implementation must answer, the reference too.

use std::collections::HashMap;

use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

use crate::case::{Case, LabelVec, Layout, Table};
use crate::contract::{Contract, check, close};
use crate::implementations::{Outcome, all_and_reference};

const NAN: f32 = f32::NAN;
const INFINITY: f32 = f32::INFINITY;
const MINUS_INFINITY: f32 = f32::NEG_INFINITY;

/// Everything that counts as −∞: less than −1e30, or that much.
const MASKS: [f32; 4] = [MINUS_INFINITY, f32::MIN, -1e30, -3.3e38];

fn loss() -> DistillationLoss {
    DistillationLoss::new().with_temperature(2.0)
}

/// Shows what every implementation answers, after holding it to the contract.
#[track_caller]
fn for_all(case: &Case, mut expect: impl FnMut(&str, &Outcome)) {
    let contract = Contract::of(case);
    for implementation in all_and_reference() {
        expect(implementation.name, &contract.check(&implementation));
    }
}

/// A case whose teacher, or labels, were left away.
fn without_teacher(mut case: Case) -> Case {
    case.teacher = None;
    case
}

fn without_labels(mut case: Case) -> Case {
    case.labels = None;
    case
}

#[test]
fn alpha_1_does_not_read_the_teacher() {
    let case = Case::row(loss().with_alpha(1.0), &[1.0, 2.0, 0.5], &[NAN, INFINITY, NAN], 1);
    for case in [without_teacher(case.clone()), case] {
        for_all(&case, |name, outcome| {
            assert_eq!((outcome.value.soft, outcome.value.nonfinite_rows), (None, 0), "{name}");
            assert_eq!(outcome.value.rows[0].soft, None, "{name}");
            assert_eq!(Some(outcome.value.loss), outcome.value.hard, "{name}");
            assert!(outcome.gradient.iter().all(|entry| entry.is_finite()), "{name}");
        });
    }
}

#[test]
fn alpha_0_uses_labels_only_to_decide_which_rows_count() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    let teacher = [vec![0.0, 1.0, 0.0], vec![1.0, 0.0, 2.0]];
    let run = |labels: &[i64]| {
        let case = Case::new(loss().with_alpha(0.0), &rows, &teacher, labels);
        for_all(&case, |name, outcome| {
            assert_eq!((outcome.value.hard, outcome.value.rows[0].hard), (None, None), "{name}");
        });
        check(&all_and_reference()[1], &case).value
    };
    assert_eq!(run(&[0, 1]).loss, run(&[2, 0]).loss);
    assert_ne!(run(&[0, 1]).loss, run(&[0, -100]).loss);
    assert_eq!(run(&[0, -100]).counted_rows, 1);
    let case = without_labels(Case::new(loss().with_alpha(0.0), &rows, &teacher, &[0, 0]));
    for_all(&case, |name, outcome| {
        assert_eq!(outcome.value.counted_rows, 2, "{name}");
        assert!(close(outcome.value.loss, run(&[0, 1]).loss, 1e-6), "{name}");
    });
}

#[test]
fn alpha_1_never_multiplies_the_infinite_soft_term_by_zero() {
    for_all(&Case::row(loss().with_alpha(1.0), &[1.0, MINUS_INFINITY], &[0.0, 0.0], 0), |name, outcome| {
        assert_eq!(outcome.value.loss, 0.0, "{name}");
    });
    for_all(&Case::row(loss().with_alpha(0.0), &[1.0, MINUS_INFINITY], &[0.0, MINUS_INFINITY], 1), |name, outcome| {
        assert_eq!(outcome.value.loss, 0.0, "{name}: the label's hard term would be infinite");
    });
}

#[test]
fn an_ignored_row_is_skipped_whatever_it_holds() {
    for poison in [NAN, INFINITY, MINUS_INFINITY, f32::MAX] {
        let student = [vec![1.0, 2.0, 0.5], vec![poison; 3]];
        let teacher = [vec![0.0, 1.0, 0.0], vec![poison; 3]];
        for_all(&Case::new(loss(), &student, &teacher, &[0, -100]), |name, outcome| {
            let (value, alone) = (&outcome.value, Case::row(loss(), &student[0], &teacher[0], 0));
            assert_eq!((value.counted_rows, value.nonfinite_rows), (1, 0), "{name}");
            assert_eq!((value.rows[1].hard, value.rows[1].soft, value.rows[1].total), (Some(0.0), Some(0.0), 0.0));
            assert_eq!(outcome.gradient[3..], [0.0; 3], "{name}");
            assert!(close(value.loss, check(&all_and_reference()[0], &alone).value.loss, 1e-6), "{name}");
        });
    }
}

#[test]
fn an_ignored_row_with_soft_only_counts_its_soft_term() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    let teacher = [vec![0.0, 1.0, 0.0], vec![1.0, 0.0, 2.0]];
    let loss = loss().with_ignored_rows(IgnoredRows::SoftOnly);
    for_all(&Case::new(loss, &rows, &teacher, &[1, -100]), |name, outcome| {
        let [first, second] = [outcome.value.rows[0], outcome.value.rows[1]];
        assert_eq!(second.hard, Some(0.0), "{name}");
        assert!(second.soft.unwrap() > 0.1, "{name}");
        // The hard term is a mean over one row, the soft term over two.
        assert!(close(outcome.value.hard.unwrap(), first.hard.unwrap(), 1e-12), "{name}");
        assert!(close(outcome.value.soft.unwrap(), (first.soft.unwrap() + second.soft.unwrap()) / 2.0, 1e-12));
    });
    // With alpha = 1 there is no soft term to count.
    for_all(&Case::new(loss.with_alpha(1.0), &rows, &teacher, &[1, -100]), |name, outcome| {
        assert_eq!(outcome.value.rows[1].total, 0.0, "{name}");
        assert_eq!(outcome.gradient[3..], [0.0; 3], "{name}");
    });
}

#[test]
fn another_ignore_index_even_one_that_is_a_class() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    for_all(&Case::new(loss().with_ignore_index(2), &rows, &rows, &[2, 1]), |name, outcome| {
        assert_eq!(outcome.value.counted_rows, 1, "{name}");
        assert_eq!(outcome.gradient[..3], [0.0; 3], "{name}");
    });
}

#[test]
fn no_row_counts_and_the_terms_are_0() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    for ignored_rows in [IgnoredRows::Skip, IgnoredRows::SoftOnly] {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None, Reduction::DividedBy(2.0)] {
            let loss = loss().with_ignored_rows(ignored_rows).with_reduction(reduction).with_alpha(1.0);
            for_all(&Case::new(loss, &rows, &rows, &[-100, -100]), |name, outcome| {
                assert_eq!((outcome.value.loss, outcome.value.hard, outcome.value.counted_rows), (0.0, Some(0.0), 0));
                assert_eq!(outcome.gradient, [0.0; 6], "{name}");
            });
        }
    }
}

#[test]
fn no_rows_at_all() {
    let mut case = without_labels(Case::new(loss().with_alpha(0.0), &[], &[], &[]));
    case.student = Table::of_rows(&[], Layout::packed(DType::F32, 5));
    case.teacher = Some(case.student.clone());
    case.gradient = case.student.layout;
    for_all(&case, |name, outcome| {
        assert_eq!((outcome.value.loss, outcome.value.soft, outcome.value.rows.len()), (0.0, Some(0.0), 0), "{name}");
        assert!(outcome.value.loss.is_sign_positive() && outcome.value.soft.unwrap().is_sign_positive(), "{name}: -0");
    });
}

#[test]
fn a_vocabulary_of_one() {
    for_all(&Case::row(loss(), &[3.5], &[-20.0], 0), |name, outcome| {
        assert_eq!((outcome.value.loss, outcome.gradient[0]), (0.0, 0.0), "{name}");
    });
}

#[test]
fn reductions_differ_only_by_their_denominator() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0], vec![4.0, 4.0, 4.0]];
    let teacher = [vec![0.0, 1.0, 0.0], vec![1.0, 0.0, 2.0], vec![0.0; 3]];
    let case = |reduction| Case::new(loss().with_reduction(reduction), &rows, &teacher, &[1, 0, -100]);
    for implementation in all_and_reference() {
        let run = |reduction| check(&implementation, &case(reduction));
        let sum = run(Reduction::Sum);
        for (reduction, denominator) in
            [(Reduction::Mean, 2.0), (Reduction::None, 1.0), (Reduction::DividedBy(0.25), 0.25)]
        {
            let other = run(reduction);
            assert!(close(other.value.loss * denominator, sum.value.loss, 1e-12 * sum.value.loss));
            for (entry, summed) in other.gradient.iter().zip(&sum.gradient) {
                assert!(close(entry * denominator, *summed, 1e-6), "{}", implementation.name);
            }
        }
        let total: f64 = sum.value.rows.iter().map(|row| row.total).sum();
        assert!(close(total, sum.value.loss, 1e-12), "{}", implementation.name);
    }
}

#[test]
fn the_upstream_gradient_multiplies_the_gradient_only() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    let teacher = [vec![0.0, 1.0, 0.0], vec![1.0, 0.0, 2.0]];
    let plain = Case::new(loss(), &rows, &teacher, &[1, 0]);
    let mut scaled = plain.clone();
    scaled.loss = plain.loss.with_grad_scale(1024.0);
    scaled.row_grad_scale = Some(vec![0.5, -4.0]);
    for implementation in all_and_reference() {
        let (plain, scaled) = (check(&implementation, &plain), check(&implementation, &scaled));
        assert_eq!(plain.value, scaled.value);
        for (index, (entry, scaled)) in plain.gradient.iter().zip(&scaled.gradient).enumerate() {
            // Powers of two: exact.
            assert_eq!(entry * if index < 3 { 512.0 } else { -4096.0 }, *scaled, "{}", implementation.name);
        }
    }
}

#[test]
fn a_masked_teacher_logit_adds_the_students_mass() {
    for mask in MASKS {
        let case = Case::row(loss().with_alpha(0.0), &[0.0, 0.0], &[0.0, mask], 0);
        for_all(&case, |name, outcome| {
            // p = (1, 0), q = (½, ½): T² · log 2, and T · (q - p).
            assert!(close(outcome.value.loss, 4.0 * 2.0f64.ln(), 1e-6), "{name}: {}", outcome.value.loss);
            assert!(close(outcome.gradient[0], -1.0, 1e-6) && close(outcome.gradient[1], 1.0, 1e-6), "{name}");
            assert_eq!(outcome.value.nonfinite_rows, 0, "{name}");
        });
    }
}

#[test]
fn a_probability_of_0_times_an_infinite_log_ratio_is_0() {
    // Divided by T = ½ the distance of these logits overflows an f32.
    let case = Case::row(loss().with_alpha(0.0).with_temperature(0.5), &[0.0, 0.0], &[3e38, 0.0], 0);
    for_all(&case, |name, outcome| {
        assert!(close(outcome.value.loss, 0.25 * 2.0f64.ln(), 1e-6), "{name}: {}", outcome.value.loss);
        assert!(close(outcome.gradient[0], -0.25, 1e-6) && close(outcome.gradient[1], 0.25, 1e-6), "{name}");
    });
}

#[test]
fn distances_almost_as_large_as_f32_goes_count_in_full() {
    for temperature in [1.0, 2.0] {
        let case = Case::row(loss().with_alpha(0.0).with_temperature(temperature), &[2e38, 0.0], &[0.0, 0.0], 0);
        for_all(&case, |name, outcome| {
            // p = ½ where log q is 2e38 / T below it.
            let expected = temperature * 1e38;
            assert!(close(outcome.value.loss, expected, 1e-6 * expected), "{name}: {}", outcome.value.loss);
        });
    }
}

#[test]
fn a_masked_student_logit_makes_the_soft_term_infinite_and_keeps_the_gradient_finite() {
    for mask in MASKS {
        for_all(&Case::row(loss(), &[0.0, mask], &[0.0, 0.0], 0), |name, outcome| {
            assert_eq!((outcome.value.soft, outcome.value.hard), (Some(f64::INFINITY), Some(0.0)), "{name}");
            assert_eq!((outcome.value.loss, outcome.value.nonfinite_rows), (f64::INFINITY, 0), "{name}");
            // T · (q - p) = 2 · (1 - ½), weighed by ½.
            assert!(close(outcome.gradient[0], 0.5, 1e-6) && close(outcome.gradient[1], -0.5, 1e-6), "{name}");
        });
    }
}

#[test]
fn a_masked_student_logit_is_found_by_its_bits_even_where_the_teachers_probability_is_0() {
    for_all(&Case::row(loss().with_alpha(0.0), &[0.0, MINUS_INFINITY], &[0.0, -1e6], 0), |name, outcome| {
        assert_eq!(outcome.value.loss, f64::INFINITY, "{name}");
    });
}

#[test]
fn a_masked_label_makes_the_hard_term_infinite() {
    for mask in MASKS {
        for_all(&Case::row(loss(), &[0.0, mask], &[0.0, mask], 1), |name, outcome| {
            assert_eq!((outcome.value.hard, outcome.value.soft), (Some(f64::INFINITY), Some(0.0)), "{name}");
            assert_eq!((outcome.value.nonfinite_rows, outcome.gradient[1]), (0, -0.5), "{name}");
        });
    }
}

#[test]
fn entries_masked_in_both_add_nothing() {
    let narrow = Case::row(loss(), &[1.0, 2.0], &[0.5, -1.0], 0);
    for mask in MASKS {
        let masked = Case::row(loss(), &[mask, 1.0, mask, 2.0], &[mask, 0.5, mask, -1.0], 1);
        for implementation in all_and_reference() {
            let (narrow, masked) = (check(&implementation, &narrow), check(&implementation, &masked));
            assert!(close(masked.value.loss, narrow.value.loss, 1e-6), "{}", implementation.name);
            assert_eq!((masked.gradient[0], masked.gradient[2]), (0.0, 0.0), "{}", implementation.name);
            assert!(close(masked.gradient[1], narrow.gradient[0], 1e-6), "{}", implementation.name);
        }
    }
}

#[test]
fn the_lowest_number_of_bf16_is_a_mask_and_that_of_f16_is_not() {
    let case = |mask: f32, dtype| Case::row(loss(), &[0.0, mask], &[0.0, 0.0], 0).stored_as(dtype, dtype, DType::F32);
    for_all(&case(half::bf16::MIN.to_f32(), DType::Bf16), |name, outcome| {
        assert_eq!(outcome.value.soft, Some(f64::INFINITY), "{name}");
    });
    for_all(&case(half::f16::MIN.to_f32(), DType::F16), |name, outcome| {
        let soft = outcome.value.soft.unwrap();
        assert!(soft.is_finite() && soft > 6e4, "{name}: {soft}");
    });
    for_all(&case(f32::MIN, DType::F16), |name, outcome| {
        assert_eq!(outcome.value.soft, Some(f64::INFINITY), "{name}: f32::MIN is −∞ in f16");
    });
}

#[test]
fn a_row_that_counts_and_is_not_finite_is_nan_alone() {
    let good = vec![1.0, 2.0, 0.5];
    let bad = [
        vec![1.0, NAN, 0.0],
        vec![1.0, -NAN, 0.0],
        vec![0.0, 0.0, INFINITY],
        vec![MINUS_INFINITY; 3],
        vec![f32::MIN; 3],
    ];
    let case = |student: &[f32], teacher: &[f32]| {
        let student = [good.clone(), student.to_vec(), good.clone()];
        let teacher = [vec![0.0, 1.0, 0.0], teacher.to_vec(), vec![0.0, 1.0, 0.0]];
        Case::new(loss(), &student, &teacher, &[0, 1, 0])
    };
    // What every row is if all three are good.
    let mut untouched = HashMap::new();
    for_all(&case(&good, &good), |name, outcome| drop(untouched.insert(name.to_owned(), outcome.clone())));
    for bad in &bad {
        for (student, teacher) in [(bad, &good), (&good, bad)] {
            for_all(&case(student, teacher), |name, outcome| {
                let value = &outcome.value;
                assert!(value.loss.is_nan() && value.hard.unwrap().is_nan() && value.soft.unwrap().is_nan(), "{name}");
                assert_eq!((value.nonfinite_rows, value.counted_rows), (1, 3), "{name}");
                assert!(value.rows[1].total.is_nan(), "{name}");
                assert!(outcome.gradient[3..6].iter().all(|entry| entry.is_nan()), "{name}");
                let untouched = &untouched[name];
                for row in [0, 2] {
                    assert_eq!(value.rows[row], untouched.value.rows[row], "{name}: other rows are untouched");
                    let entries = 3 * row..3 * row + 3;
                    assert_eq!(outcome.gradient[entries.clone()], untouched.gradient[entries], "{name}: row {row}");
                }
                assert!(value.rows[0].total.is_finite(), "{name}");
            });
        }
    }
}

#[test]
fn a_row_without_a_label_whose_soft_term_is_nan() {
    let loss = loss().with_ignored_rows(IgnoredRows::SoftOnly);
    let case = Case::new(loss, &[vec![1.0, 2.0], vec![NAN, 0.0]], &[vec![0.0; 2], vec![0.0; 2]], &[0, -100]);
    for_all(&case, |name, outcome| {
        assert!(outcome.value.soft.unwrap().is_nan(), "{name}");
        assert!(outcome.value.hard.unwrap().is_finite(), "{name}: the row has no part in the hard term");
        assert_eq!(outcome.value.nonfinite_rows, 1, "{name}");
    });
}

#[test]
fn rows_that_are_not_finite_are_counted_among_many() {
    // More rows than the CPU path prepares at a time, with NaN in the first, in between and in the last.
    let mut student = vec![vec![1.0, 2.0]; 9000];
    for row in [0, 4095, 4096, 8999] {
        student[row][1] = NAN;
    }
    for_all(&Case::new(loss(), &student, &vec![vec![0.0; 2]; 9000], &[0; 9000]), |name, outcome| {
        assert_eq!(outcome.value.nonfinite_rows, 4, "{name}");
    });
}

#[test]
fn nan_far_into_a_long_row_is_found() {
    for position in [0, 15, 16, 2047, 2048, 4999] {
        let mut student = vec![0.5; 5000];
        student[position] = NAN;
        for_all(&Case::row(loss(), &student, &vec![0.0; 5000], 3), |name, outcome| {
            assert_eq!(outcome.value.nonfinite_rows, 1, "{name} at {position}");
        });
    }
}

#[test]
fn padding_columns_are_never_read_and_get_a_gradient_of_0() {
    let layout = |cols, row_stride| Layout { dtype: DType::F32, cols, row_stride };
    let mut case = Case::row(loss(), &[1.0, 2.0, 0.5], &[0.0, 1.0, 0.0], 0);
    let plain = case.clone();
    case.student = Table::of_rows(&[vec![1.0, 2.0, 0.5]], layout(8, 11)); // five columns of NaN
    case.teacher = Some(Table::of_rows(&[vec![0.0, 1.0, 0.0]], layout(5, 5)));
    case.gradient = layout(7, 9);
    case.vocab = Some(3);
    for implementation in all_and_reference() {
        let (padded, plain) = (check(&implementation, &case), check(&implementation, &plain));
        assert_eq!(padded.value, plain.value, "{}", implementation.name);
        assert_eq!(padded.gradient, plain.gradient, "{}", implementation.name);
    }
}

#[test]
fn a_common_offset_changes_nothing() {
    // 3 of these logits' eighths fit beside an offset of 4096 in an f32: the shift is exactly representable.
    let row = [1.125f32, -2.25, 0.5, 3.875];
    let shift = |offset: f32| row.map(|logit| logit + offset).to_vec();
    let teacher = [0.25f32, 1.0, -0.75, 2.5];
    let plain = Case::row(loss(), &row, &teacher, 2);
    let shifted = Case::row(loss(), &shift(4096.0), &teacher.map(|logit| logit - 512.0), 2);
    for implementation in all_and_reference() {
        let (plain, shifted) = (check(&implementation, &plain), check(&implementation, &shifted));
        assert_eq!(plain.gradient, shifted.gradient, "{}", implementation.name);
        assert_eq!(plain.value.soft, shifted.value.soft, "{}", implementation.name);
    }
}

#[test]
fn identical_rows_have_a_soft_term_of_exactly_0() {
    let row: Vec<f32> = (0..5000).map(|j| ((j * 37) % 101) as f32 / 7.0 - 5.0).collect();
    for temperature in [0.5, 1.0, 2.0, 3.7, 1e4] {
        let case = Case::row(loss().with_alpha(0.0).with_temperature(temperature), &row, &row, 0);
        for_all(&case, |name, outcome| {
            assert_eq!(outcome.value.loss, 0.0, "{name}");
            assert!(outcome.gradient.iter().all(|&entry| entry == 0.0), "{name}");
        });
    }
}

#[test]
fn i32_and_i64_labels_mean_the_same() {
    let rows = [vec![1.0, 2.0, 0.5], vec![0.0, 3.0, 1.0]];
    let wide = Case::new(loss(), &rows, &rows, &[1, -100]);
    let mut narrow = wide.clone();
    narrow.labels = Some(LabelVec::I32(vec![1, -100]));
    for implementation in all_and_reference() {
        let (wide, narrow) = (check(&implementation, &wide), check(&implementation, &narrow));
        assert_eq!((wide.value, wide.gradient), (narrow.value, narrow.gradient), "{}", implementation.name);
    }
}
