//! The loss on candle's graph, against candle's own operations composed in `f64`: values, and gradients by `backward`.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::log_softmax;
use kdloss_candle::{DistillationLoss, IgnoredRows, Reduction, distillation_loss};

const ROWS: usize = 6;
const VOCAB: usize = 37;
const LABELS: [i64; ROWS] = [3, 36, -100, 0, 12, -100];

/// How a variable becomes the student's logits, or how a loss is used.
type Map = fn(&Tensor) -> Result<Tensor>;

/// Logits that look random and are the same in every run.
fn logits(shape: &[usize], seed: u64) -> Tensor {
    let mut random = fastrand::Rng::with_seed(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.f32() * 8.0 - 4.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn labels() -> Tensor {
    Tensor::new(&LABELS, &Device::Cpu).unwrap()
}

/// The loss from candle's operations. Both logits have the same width here.
fn composed(student: &Tensor, teacher: &Tensor, labels: &Tensor, loss: &DistillationLoss) -> Result<Tensor> {
    let shape = labels.shape();
    let rows = |logits: &Tensor| logits.contiguous()?.to_dtype(DType::F64)?.flatten_to(D::Minus2);
    let (student, teacher, labels) = (rows(student)?, rows(teacher)?, labels.flatten_all()?);

    let labelled = labels.ne(-100i64)?.to_dtype(DType::F64)?;
    let counts = if loss.ignored_rows == IgnoredRows::Skip { labelled.clone() } else { labelled.ones_like()? };
    let class = labels.maximum(0i64)?.unsqueeze(1)?;
    let hard = (log_softmax(&student, 1)?.gather(&class, 1)?.squeeze(1)?.neg()? * &labelled)?;

    let temperature = loss.temperature;
    let log_p = log_softmax(&(teacher / temperature)?, 1)?;
    let log_q = log_softmax(&(student / temperature)?, 1)?;
    let divergence = (log_p.exp()? * (log_p - log_q)?)?.sum(1)?;
    let soft = ((divergence * temperature.powi(2))? * &counts)?;

    let count = |rows: &Tensor| rows.sum_all()?.to_scalar::<f64>();
    let (hard_rows, soft_rows) = match loss.reduction {
        Reduction::Mean => (count(&labelled)?, count(&counts)?),
        Reduction::DividedBy(rows) => (rows, rows),
        _ => (1.0, 1.0),
    };
    let mixed = ((hard * (loss.alpha / hard_rows))? + (soft * ((1.0 - loss.alpha) / soft_rows))?)?;
    let reduced = if loss.reduction == Reduction::None { mixed.reshape(shape)? } else { mixed.sum_all()? };
    reduced.to_dtype(DType::F32)
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// Every number within `tolerance` of the largest expected one. A NaN is never within.
#[track_caller]
fn assert_close(ours: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(ours.dims(), expected.dims());
    let (ours, expected) = (values(ours).unwrap(), values(expected).unwrap());
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (index, (ours, expected)) in ours.iter().zip(&expected).enumerate() {
        let near = (ours - expected).abs() <= tolerance * largest;
        assert!(near, "element {index} is {ours} and not {expected} (largest {largest})");
    }
}

/// One comparison: a variable, how it becomes the student's logits, and how the loss is used.
struct Case {
    variable: Tensor,
    student: Map,
    teacher: Tensor,
    labels: Tensor,
    usage: Map,
    loss: DistillationLoss,
    tolerance: f32,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            variable: logits(&[ROWS, VOCAB], 1),
            student: |variable| Ok(variable.clone()),
            teacher: logits(&[ROWS, VOCAB], 2),
            labels: labels(),
            usage: |loss| Ok(loss.clone()),
            loss: DistillationLoss::new(),
            tolerance: 1e-6,
        }
    }
}

impl Case {
    /// Compares the value, and the gradient that arrives at the variable.
    #[track_caller]
    fn check(&self) {
        let evaluate = |ours: bool| -> Result<(Tensor, Tensor)> {
            let variable = Var::from_tensor(&self.variable)?;
            let student = (self.student)(&variable)?;
            let loss = if ours {
                distillation_loss(&student, &self.teacher, &self.labels, &self.loss)?
            } else {
                composed(&student, &self.teacher, &self.labels, &self.loss)?
            };
            let used = (self.usage)(&loss)?;
            let gradient = used.backward()?.remove(&variable).expect("the student is a variable");
            assert_eq!(gradient.dtype(), variable.dtype());
            Ok((used, gradient))
        };
        let (value, gradient) = evaluate(true).unwrap();
        let (expected_value, expected_gradient) = evaluate(false).unwrap();
        assert_eq!(value.dtype(), DType::F32);
        assert_close(&value, &expected_value, 1e-6);
        assert_close(&gradient, &expected_gradient, self.tolerance);
    }
}

fn all_settings() -> Vec<DistillationLoss> {
    let mut settings = Vec::new();
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None, Reduction::DividedBy(5.5)] {
        for alpha in [0.0, 0.5, 1.0] {
            for ignored_rows in [IgnoredRows::Skip, IgnoredRows::SoftOnly] {
                let loss = DistillationLoss::new().with_temperature(3.0).with_alpha(alpha);
                settings.push(loss.with_reduction(reduction).with_ignored_rows(ignored_rows));
            }
        }
    }
    settings
}

