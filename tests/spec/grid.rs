//! The shape grid: every implementation, held to the accuracy contract.

use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

use crate::case::{Case, LabelVec, Layout, Table};
use crate::contract::{check, check_all, close};
use crate::generate::{self, Rows};
use crate::implementations::{DTYPES, all, in_turn, of_the_cpu, run_reference};

/// Each width, and how many rows it is tried with.
const SHAPES: &[(usize, &[usize])] = &[
    (1, &[0, 1, 3, 65]),   // nothing to choose from: both distributions are certain
    (2, &[1, 3, 65]),      // the least that can differ
    (7, &[1, 3, 65]),      // less than any vector, odd
    (8, &[1, 3]),          // one AVX2 vector
    (127, &[0, 1, 3, 65]), // a prime below a power of two: several vectors and a ragged end
    (1000, &[1, 3, 65]),   // an image classifier; less than a tile
    (4096, &[1, 3]),       // exactly one tile of the CPU path
    (4097, &[1, 3]),       // one tile and one element
    (32_000, &[1, 3]),     // Llama 2
    (50_257, &[1, 3]),     // GPT-2: odd, so every second row of f16 starts between two words
    (151_936, &[1, 3]),    // Qwen 2.5
    (262_144, &[1]),       // Gemma 3, the widest the contract covers
];

/// From the sharpest the contract covers to the flattest; 3.7 is no power of two.
const TEMPERATURES: [f64; 6] = [0.5, 1.0, 2.0, 3.7, 4.0, 20.0];

const ALPHAS: [f64; 3] = [0.0, 0.5, 1.0];

fn loss(temperature: f64, alpha: f64) -> DistillationLoss {
    DistillationLoss::new().with_temperature(temperature).with_alpha(alpha)
}

/// CUDA's seven implementations in turn. Up to 4097 columns 6 temperatures and 3 values of α make 18 turns for each shape: each
/// implementation meets each shape twice at least, and each temperature and each α at each width. Wider rows have 12 turns for
/// each width, which are enough for all seven, and the widest 6.
#[test]
fn every_shape_temperature_and_alpha() {
    let mut turn = 0;
    for &(vocab, row_counts) in SHAPES {
        for &row_count in row_counts {
            let Rows { student, teacher, labels } = generate::rows(1, row_count, vocab, 3.0);
            let mut case = Case::new(loss(4.0, 0.5), &student, &teacher, &labels);
            if row_count == 0 {
                let layout = Layout::packed(DType::F32, vocab);
                (case.student, case.gradient) = (Table::of_rows(&[], layout), layout);
                case.teacher = Some(Table::of_rows(&[], layout));
            }
            // The widest rows cost the scalar reference most: two temperatures show what they can add.
            let temperatures = if vocab < 32_000 { &TEMPERATURES[..] } else { &TEMPERATURES[2..4] };
            for &temperature in temperatures {
                for alpha in ALPHAS {
                    case.loss = loss(temperature, alpha);
                    check_all(&in_turn(turn), &case);
                    turn += 1;
                }
            }
        }
    }
}

/// CUDA's implementations in turn: at 4 widths each combination meets 4 of the 7, and each type of each matrix meets all of them
/// at each width. `cuda/compiled.rs` looks at what is compiled for the combinations.
#[test]
fn every_combination_of_storage_types() {
    let mut turn = 0;
    for vocab in [7, 1000, 2049, 50_257] {
        let Rows { student, teacher, labels } = generate::rows(2, 3, vocab, 2.0);
        for student_type in DTYPES {
            for teacher_type in DTYPES {
                for gradient_type in DTYPES {
                    let case = Case::new(loss(2.0, 0.5), &student, &teacher, &labels).stored_as(
                        student_type,
                        teacher_type,
                        gradient_type,
                    );
                    check_all(&in_turn(turn), &case);
                    turn += 1;
                }
            }
        }
    }
}

#[test]
fn sixteen_bit_gradients_are_the_nearest_to_the_f32_result() {
    let Rows { student, teacher, labels } = generate::rows(3, 3, 2049, 2.0);
    let case = Case::new(loss(2.0, 0.5), &student, &teacher, &labels);
    for implementation in all().iter().filter(|implementation| !implementation.name.contains("in place")) {
        let written = |dtype| {
            let case = case.clone().stored_as(DType::F32, DType::F32, dtype);
            (implementation.run)(&case).unwrap().written.unwrap()
        };
        let exact = written(DType::F32);
        for dtype in [DType::F16, DType::Bf16] {
            let stored = written(dtype);
            for row in 0..3 {
                let want = crate::case::Buffer::from_f32(dtype, &exact.row(row, 2049));
                for column in 0..2049 {
                    let (got, want) = (stored.get(row, column), want.get(column));
                    assert_eq!(got, want, "{}: {dtype}, row {row}, column {column}", implementation.name);
                }
            }
        }
    }
}

