//! What is refused: by every implementation, with both offending values, before anything is written.

use kdloss::{DType, DistillationLoss, Error, Matrix, MatrixMut, Reduction};

use crate::case::{Case, LabelVec, Layout, Table};
use crate::implementations::all_and_reference;

fn loss() -> DistillationLoss {
    DistillationLoss::new()
}

fn good() -> Case {
    Case::new(loss(), &[vec![0.0, 1.0, 2.0], vec![2.0, 0.0, 1.0]], &[vec![0.0; 3], vec![1.0; 3]], &[0, 2])
}

/// Every implementation refuses the case with this error, whose text holds these pieces.
#[track_caller]
fn refused(case: &Case, error: &Error, pieces: &[&str]) {
    for implementation in all_and_reference() {
        let got = (implementation.run)(case).expect_err(implementation.name);
        assert!(format!("{got:?}") == format!("{error:?}"), "{}: {got:?}", implementation.name);
        for piece in pieces {
            assert!(got.to_string().contains(piece), "{:?} should name {piece}", got.to_string());
        }
    }
}

#[test]
fn temperatures_that_are_not_positive_or_too_extreme() {
    let just_beyond = [1e-4f64.next_down(), 1e4f64.next_up()];
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-30, 1e30, 5e-324, 1.1e-19, 1e6, 1e8, 1.8e19]
        .into_iter()
        .chain(just_beyond)
    {
        let mut case = good();
        case.loss = loss().with_temperature(temperature);
        let pieces = [temperature.to_string(), "0.0001..=10000".into(), "2 to 10 is usual".into()];
        refused(&case, &Error::InvalidTemperature { temperature }, &pieces.each_ref().map(String::as_str));
    }
    for temperature in [1e-4, 1e4] {
        assert_eq!(loss().with_temperature(temperature).validate(), Ok(()));
    }
}

#[test]
fn alphas_outside_zero_to_one() {
    for alpha in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let mut case = good();
        case.loss = loss().with_alpha(alpha);
        refused(&case, &Error::InvalidAlpha { alpha }, &[&alpha.to_string()]);
    }
}

#[test]
fn denominators_that_are_not_finite_and_positive() {
    for denominator in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut case = good();
        case.loss = loss().with_reduction(Reduction::DividedBy(denominator));
        refused(&case, &Error::InvalidDenominator { denominator }, &[&denominator.to_string()]);
    }
}

#[test]
fn gradient_scales_that_are_not_finite() {
    for grad_scale in [f64::NAN, f64::INFINITY, 1e300] {
        let mut case = good();
        case.loss = loss().with_grad_scale(grad_scale);
        refused(&case, &Error::InvalidGradScale { grad_scale }, &[]);
    }
}

#[test]
fn a_soft_term_without_teacher_and_a_hard_term_without_labels() {
    let mut case = good();
    case.teacher = None;
    refused(&case, &Error::MissingTeacher { alpha: 0.5 }, &["alpha is 0.5", "teacher"]);
    let mut case = good();
    case.labels = None;
    refused(&case, &Error::MissingLabels { alpha: 0.5 }, &["alpha is 0.5", "labels"]);
}

#[test]
fn labels_that_are_no_class() {
    for label in [3, -1, -99, i64::MAX, i64::MIN] {
        for alpha in [0.0, 0.5, 1.0] {
            let mut case = good();
            case.loss = loss().with_alpha(alpha);
            case.labels = Some(LabelVec::I64(vec![0, label]));
            let error = Error::LabelOutOfRange { row: 1, label, vocab: 3, ignore_index: -100 };
            refused(&case, &error, &["row 1", &format!("label {label}"), "0..3", "-100"]);
        }
    }
}

