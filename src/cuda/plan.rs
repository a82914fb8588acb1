//! How a call is laid out on a GPU: pure functions of shapes and limits, which need no CUDA.
//!
//! A pair of rows should stay on chip between the passes, and memory should be busy all the time. While a CTA merges parts
//! or computes a gradient, it reads nothing. So two CTAs should share a multiprocessor: one reads while the other computes.
//! The planner takes the smallest cluster of which two CTAs fit a multiprocessor; else the smallest that fits at all; else
//! rows are read twice.

use super::specialisation::{Residency, Specialisation, Terms};
use crate::divergence::Divergence;
use crate::elements::DType;

/// What a GPU offers, as the driver's attributes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceLimits {
    /// Compute capability: 90 for 9.0.
    pub architecture: u32,
    /// Number of multiprocessors.
    pub multiprocessors: u32,
    /// Bytes of shared memory that a CTA can have, if it asks for them.
    pub shared_per_cta: u32,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_per_multiprocessor: u32,
    /// CTAs of the largest cluster: 8 on every GPU that has clusters, 1 on those that do not.
    pub largest_cluster: u32,
}

/// Bytes of shared memory that the system takes of each CTA's.
const RESERVED_SHARED: u32 = 1024;

/// At least the bytes of shared memory that the kernel has besides rows: what warps exchange, and a few numbers.
pub const STATIC_SHARED: u32 = 2048;

/// Threads that share a multiprocessor: each has 64 registers of its 65 536.
pub const RESIDENT_THREADS: u32 = 1024;

impl DeviceLimits {
    /// The limits of a compute capability, with as many multiprocessors.
    #[must_use]
    pub fn new(architecture: u32, multiprocessors: u32, shared_per_cta: u32, shared_per_multiprocessor: u32) -> Self {
        let largest_cluster = if architecture >= 90 { 8 } else { 1 };
        Self { architecture, multiprocessors, shared_per_cta, shared_per_multiprocessor, largest_cluster }
    }

    /// Sets the CTAs of the largest cluster.
    #[must_use]
    pub fn with_largest_cluster(mut self, ctas: u32) -> Self {
        self.largest_cluster = ctas;
        self
    }
}

/// What there is to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Number of rows.
    pub rows: u32,
    /// Columns that are classes.
    pub vocab: u32,
    /// Storage type of the student's logits.
    pub student: DType,
    /// Storage type of the teacher's logits.
    pub teacher: DType,
    /// Storage type of the gradient, if it is wanted.
    pub gradient: Option<DType>,
    /// The terms that are computed.
    pub terms: Terms,
    /// What the soft term compares by.
    pub divergence: Divergence,
    /// Whether all matrices are cut into 16-byte vectors at the same columns, in every row.
    pub wide: bool,
}

impl Problem {
    /// Forward KL and the gradient, everything in one storage type and aligned.
    #[must_use]
    pub fn new(rows: u32, vocab: u32, dtype: DType, terms: Terms) -> Self {
        let divergence = Divergence::ForwardKl;
        Self { rows, vocab, student: dtype, teacher: dtype, gradient: Some(dtype), terms, divergence, wide: true }
    }
}

/// How a call is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The kernel.
    pub specialisation: Specialisation,
    /// CTAs that share a row: 1 unless the residency is [`Residency::Cluster`].
    pub cluster: u32,
    /// Threads of a CTA, a power of two from 32 to 1024.
    pub threads: u32,
    /// CTAs of the grid, whole clusters.
    pub grid: u32,
    /// CTAs that share a multiprocessor.
    pub resident: u32,
    /// Groups of a row that a CTA keeps on chip, or its share of them where none are kept.
    pub slots: u32,
    /// Bytes of dynamic shared memory of a CTA.
    pub shared_bytes: u32,
}