#[test]
fn every_setting_agrees_with_composed_operations() {
    for loss in all_settings() {
        Case { loss, ..Case::default() }.check();
    }
}

#[test]
fn every_layout_of_the_student_agrees() {
    let layouts: [(&[usize], Map); 7] = [
        (&[ROWS + 5, VOCAB], |t| t.narrow(0, 3, ROWS)),
        (&[ROWS, VOCAB + 8], |t| t.narrow(1, 5, VOCAB)),
        (&[ROWS + 2, VOCAB + 3], |t| t.narrow(0, 1, ROWS)?.narrow(1, 2, VOCAB)),
        (&[VOCAB, ROWS], |t| t.t()),
        (&[1, VOCAB], |t| t.broadcast_as((ROWS, VOCAB))),
        (&[ROWS, 2, VOCAB], |t| t.narrow(1, 1, 1)?.squeeze(1)),
        (&[ROWS, VOCAB, 2], |t| t.narrow(2, 1, 1)?.squeeze(2)),
    ];
    for (shape, student) in layouts {
        for reduction in [Reduction::Mean, Reduction::None] {
            let loss = DistillationLoss::new().with_reduction(reduction);
            Case { variable: logits(shape, 3), student, loss, ..Case::default() }.check();
        }
    }
}

#[test]
fn every_layout_of_teacher_and_labels_agrees() {
    let teachers = [
        logits(&[ROWS + 5, VOCAB], 4).narrow(0, 3, ROWS),
        logits(&[ROWS, VOCAB + 8], 4).narrow(1, 5, VOCAB),
        logits(&[VOCAB, ROWS], 4).t(),
        logits(&[1, VOCAB], 4).broadcast_as((ROWS, VOCAB)),
    ];
    for teacher in teachers {
        Case { teacher: teacher.unwrap(), ..Case::default() }.check();
    }
    let columns = Tensor::stack(&[labels(), labels().zeros_like().unwrap()], 1).unwrap();
    Case { labels: columns.narrow(1, 0, 1).unwrap().squeeze(1).unwrap(), ..Case::default() }.check();
}