#[test]
fn odd_row_strides_and_padded_vocabularies() {
    for (vocab, student_extra, teacher_extra, gradient_extra) in
        [(7, (0, 1), (2, 3), (1, 0)), (1000, (1, 2), (24, 1), (3, 6)), (4097, (0, 5), (9, 0), (1, 2))]
    {
        let Rows { student, teacher, labels } = generate::rows(4, 3, vocab, 2.0);
        for dtype in DTYPES {
            let layout = |(padding, gap): (usize, usize), dtype| Layout {
                dtype,
                cols: vocab + padding,
                row_stride: vocab + padding + gap,
            };
            let mut case = Case::new(loss(2.0, 0.5), &student, &teacher, &labels);
            case.student = Table::of_rows(&student, layout(student_extra, dtype));
            case.teacher = Some(Table::of_rows(&teacher, layout(teacher_extra, DType::F32)));
            case.gradient = layout(gradient_extra, dtype);
            case.vocab = Some(vocab);
            check_all(&all(), &case);
        }
    }
}

#[test]
fn every_reduction_scale_and_label_type() {
    let Rows { student, teacher, labels } = generate::rows(5, 11, 127, 2.0);
    let all = all();
    let mut case = Case::new(loss(4.0, 0.5), &student, &teacher, &labels);
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None, Reduction::DividedBy(3.5)] {
        for ignored_rows in [IgnoredRows::Skip, IgnoredRows::SoftOnly] {
            for grad_scale in [1.0, -2.5, 0.0] {
                for alpha in ALPHAS {
                    case.loss = loss(4.0, alpha)
                        .with_reduction(reduction)
                        .with_ignored_rows(ignored_rows)
                        .with_grad_scale(grad_scale);
                    let per_row = (0..11).map(|row| row as f32 - 4.0).collect();
                    case.row_grad_scale = Some(per_row).filter(|_| grad_scale != 1.0);
                    let narrow = labels.iter().map(|&label| label as i32).collect();
                    case.labels =
                        Some(if alpha == 0.5 { LabelVec::I32(narrow) } else { LabelVec::I64(labels.clone()) });
                    check_all(&all, &case);
                }
            }
        }
    }
}

#[test]
fn more_rows_than_are_prepared_at_a_time() {
    let Rows { student, teacher, labels } = generate::rows(6, 5000, 3, 2.0);
    let case = Case::new(loss(4.0, 0.5), &student, &teacher, &labels);
    check_all(&all(), &case);
}

#[test]
fn nearly_equal_and_peaked_rows_as_wide_as_a_language_models() {
    let Rows { student, teacher, labels } = generate::rows(7, 1, 151_936, 3.0);
    // A step of the student from the teacher, and one logit far above the rest: a composed f32 loss drowns the first.
    for (step, peak) in [(1e-1, 0.0), (1e-3, 0.0), (1e-3, 60.0), (1.0, 60.0)] {
        let near = teacher[0].iter().zip(&student[0]).map(|(teacher, noise)| teacher + step * noise);
        let (mut student, mut teacher) = (vec![near.collect::<Vec<f32>>()], teacher.clone());
        student[0][4711] += peak;
        teacher[0][4711] += peak;
        for temperature in [1.0, 20.0] {
            let case = Case::new(loss(temperature, 0.5), &student, &teacher, &labels);
            check_all(&all(), &case);
        }
    }
}

/// The CPU path takes a tile relative to the largest of its first 512 logits, and a logit above that loses digits. Here one logit
/// is a little higher in each row than in the row before: from where it does not matter, to where the tile must be taken again.
/// It holds nearly all of the row's mass, or shares it with one of those at the beginning, or with many.
#[test]
fn a_logit_far_above_those_that_begin_its_row() {
    let of_the_cpu = of_the_cpu();
    far_above().iter().for_each(|case| check_all(&of_the_cpu, case));
}

pub fn far_above() -> Vec<Case> {
    const ROWS: usize = 32;
    let mut cases = Vec::new();
    let noise = generate::rows(8, 2 * ROWS, 1500, 1.0);
    for (floor, beside) in [(-40.0, -40.0), (-40.0, 0.0), (0.0, 0.0)] {
        let row = |index: usize, scale: f32| {
            let mut row: Vec<f32> = noise.student[index].iter().map(|noise| floor + scale * noise).collect();
            row[37] = beside;
            row[600 + index] = beside + (index % ROWS) as f32 * 1.02;
            row
        };
        let student: Vec<Vec<f32>> = (0..ROWS).map(|index| row(index, 1.0)).collect();
        let teacher: Vec<Vec<f32>> = (0..ROWS).map(|index| row(index, 0.7)).collect();
        let apart: Vec<Vec<f32>> = (ROWS..2 * ROWS).map(|index| row(index, 0.7)).collect();
        let labels: Vec<i64> = (0..ROWS).map(|index| if index % 3 == 0 { 5 } else { 600 + index as i64 }).collect();
        for teacher in [&teacher, &apart] {
            for temperature in TEMPERATURES {
                for alpha in ALPHAS {
                    cases.push(Case::new(loss(temperature, alpha), &student, teacher, &labels));
                }
            }
        }
    }
    cases
}

