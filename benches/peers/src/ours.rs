//! kdloss, and the least that memory takes.

use std::time::Instant;

use half::bf16;
use kdloss::cpu::{self, floor};
use kdloss::{Batch, DistillationLoss, Elements, ElementsMut, Matrix, MatrixMut};

use crate::Result;
use crate::shape::{ALPHA, Contestant, Shape, TEMPERATURE};

/// Logits in one of the storage types.
enum OwnedElements {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl OwnedElements {
    fn new(shape: Shape, seed: usize) -> Self {
        let values = shape.logits(seed);
        if shape.is_bf16 { Self::Bf16(values.into_iter().map(bf16::from_f32).collect()) } else { Self::F32(values) }
    }

    fn logits(&self) -> Elements<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }

    fn logits_mut(&mut self) -> ElementsMut<'_> {
        match self {
            Self::F32(values) => values.into(),
            Self::Bf16(values) => values.into(),
        }
    }
}

/// Student, teacher, and room for the gradient.
struct Matrices {
    shape: Shape,
    student: OwnedElements,
    teacher: OwnedElements,
    gradient: OwnedElements,
}

impl Matrices {
    fn new(shape: Shape) -> Self {
        let [student, teacher, gradient] = [1, 2, 3].map(|seed| OwnedElements::new(shape, seed));
        Self { shape, student, teacher, gradient }
    }
}

/// Two matrices read and one written, nothing computed.
pub(crate) struct Floor(Matrices);

impl Floor {
    pub(crate) fn new(shape: Shape) -> Self {
        Self(Matrices::new(shape))
    }
}

impl Contestant for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn run(&mut self) -> Result<f64> {
        let Matrices { student, teacher, gradient, .. } = &mut self.0;
        let instructions = cpu::instructions()?;
        let start = Instant::now();
        floor::read_and_write(instructions, student.logits(), teacher.logits(), gradient.logits_mut())?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

/// The CPU path.
pub(crate) struct Kdloss {
    matrices: Matrices,
    labels: Vec<i64>,
}

impl Kdloss {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { matrices: Matrices::new(shape), labels: shape.labels() }
    }
}

impl Contestant for Kdloss {
    fn name(&self) -> &'static str {
        "kdloss"
    }

    fn run(&mut self) -> Result<f64> {
        let Matrices { shape: Shape { rows, vocab, .. }, student, teacher, gradient } = &mut self.matrices;
        let (rows, vocab) = (*rows, *vocab);
        let loss = DistillationLoss::new().with_temperature(TEMPERATURE).with_alpha(ALPHA);
        let batch = Batch::new(Matrix::new(student.logits(), rows, vocab))
            .with_teacher(Matrix::new(teacher.logits(), rows, vocab))
            .with_labels(&self.labels);
        let mut gradient = MatrixMut::new(gradient.logits_mut(), rows, vocab);
        let start = Instant::now();
        cpu::forward_backward(&loss, &batch, &mut gradient)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}