#[test]
fn leading_dimensions_are_rows() {
    let layouts: [(&[usize], Map); 5] = [
        (&[2, 3, VOCAB], |t| Ok(t.clone())),
        (&[2, 4, VOCAB], |t| t.narrow(1, 1, 3)),
        (&[2, 3, VOCAB + 4], |t| t.narrow(2, 4, VOCAB)),
        (&[3, 2, VOCAB], |t| t.transpose(0, 1)),
        (&[2, 1, VOCAB], |t| t.broadcast_as((2, 3, VOCAB))),
    ];
    for (shape, student) in layouts {
        for loss in all_settings() {
            let (teacher, labels) = (logits(&[2, 3, VOCAB], 5), labels().reshape((2, 3)).unwrap());
            Case { variable: logits(shape, 6), student, teacher, labels, loss, ..Case::default() }.check();
        }
    }
}

#[test]
fn a_single_row_needs_no_leading_dimension() {
    let (teacher, label) = (logits(&[VOCAB], 7), Tensor::new(4i64, &Device::Cpu).unwrap());
    let ours = distillation_loss(&logits(&[VOCAB], 8), &teacher, &label, &DistillationLoss::new()).unwrap();
    let (teacher, label) = (teacher.unsqueeze(0).unwrap(), label.unsqueeze(0).unwrap());
    let expected = composed(&logits(&[1, VOCAB], 8), &teacher, &label, &DistillationLoss::new()).unwrap();
    assert_close(&ours, &expected, 1e-6);
}

#[test]
fn sixteen_bit_types_mix() {
    // Half a unit in the last place of the student's type, and what candle's own cast of the f64 gradient rounds.
    let types = [(DType::F32, 1e-6), (DType::F16, 1e-3), (DType::BF16, 8e-3)];
    for (student, tolerance) in types {
        for (teacher, _) in types {
            let variable = logits(&[ROWS, VOCAB], 9).to_dtype(student).unwrap();
            let teacher = logits(&[ROWS, VOCAB], 10).to_dtype(teacher).unwrap();
            Case { variable, teacher, tolerance, ..Case::default() }.check();
        }
    }
}

#[test]
fn a_loss_scale_reaches_f16_gradients_before_they_are_rounded() -> Result<()> {
    let rows = 4096;
    let loss = DistillationLoss::new().with_alpha(0.0);
    let gradient_of = |dtype: DType| -> Result<Vec<f32>> {
        let student = Var::from_tensor(&logits(&[rows, VOCAB], 11).to_dtype(DType::F16)?.to_dtype(dtype)?)?;
        let loss = (distillation_loss(&student, &logits(&[rows, VOCAB], 12), None, &loss)? * 4096.0)?;
        values(loss.backward()?.get(&student).expect("the student is a variable"))
    };
    let (half, single) = (gradient_of(DType::F16)?, gradient_of(DType::F32)?);
    // 2⁻¹¹ is half a unit in the last place; below 6e-5 f16 has fewer digits whatever is done.
    let near = |(half, single): (&f32, &f32)| (half - single).abs() <= single.abs() / 2048.0 + 3e-8;
    assert!(half.iter().zip(&single).all(near));
    assert!(single.iter().any(|entry| entry.abs() / 4096.0 > 1e-5), "some of them would have lost digits");
    Ok(())
}

#[test]
fn the_gradient_from_above_multiplies() {
    let weigh_rows =
        |loss: &Tensor| (loss * Tensor::new(&[0.5f32, -2.0, 3.0, 1.0, 0.0, 7.0], &Device::Cpu)?)?.sum_all();
    let usages: [(Reduction, Map); 6] = [
        (Reduction::Mean, |loss| loss * 3.0),
        (Reduction::Mean, |loss| loss + loss),
        (Reduction::Mean, |loss| loss * loss),
        (Reduction::None, |loss| loss.mean_all()),
        (Reduction::None, |loss| loss.sqr()?.sum_all()),
        (Reduction::None, weigh_rows),
    ];
    for (reduction, usage) in usages {
        for ignored_rows in [IgnoredRows::Skip, IgnoredRows::SoftOnly] {
            let loss = DistillationLoss::new().with_reduction(reduction).with_ignored_rows(ignored_rows);
            Case { loss, usage, ..Case::default() }.check();
            let variable = logits(&[ROWS, VOCAB], 1).to_dtype(DType::BF16).unwrap();
            Case { variable, loss, usage, tolerance: 8e-3, ..Case::default() }.check();
        }
    }
}

