//! The least time that a case takes, by each of the things that bound it.

use crate::cards::{self, REGISTER_PIECE, REGISTERS, RESERVED_SHARED, SCHEDULERS, SPECIAL_FUNCTIONS};
use crate::cases::Case;
use crate::executed::Executed;
use crate::kernel::Kernel;
use kdloss::cuda::specialisation::Residency;

/// Names of the bounds.
pub const BOUNDS: [&str; 4] = ["memory", "special functions", "f32 units", "issue"];

/// The places of two of them.
pub const SPECIAL_FUNCTION_BOUND: usize = 1;
pub const ISSUE_BOUND: usize = 3;

/// A case, bounded.
#[derive(Debug)]
pub struct Bounded<'a> {
    pub case: &'a Case,
    pub kernel: &'a Kernel,
    pub executed: Executed,
    /// CTAs that fit a multiprocessor.
    pub resident: u32,
    /// Milliseconds, in the order of [`BOUNDS`].
    pub milliseconds: [f64; 4],
}

impl<'a> Bounded<'a> {
    pub fn new(case: &'a Case, kernel: &'a Kernel, executed: Executed) -> Result<Self, String> {
        let resident = resident(case, kernel);
        if resident < case.plan.resident {
            return Err(format!("{resident} CTAs fit a multiprocessor instead of {:?}", case.plan));
        }
        Ok(Self { case, kernel, executed, resident, milliseconds: milliseconds(case, kernel, executed) })
    }

    /// The place of the largest bound.
    pub fn binding(&self) -> usize {
        (0..BOUNDS.len()).max_by(|&a, &b| self.milliseconds[a].total_cmp(&self.milliseconds[b])).unwrap_or(0)
    }

    /// The largest bound over that of memory.
    pub fn over_memory(&self) -> f64 {
        self.milliseconds[self.binding()] / self.milliseconds[0]
    }

    /// The bytes of an element that any kernel moves: two logits and an entry of the gradient.
    pub fn floor(&self) -> f64 {
        3.0 * self.case.dtype.size() as f64
    }
}

/// Bytes of an element that come from memory at least.
///
/// Rows that are read twice may be found in the cache, as far as it holds those that are in work. The gradient drives them out
/// of it sooner. That is left out here: this is a bound from below.
fn bytes_from_memory(case: &Case, executed: Executed) -> f64 {
    if case.plan.specialisation.residency != Residency::Stream {
        return executed.bytes;
    }
    let pair = 2.0 * case.dtype.size() as f64;
    let in_work = f64::from(case.plan.grid) * f64::from(case.vocab) * pair;
    executed.bytes - pair * (case.card.cache / in_work).min(1.0)
}

fn milliseconds(case: &Case, kernel: &Kernel, executed: Executed) -> [f64; 4] {
    let card = &case.card;
    let cycles = f64::from(card.limits.multiprocessors) * card.clock;
    let float_operations = cards::capability(card.limits.architecture).float_operations;
    let seconds = [
        bytes_from_memory(case, executed) / card.bandwidth,
        kernel.special_functions() / (SPECIAL_FUNCTIONS * cycles),
        kernel.float_operations / (float_operations * cycles),
        kernel.instructions() / (32.0 * SCHEDULERS * cycles),
    ];
    seconds.map(|per_element| 1e3 * case.elements() * per_element)
}

/// CTAs that fit a multiprocessor, by threads, registers and shared memory.
fn resident(case: &Case, kernel: &Kernel) -> u32 {
    let (plan, limits) = (&case.plan, &case.card.limits);
    let capability = cards::capability(limits.architecture);
    let warp_registers = (32 * kernel.assembled.registers).next_multiple_of(REGISTER_PIECE);
    let shared = kernel.assembled.shared_bytes + plan.shared_bytes + RESERVED_SHARED;
    [
        capability.ctas,
        capability.threads / plan.threads,
        REGISTERS / (warp_registers * plan.threads / 32),
        limits.shared_per_multiprocessor / shared,
    ]
    .into_iter()
    .min()
    .unwrap_or(0)
}
