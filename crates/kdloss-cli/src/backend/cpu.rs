//! The processor's cores: as an engine, and measured.

use std::time::Instant;

use kdloss::cpu::{self, floor};
use kdloss::{Batch, DistillationLoss, LossValue, MatrixMut};

use crate::failure::Result;
use crate::machine;
use crate::memory::extra_bytes;

use super::contest::Contest;
use super::engine::Engine;
use super::problem::Problem;

pub(crate) struct Cpu;

impl Engine for Cpu {
    fn device(&self) -> String {
        machine::device()
    }

    fn compiles_and_transfers(&self) -> bool {
        false
    }

    fn evaluate(&self, loss: &DistillationLoss, batch: &Batch<'_>, gradient: Option<&mut [f32]>) -> Result<LossValue> {
        Ok(match gradient {
            None => cpu::forward(loss, batch)?,
            Some(gradient) => {
                let mut gradient = MatrixMut::new(gradient, batch.rows(), batch.vocab());
                cpu::forward_backward(loss, batch, &mut gradient)?
            }
        })
    }
}

pub(crate) struct CpuContest {
    problem: Problem,
    extra_bytes: u64,
}

impl CpuContest {
    pub(crate) fn new(problem: Problem) -> Self {
        Self { problem, extra_bytes: 0 }
    }

    fn compute(&mut self) -> Result<()> {
        let Problem { loss, rows, vocab, stride, .. } = self.problem;
        let (batch, gradient) = self.problem.parts();
        let Some(gradient) = gradient else {
            cpu::forward(&loss, &batch)?;
            return Ok(());
        };
        let mut gradient = MatrixMut::new(gradient, rows, vocab).with_row_stride(stride);
        cpu::forward_backward(&loss, &batch, &mut gradient)?;
        Ok(())
    }
}

impl Contest for CpuContest {
    /// Both matrices read, and the third written past the caches, by as many threads.
    fn floor(&mut self) -> Result<f64> {
        let Problem { student, teacher, gradient, .. } = &mut self.problem;
        let instructions = cpu::instructions()?;
        let start = Instant::now();
        match gradient {
            None => {
                std::hint::black_box(floor::read(instructions, student.logits(), teacher.logits())?);
            }
            Some(gradient) => {
                floor::read_and_write(instructions, student.logits(), teacher.logits(), gradient.logits_mut())?;
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn loss(&mut self) -> Result<f64> {
        let start = Instant::now();
        let (computed, extra_bytes) = extra_bytes(|| self.compute());
        let seconds = start.elapsed().as_secs_f64();
        computed?;
        self.extra_bytes = self.extra_bytes.max(extra_bytes);
        Ok(seconds)
    }

    fn extra_bytes(&self) -> Option<u64> {
        Some(self.extra_bytes)
    }
}
