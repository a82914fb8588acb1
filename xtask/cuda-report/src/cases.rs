//! What is looked at: the kernels that the planner chooses for a language model's logits on each card.

use kdloss::cuda::plan::{Plan, Problem, plan};
use kdloss::cuda::specialisation::{Specialisation, Terms};
use kdloss::{DType, DistillationLoss};

use crate::cards::{self, Card};

/// Rows of a batch.
pub const ROWS: u32 = 8192;
/// Vocabularies of Llama 2, Llama 3 and Qwen 2.5.
const VOCABULARIES: [u32; 3] = [32_000, 128_256, 151_936];
/// The temperatures at which one exponential is a power of the other, and one at which it is not.
pub const TEMPERATURES: [f64; 4] = [1.0, 2.0, 4.0, 3.0];

/// One kernel, compiled for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelKey {
    pub architecture: u32,
    pub specialisation: Specialisation,
}

/// One batch on one card: both terms, forward and backward.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub card: Card,
    pub dtype: DType,
    pub vocab: u32,
    pub temperature: f64,
    pub plan: Plan,
}

impl Case {
    pub fn loss(&self) -> DistillationLoss {
        DistillationLoss::new().with_temperature(self.temperature)
    }

    pub fn kernel(&self) -> KernelKey {
        KernelKey { architecture: self.card.limits.architecture, specialisation: self.plan.specialisation }
    }

    /// Whether a row is executed alike, instruction by instruction, whatever the card is called.
    pub fn executes_like(&self, other: &Self) -> bool {
        let shape =
            |case: &Self| (case.vocab, case.plan.threads, case.plan.cluster, case.plan.slots, case.plan.shared_bytes);
        self.kernel() == other.kernel() && shape(self) == shape(other)
    }

    /// Elements of a matrix of the batch.
    pub fn elements(&self) -> f64 {
        f64::from(ROWS) * f64::from(self.vocab)
    }
}

/// Every case: card by card, type by type.
pub fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for card in cards::all() {
        for dtype in [DType::F32, DType::Bf16] {
            for vocab in VOCABULARIES {
                for temperature in TEMPERATURES {
                    let terms = Terms::of(&DistillationLoss::new().with_temperature(temperature));
                    let plan = plan(&Problem::new(ROWS, vocab, dtype, terms), &card.limits);
                    all.push(Case { card, dtype, vocab, temperature, plan });
                }
            }
        }
    }
    all
}

/// The kernels of the cases, each once, in the order in which they come.
pub fn kernels(cases: &[Case]) -> Vec<KernelKey> {
    let mut kernels: Vec<KernelKey> = Vec::new();
    for case in cases {
        if !kernels.contains(&case.kernel()) {
            kernels.push(case.kernel());
        }
    }
    kernels
}