/// Lays out a call.
///
/// ```
/// use kdloss::DType;
/// use kdloss::cuda::plan::{DeviceLimits, Problem, plan};
/// use kdloss::cuda::specialisation::{Residency, Terms};
///
/// let h100 = DeviceLimits::new(90, 132, 232_448, 233_472);
/// let plan = plan(&Problem::new(8192, 151_936, DType::Bf16, Terms::Both), &h100);
/// assert_eq!((plan.specialisation.residency, plan.cluster, plan.resident), (Residency::Cluster, 6, 2));
/// ```
#[must_use]
pub fn plan(problem: &Problem, limits: &DeviceLimits) -> Plan {
    let on_chip = (1..=limits.largest_cluster).filter_map(|cluster| on_chip(problem, limits, cluster));
    let needs_two_readings = kernel(problem, Residency::Stream).has_second_pass();
    let fitting: Vec<Plan> = on_chip.filter(|_| needs_two_readings).collect();
    let overlapping = fitting.iter().find(|plan| plan.resident >= 2);
    overlapping.or(fitting.first()).copied().unwrap_or_else(|| streaming(problem, limits))
}

/// A plan that keeps rows in the shared memory of so many CTAs, if they fit.
fn on_chip(problem: &Problem, limits: &DeviceLimits, cluster: u32) -> Option<Plan> {
    let residency = if cluster == 1 { Residency::Block } else { Residency::Cluster };
    let slots = groups(problem).div_ceil(cluster);
    let slot_bytes = {
        let teacher = if problem.terms.has_soft() { problem.teacher.size() } else { 0 };
        kernel(problem, residency).group() * (problem.student.size() + teacher)
    };
    let shared_bytes = slots.checked_mul(slot_bytes as u32)?;
    let bytes = shared_bytes.checked_add(STATIC_SHARED)?;
    let resident = limits.shared_per_multiprocessor / bytes.checked_add(RESERVED_SHARED)?;
    if bytes > limits.shared_per_cta || resident == 0 {
        return None;
    }
    // A CTA that has a multiprocessor to itself takes all its threads.
    let threads = threads(slots, if resident == 1 { RESIDENT_THREADS } else { RESIDENT_THREADS / 2 });
    let specialisation = kernel(problem, residency);
    Some(laid_out(problem, limits, Plan { specialisation, cluster, threads, grid: 0, resident, slots, shared_bytes }))
}

/// A plan that reads rows twice.
fn streaming(problem: &Problem, limits: &DeviceLimits) -> Plan {
    let slots = groups(problem);
    let threads = threads(slots, RESIDENT_THREADS / 2);
    let (specialisation, resident) = (kernel(problem, Residency::Stream), RESIDENT_THREADS);
    laid_out(problem, limits, Plan { specialisation, cluster: 1, threads, grid: 0, resident, slots, shared_bytes: 0 })
}

/// Fills every multiprocessor as far as registers allow too, but takes no more clusters than there are rows.
fn laid_out(problem: &Problem, limits: &DeviceLimits, mut plan: Plan) -> Plan {
    plan.resident = plan.resident.min(RESIDENT_THREADS / plan.threads);
    let clusters = (limits.multiprocessors * plan.resident / plan.cluster).clamp(1, problem.rows.max(1));
    plan.grid = clusters * plan.cluster;
    plan
}

fn kernel(problem: &Problem, residency: Residency) -> Specialisation {
    Specialisation {
        student: problem.student,
        teacher: if problem.terms.has_soft() { problem.teacher } else { problem.student },
        gradient: problem.gradient,
        terms: problem.terms,
        divergence: problem.divergence,
        residency,
        wide: problem.wide,
    }
}

/// Groups of a row at most, wherever it starts between two 16-byte vectors.
fn groups(problem: &Problem) -> u32 {
    let group = kernel(problem, Residency::Stream).group() as u64;
    // A vocabulary is 32 bits wide, so a number of groups is too.
    (u64::from(problem.vocab) + group - 1).div_ceil(group) as u32
}

/// A power of two, such that each thread has four groups or more.
fn threads(groups: u32, most: u32) -> u32 {
    1 << (groups / 4).clamp(32, most).ilog2()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
