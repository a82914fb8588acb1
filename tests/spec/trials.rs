//! What kernels that are broken on purpose are tried on: small cases, each of which needs something else of a kernel.

use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

use crate::case::{Case, LabelVec, Layout, Table};
use crate::generate::{self, Rows};

/// A case, and how it is told that a kernel got it wrong.
pub type Trial = (&'static str, Case);

fn loss(temperature: f64) -> DistillationLoss {
    DistillationLoss::new().with_temperature(temperature)
}

/// What every mutant is tried on until one of them fails.
pub fn trials() -> Vec<Trial> {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let mut trials = Vec::new();
    let mut add = |name, case| trials.push((name, case));

    // Several blocks of groups for each lane, and a ragged end.
    let Rows { student, teacher, labels } = generate::rows(31, 6, 9001, 3.0);
    let mut wide = Case::new(loss(3.7), &student, &teacher, &labels);
    wide.row_grad_scale = Some(vec![1.0, -2.0, 3.0, 0.5, 1.0, 2.0]);
    add("rows of several blocks", wide.clone());
    let rising = |slope: f32| vec![(0..9001).map(|column| column as f32 * slope).collect::<Vec<f32>>(); 2];
    add("rising logits", Case::new(loss(3.7), &rising(0.3), &rising(0.2), &[7000, 8999]));
    add("falling logits", Case::new(loss(0.7), &rising(-0.3), &rising(-0.2), &[7, 0]));

    let Rows { student, teacher, labels } = generate::rows(32, 6, 999, 2.0);
    for (name, dtype) in [("f16", DType::F16), ("bf16", DType::Bf16), ("f32", DType::F32)] {
        let layout = |cols, row_stride| Layout { dtype, cols, row_stride };
        let mut case = Case::new(loss(2.0), &student, &teacher, &labels).stored_as(dtype, dtype, dtype);
        add(name, case.clone());
        case.student = Table::of_rows(&student, layout(1001, 1004));
        case.teacher = Some(Table::of_rows(&teacher, layout(1003, 1004)));
        case.gradient = layout(1003, 1006);
        case.vocab = Some(999);
        add("padding and gaps", case);
        add(
            "four to a load",
            Case::new(loss(4.0), &cut(&student, 500), &cut(&teacher, 500), &[0, 499, 3, -100, 77, 5])
                .stored_as(dtype, dtype, dtype),
        );
    }
    // A row that is NaN, and padding beside it that is not.
    let layout = Layout { dtype: DType::F32, cols: 7, row_stride: 7 };
    let mut padded = Case::row(loss(2.0), &[0.0, nan, 2.0], &[0.0, 1.0, 2.0], 0);
    (padded.student, padded.gradient) = (Table::of_rows(&[vec![0.0, nan, 2.0]], layout), layout);
    padded.vocab = Some(3);
    add("NaN beside padding", padded);
    // Gradients of ±half the factor, some of them halfway between two numbers of a 16-bit type, some below its normal ones.
    let halves = vec![vec![0.0f32; 2]; 6];
    let mut ties = Case::new(loss(1.0).with_alpha(1.0).with_reduction(Reduction::Sum), &halves, &halves, &[0; 6]);
    ties.row_grad_scale = Some(
        [8, 11]
            .into_iter()
            .flat_map(|bits| [1.0, 3.0, 1.5].map(|odd| 2.0 + odd / f32::from(1u16 << (bits - 1))))
            .collect(),
    );
    for dtype in [DType::F16, DType::Bf16] {
        add("ties", ties.clone().stored_as(DType::F32, DType::F32, dtype));
    }
    let tiny: Vec<f32> = (0..8).map(|column| column as f32 * 7e-6).collect();
    add(
        "subnormal f16 logits",
        Case::row(loss(1.0), &tiny, &[0.0; 8], 3).stored_as(DType::F16, DType::F16, DType::F32),
    );

    for (name, student, teacher, label) in [
        ("a masked teacher", vec![0.0, 1.0, 2.0], vec![0.0, -infinity, 1.0], 0),
        ("a masked student", vec![0.0, -infinity, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("both masked", vec![0.0, -infinity, 2.0], vec![0.0, f32::MIN, 1.0], 2),
        ("a masked label", vec![0.0, f32::MIN, 2.0], vec![0.0, -infinity, 1.0], 1),
        ("NaN", vec![0.0, nan, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("a negative NaN", vec![0.0, 1.0, 2.0], vec![0.0, -nan, 1.0], 0),
        ("infinity", vec![0.0, infinity, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("a masked row", vec![-infinity; 3], vec![-infinity; 3], 0),
        ("a masked student's row", vec![-infinity; 3], vec![0.0; 3], 0),
        ("a masked teacher's row", vec![0.0; 3], vec![f32::MIN; 3], 0),
        ("distances beyond f32", vec![0.0, 0.0, 0.0], vec![3e38, 0.0, 0.0], 0),
    ] {
        let temperature = if name == "distances beyond f32" { 0.5 } else { 2.0 };
        add(name, Case::row(loss(temperature), &student, &teacher, label));
        // Far from the lane that looks first.
        let far = |row: &[f32]| [vec![0.5; 300], row.to_vec()].concat();
        if !name.ends_with("row") {
            add(name, Case::row(loss(temperature), &far(&student), &far(&teacher), 300 + label));
        }
    }
    add(
        "an infinite f16",
        Case::row(loss(2.0), &[0.0, infinity], &[0.0; 2], 0).stored_as(DType::F16, DType::F16, DType::F32),
    );

    let near: Vec<f32> = (0..999).map(|column| teacher[0][column] + 1e-3 * student[0][column]).collect();
    add("rows that nearly agree", Case::row(loss(20.0), &near, &teacher[0], 5));

    for label in [3, -1, 1 << 32, (1 << 32) - 100] {
        add("a label that is no class", Case::row(loss(2.0), &[0.0; 3], &[1.0; 3], label));
    }
    let Rows { student, teacher, labels } = generate::rows(33, 3000, 3, 2.0);
    let many = Case::new(loss(2.0), &student, &teacher, &labels);
    add("many rows", many.clone());
    let mut narrow = many.clone();
    narrow.labels = Some(LabelVec::I32(labels.iter().map(|&label| label as i32).collect()));
    add("narrow labels", narrow);
    let mut some_nan = student.clone();
    some_nan[1234][1] = nan;
    add("NaN among many rows", Case::new(loss(2.0).with_reduction(Reduction::Sum), &some_nan, &teacher, &labels));
    let mut soft_only = many;
    soft_only.loss = loss(2.0).with_ignored_rows(IgnoredRows::SoftOnly);
    add("rows without a label count", soft_only);
    trials
}

fn cut(rows: &[Vec<f32>], columns: usize) -> Vec<Vec<f32>> {
    rows.iter().map(|row| row[..columns].to_vec()).collect()
}