#[test]
fn row_counts_that_disagree() {
    let rows = |part, found| Error::RowCountMismatch { part, expected: 2, found };
    let mut case = good();
    case.teacher = Some(Table::filled(3, Layout::packed(DType::F32, 3), 0.0));
    refused(&case, &rows("teacher", 3), &["2 rows", "teacher has 3"]);
    let mut case = good();
    case.labels = Some(LabelVec::I32(vec![0]));
    refused(&case, &rows("labels", 1), &["2 rows", "labels has 1"]);
    let mut case = good();
    case.row_grad_scale = Some(vec![1.0]);
    refused(&case, &rows("row_grad_scale", 1), &["2 rows", "row_grad_scale has 1"]);
    // A slice must have the right length; a buffer of a device may be longer.
    case.row_grad_scale = Some(vec![1.0; 5]);
    assert_eq!(kdloss::cpu::forward(&case.loss, &case.batch()), Err(rows("row_grad_scale", 5)));
}

#[test]
fn shapes_that_do_not_fit() {
    let mut case = good();
    case.vocab = Some(4);
    refused(&case, &Error::VocabTooWide { matrix: "student", vocab: 4, cols: 3 }, &["4", "3", "student"]);
    let mut case = good();
    case.vocab = Some(0);
    refused(&case, &Error::EmptyVocab, &[]);
    let mut case = good();
    case.student.layout.row_stride = 2;
    let error = Error::RowStrideTooShort { matrix: "student", row_stride: 2, cols: 3 };
    refused(&case, &error, &["student", "stride 2", "3 columns"]);
    let mut case = good();
    case.student.layout.row_stride = 4;
    let error = Error::BufferTooShort { matrix: "student", len: 6, needed: 7, rows: 2, cols: 3, row_stride: 4 };
    refused(&case, &error, &["6 elements", "need 7", "stride 4"]);
    let mut case = good();
    case.teacher.as_mut().unwrap().layout.row_stride = usize::MAX;
    let error = |row_stride| Error::BufferTooShort {
        matrix: "teacher",
        len: 6,
        needed: usize::MAX,
        rows: 2,
        cols: 3,
        row_stride,
    };
    refused(&case, &error(usize::MAX), &["teacher"]);
}

#[test]
fn gradients_that_do_not_fit() {
    let case = good();
    let run = |gradient: &mut [f32], rows, cols, row_stride| {
        let mut gradient = MatrixMut::new(gradient, rows, cols).with_row_stride(row_stride);
        kdloss::cpu::forward_backward(&case.loss, &case.batch(), &mut gradient).unwrap_err()
    };
    let matrix = "gradient";
    assert_eq!(run(&mut [0.0; 6], 2, 2, 3), Error::VocabTooWide { matrix, vocab: 3, cols: 2 });
    assert_eq!(run(&mut [0.0; 6], 2, 3, 2), Error::RowStrideTooShort { matrix, row_stride: 2, cols: 3 });
    assert_eq!(run(&mut [0.0; 6], 1, 3, 3), Error::RowCountMismatch { part: matrix, expected: 2, found: 1 });
    let error = Error::BufferTooShort { matrix, len: 5, needed: 6, rows: 2, cols: 3, row_stride: 3 };
    assert_eq!(run(&mut [0.0; 5], 2, 3, 3), error);
}

#[test]
fn nothing_is_written_before_everything_is_checked() {
    let (student, teacher) = ([0.5f32; 6], [0.25f32; 6]);
    let batch = kdloss::Batch::new(Matrix::new(&student, 2, 3)).with_teacher(Matrix::new(&teacher, 2, 3));
    let mut gradient = [7.0f32; 6];
    let result = kdloss::cpu::forward_backward(
        &loss(),
        &batch.with_labels(&[0i64, 9]),
        &mut MatrixMut::new(&mut gradient, 2, 3),
    );
    assert!(matches!(result, Err(Error::LabelOutOfRange { row: 1, label: 9, .. })));
    assert_eq!(gradient, [7.0; 6]);

    let mut student = student;
    let mut batch = kdloss::Batch::new(MatrixMut::new(&mut student, 2, 3)).with_teacher(Matrix::new(&teacher, 2, 3));
    batch = batch.with_labels(&[0i64, 9]);
    assert!(kdloss::cpu::forward_backward_in_place(&loss(), &mut batch).is_err());
    assert_eq!(student, [0.5; 6]);
}