/// Three logits hold nearly all mass, far above those that begin the row, and student and teacher nearly agree on them: the soft
/// term is small, and must keep its digits.
#[test]
fn few_logits_that_nearly_agree_far_above_those_that_begin_their_row() {
    const ROWS: usize = 24;
    let of_the_cpu = of_the_cpu();
    let noise = generate::rows(9, 2 * ROWS, 1500, 1.0);
    for (gap, disagreement) in [(1.0, 0.05), (2.2, 0.05), (4.5, 0.005), (8.3, 0.05), (8.3, 0.005), (15.0, 0.005)] {
        let row = |index: usize, other: usize| {
            let (tops, changes) = (&noise.student[index], &noise.teacher[other]);
            let mut row = vec![-40.0; 1500];
            row[37] = -gap;
            for top in 0..3 {
                row[700 + 100 * top + index] = -0.05 * tops[top].abs() + disagreement * changes[top];
            }
            row
        };
        let student: Vec<Vec<f32>> = (0..ROWS).map(|index| row(index, index)).collect();
        let teacher: Vec<Vec<f32>> = (0..ROWS).map(|index| row(index, ROWS + index)).collect();
        let labels = vec![3; ROWS];
        for temperature in [1.0, 2.0, 3.7] {
            let case = Case::new(loss(temperature, 0.0), &student, &teacher, &labels);
            check_all(&of_the_cpu, &case);
        }
    }
}

/// NaN with digits of its own, which arithmetic on bits would make a number.
#[test]
fn nan_of_any_bits_is_found() {
    let of_the_cpu = of_the_cpu();
    for bits in [0x7fc0_0001, 0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
        let (mut student, teacher) = (vec![vec![0.5; 1500]; 2], vec![vec![0.25; 1500]; 2]);
        student[1][700] = f32::from_bits(bits);
        for (temperature, alpha) in [(1.0, 1.0), (2.0, 0.5), (3.7, 0.5), (2.0, 0.0)] {
            let case = Case::new(loss(temperature, alpha), &student, &teacher, &[3, 4]);
            for implementation in &of_the_cpu {
                assert_eq!(check(implementation, &case).value.nonfinite_rows, 1, "{}: {bits:x}", implementation.name);
            }
        }
    }
}

/// One logit lies far above a whole tile of equal ones, a little further in each row. In some row, a sum of so many equals is just
/// below half of the last digit of the large one: if such sums were added one by one, all of them would be lost.
#[test]
fn many_small_addends_behind_a_large_one() {
    let of_the_cpu = of_the_cpu();
    small_addends().iter().for_each(|case| check_all(&of_the_cpu, case));
}

pub fn small_addends() -> Vec<Case> {
    let depths = (150..230).map(|tenths| tenths as f32 / 10.0);
    let student: Vec<Vec<f32>> = depths.map(|depth| [vec![0.0], vec![-depth; 4095]].concat()).collect();
    let labels = vec![0; student.len()];
    let kinds = [(1.0, 1.0), (1.0, 0.5), (2.0, 0.5), (3.7, 0.5)];
    kinds.map(|(temperature, alpha)| Case::new(loss(temperature, alpha), &student, &student, &labels)).into()
}

/// A logit whose products with probabilities are finite, and with sums of exponentials are not.
#[test]
fn a_logit_near_the_largest_number() {
    for implementation in of_the_cpu() {
        let case = Case::row(loss(1.0, 0.0), &[3e38, 0.0, 0.0], &[0.0; 3], 1);
        let value = check(&implementation, &case).value;
        assert!(value.loss.is_finite(), "{}: {}", implementation.name, value.loss);
    }
}

/// The contract ends at T = 20. Up to the ends of what is accepted, the loss and the gradient keep five and four digits.
#[test]
fn the_most_extreme_temperatures() {
    for vocab in [50, 1000, 9000, 151_936] {
        let mut random = generate::Random::new(vocab as u64);
        let mut row = || (0..vocab).map(|_| (40.0 * random.unit() - 20.0) as f32).collect::<Vec<f32>>();
        let (student, teacher) = (row(), row());
        for temperature in [*DistillationLoss::TEMPERATURES.start(), *DistillationLoss::TEMPERATURES.end()] {
            let case = Case::row(loss(temperature, 0.0), &student, &teacher, 0);
            let want = run_reference(&case).unwrap();
            for implementation in of_the_cpu() {
                let got = (implementation.run)(&case).unwrap();
                let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
                let differences = &mut got.gradient.iter().zip(&want.gradient).map(|(got, want)| got - want);
                let error = norm(differences) / norm(&mut want.gradient.iter().copied());
                let name = implementation.name;
                assert!(error <= 1e-4, "{name}: T = {temperature}, {vocab} classes: off by {error:e} of the norm");
                assert!(close(got.value.loss, want.value.loss, 1e-5 * want.value.loss), "{name}: T = {temperature}");
            }
        }
    }
}