#[test]
fn backward_runs_twice() -> Result<()> {
    let student = Var::from_tensor(&logits(&[ROWS, VOCAB], 13))?;
    let loss = distillation_loss(&student, &logits(&[ROWS, VOCAB], 14), &labels(), &DistillationLoss::new())?;
    let first = loss.backward()?;
    let second = loss.backward()?;
    let [first, second] = [first, second].map(|mut store| store.remove(&student).unwrap());
    assert!(values(&first)?.iter().any(|entry| *entry != 0.0));
    assert_eq!(values(&first)?, values(&second)?);
    Ok(())
}

#[test]
fn padding_of_the_vocabulary_is_not_read_and_gets_no_gradient() -> Result<()> {
    let wide = |seed: u64| -> Result<Tensor> {
        let padding = Tensor::full(f32::NAN, (ROWS, 3), &Device::Cpu)?;
        Tensor::cat(&[logits(&[ROWS, VOCAB], seed), padding], 1)
    };
    let loss = DistillationLoss::new();
    let expected = distillation_loss(&logits(&[ROWS, VOCAB], 15), &logits(&[ROWS, VOCAB], 16), &labels(), &loss)?;

    let teacher_padded = distillation_loss(&logits(&[ROWS, VOCAB], 15), &wide(16)?, &labels(), &loss)?;
    assert_eq!(values(&teacher_padded)?, values(&expected)?);

    let student = Var::from_tensor(&wide(15)?)?;
    let student_padded = distillation_loss(&student, &logits(&[ROWS, VOCAB], 16), &labels(), &loss)?;
    assert_eq!(values(&student_padded)?, values(&expected)?);
    let gradient = student_padded.backward()?.remove(&student).unwrap();
    assert_eq!(values(&gradient.narrow(1, VOCAB, 3)?)?, [0.0; 3 * ROWS]);
    assert!(values(&gradient)?.iter().all(|entry| entry.is_finite()));
    Ok(())
}

#[test]
fn what_alpha_does_not_need_may_be_missing() -> Result<()> {
    let (student, teacher) = (Var::from_tensor(&logits(&[ROWS, VOCAB], 17))?, logits(&[ROWS, VOCAB], 18));
    let classes = Tensor::new(&[1u32, 2, 3, 4, 5, 6], &Device::Cpu)?;
    let hard = DistillationLoss::new().with_alpha(1.0);
    let ours = distillation_loss(&student, None, &classes, &hard)?;
    let theirs = candle_nn::loss::cross_entropy(&student, &classes)?;
    assert_close(&ours, &theirs, 1e-6);
    let [ours, theirs] = [ours, theirs].map(|loss| loss.backward().unwrap().remove(&student).unwrap());
    assert_close(&ours, &theirs, 2e-6);

    let soft = DistillationLoss::new().with_alpha(0.0);
    let ours = distillation_loss(&student, &teacher, None, &soft)?;
    let theirs = composed(&student, &teacher, &classes.to_dtype(DType::I64)?, &soft)?;
    assert_close(&ours, &theirs, 1e-6);

    let error = distillation_loss(&student, None, &classes, &soft).unwrap_err().to_string();
    assert!(error.contains("needs teacher logits"), "{error}");
    let error = distillation_loss(&student, &teacher, None, &hard).unwrap_err().to_string();
    assert!(error.contains("needs labels"), "{error}");
    Ok(())
}

#[test]
fn a_student_without_variables_gives_the_same_value() -> Result<()> {
    let (student, teacher) = (logits(&[ROWS, VOCAB], 19), logits(&[ROWS, VOCAB], 20));
    for loss in all_settings() {
        let plain = distillation_loss(&student, &teacher, &labels(), &loss)?;
        let tracked = distillation_loss(Var::from_tensor(&student)?.as_tensor(), &teacher, &labels(), &loss)?;
        assert!(!plain.track_op() && tracked.track_op());
        assert_eq!(values(&plain)?, values(&tracked)?);
    }
    Ok(())
}

#[test]
fn labels_may_be_of_any_integer_type() -> Result<()> {
    let (student, teacher) = (logits(&[ROWS, VOCAB], 21), logits(&[ROWS, VOCAB], 22));
    let loss = |labels: &Tensor| values(&distillation_loss(&student, &teacher, labels, &DistillationLoss::new())?);
    for dtype in [DType::I32, DType::I16] {
        assert_eq!(loss(&labels().to_dtype(dtype)?)?, loss(&labels())?);
    }
    let classes = labels().abs()?.minimum(36i64)?;
    for dtype in [DType::U32, DType::U8] {
        assert_eq!(loss(&classes.to_dtype(dtype)?)?, loss(&classes)?);
    }
    Ok(())
}

#[test]
fn batches_without_rows_are_fine() -> Result<()> {
    let corner = logits(&[ROWS, VOCAB + 2], 23).narrow(0, ROWS, 0)?.narrow(1, 2, VOCAB)?;
    let labels = labels().narrow(0, 0, 0)?;
    let loss = distillation_loss(&corner, &corner, &labels, &DistillationLoss::new())?;
    assert_eq!(loss.to_scalar::<f32>()?, 0.0);
    let rows = DistillationLoss::new().with_reduction(Reduction::None);
    assert_eq!(distillation_loss(&corner, &corner, &labels, &rows)?.dims(), [0]);
    Ok(())
}

#[test]
fn mistakes_are_named() -> Result<()> {
    let (student, teacher, labels) = (logits(&[ROWS, VOCAB], 24), logits(&[ROWS, VOCAB], 25), labels());
    let tracked = Var::from_tensor(&teacher)?;
    let scalar = Tensor::new(1f32, &Device::Cpu)?;
    let out_of_range = Tensor::new(&[0i64, 1, 2, 37, 4, 5], &Device::Cpu)?;
    let cases: [(&Tensor, &Tensor, &Tensor, &str); 12] = [
        (&student, &tracked, &labels, "teacher.detach()"),
        (&student, &(tracked.as_tensor() * 2.0)?, &labels, "teacher.detach()"),
        (&scalar, &teacher, &labels, "the student is a scalar"),
        (&student, &scalar, &labels, "the teacher is a scalar"),
        (&student.to_dtype(DType::F64)?, &teacher, &labels, "the student has dtype f64"),
        (&student, &teacher.to_dtype(DType::U8)?, &labels, "the teacher has dtype u8"),
        (&student, &teacher, &labels.to_dtype(DType::F32)?, "the labels have dtype f32"),
        (
            &student,
            &teacher,
            &labels.narrow(0, 0, 5)?,
            "the rows of the labels have shape [5], but those of the student [6]",
        ),
        (&student, &teacher, &labels.unsqueeze(1)?, "the rows of the labels have shape [6, 1]"),
        (
            &student,
            &teacher.narrow(0, 0, 4)?,
            &labels,
            "the rows of the teacher have shape [4], but those of the student [6]",
        ),
        (&student, &teacher, &out_of_range, "row 3 has label 37"),
        (&student.narrow(1, 0, 0)?, &teacher, &labels, "the vocabulary is empty"),
    ];
    for (student, teacher, labels, expected) in cases {
        let error = distillation_loss(student, teacher, labels, &DistillationLoss::new()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
    let cold = DistillationLoss::new().with_temperature(0.0);
    let error = distillation_loss(&student, &teacher, &labels, &cold).unwrap_err().to_string();
    assert!(error.contains("temperature 0 lies outside 0.0001..=10000"), "{error}");
    assert!(distillation_loss(&student, &tracked.detach(), &labels, &DistillationLoss::new()).is_ok());
    Ok(())
}
