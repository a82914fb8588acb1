use super::*;
use crate::elements::DType::{Bf16, F16, F32};

/// GPUs by compute capability, with the limits that CUDA's programming guide gives them (table "Technical Specifications
/// per Compute Capability") and the multiprocessors of A100, RTX 3090, RTX 4090, H100, B200 and RTX 5090.
const GPUS: [(u32, u32, u32, u32); 6] = [
    (80, 108, 166_912, 167_936),
    (86, 82, 101_376, 102_400),
    (89, 128, 101_376, 102_400),
    (90, 132, 232_448, 233_472),
    (100, 148, 232_448, 233_472),
    (120, 170, 101_376, 102_400),
];

fn gpu(architecture: u32) -> DeviceLimits {
    let (architecture, multiprocessors, per_cta, per_multiprocessor) =
        GPUS.into_iter().find(|gpu| gpu.0 == architecture).unwrap();
    DeviceLimits::new(architecture, multiprocessors, per_cta, per_multiprocessor)
}

/// A plan in short: B, C or S for the residency, CTAs of a cluster, threads of a CTA, CTAs to a multiprocessor.
fn summary(architecture: u32, vocab: u32, dtype: DType) -> String {
    let plan = plan(&Problem::new(8192, vocab, dtype, Terms::Both), &gpu(architecture));
    let residency = match plan.specialisation.residency {
        Residency::Block => 'B',
        Residency::Cluster => 'C',
        Residency::Stream => 'S',
    };
    format!("{residency}{} {}x{}", plan.cluster, plan.threads, plan.resident)
}

#[test]
fn every_width_type_and_gpu_has_its_plan() {
    #[rustfmt::skip]
    let table = [
        // Llama 2: a pair of bf16 rows is 125 KiB. An H100 shares it out, so that three CTAs overlap.
        (32_000, F32, ["S1 512x2", "S1 512x2", "S1 512x2", "C3 512x2", "C3 512x2", "C6 256x2"]),
        (32_000, Bf16, ["B1 512x1", "S1 512x2", "S1 512x2", "C2 256x3", "C2 256x3", "C3 256x2"]),
        // GPT-2.
        (50_257, F32, ["S1 512x2", "S1 512x2", "S1 512x2", "C4 512x2", "C4 512x2", "C5 512x1"]),
        (50_257, Bf16, ["S1 512x2", "S1 512x2", "S1 512x2", "C2 512x2", "C2 512x2", "C5 256x2"]),
        // Llama 3.
        (128_256, F32, ["S1 512x2", "S1 512x2", "S1 512x2", "C5 1024x1", "C5 1024x1", "S1 512x2"]),
        (128_256, Bf16, ["S1 512x2", "S1 512x2", "S1 512x2", "C5 512x2", "C5 512x2", "C6 512x1"]),
        // Qwen 2.5: 594 KiB in bf16, 1187 KiB in f32.
        (151_936, F32, ["S1 512x2", "S1 512x2", "S1 512x2", "C6 1024x1", "C6 1024x1", "S1 512x2"]),
        (151_936, Bf16, ["S1 512x2", "S1 512x2", "S1 512x2", "C6 512x2", "C6 512x2", "C7 512x1"]),
        // Gemma 3: 2 MiB in f32, more than the 1816 KiB of eight CTAs.
        (262_144, F32, ["S1 512x2", "S1 512x2", "S1 512x2", "S1 512x2", "S1 512x2", "S1 512x2"]),
        (262_144, Bf16, ["S1 512x2", "S1 512x2", "S1 512x2", "C5 1024x1", "C5 1024x1", "S1 512x2"]),
    ];
    for (vocab, dtype, plans) in table {
        for (gpu, want) in GPUS.into_iter().zip(plans) {
            assert_eq!(summary(gpu.0, vocab, dtype), want, "sm_{} {vocab} {dtype}", gpu.0);
        }
    }
    // f16 is as wide as bf16.
    assert_eq!(summary(90, 151_936, F16), summary(90, 151_936, Bf16));
}

/// Every plan of the table, and of widths and types beyond it.
fn all_plans(mut visit: impl FnMut(&Problem, &DeviceLimits, &Plan)) {
    for gpu in GPUS.map(|gpu| super::tests::gpu(gpu.0)) {
        for vocab in [1, 7, 1000, 32_000, 50_257, 65_536, 128_256, 151_936, 200_000, 262_144] {
            for (student, teacher) in [(F32, F32), (F32, Bf16), (Bf16, F32), (Bf16, Bf16), (F16, F16)] {
                for terms in [Terms::Hard, Terms::Soft, Terms::Both, Terms::BothBySquaring(1)] {
                    for gradient in [None, Some(student), Some(F32)] {
                        for rows in [0, 1, 3, 8192] {
                            let problem = Problem { teacher, gradient, ..Problem::new(rows, vocab, student, terms) };
                            visit(&problem, &gpu, &plan(&problem, &gpu));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn plans_keep_the_limits() {
    all_plans(|problem, gpu, plan| {
        let threads = plan.threads;
        let bytes = plan.shared_bytes + STATIC_SHARED;
        assert!(threads.is_power_of_two() && (32..=1024).contains(&threads));
        assert!(bytes <= gpu.shared_per_cta, "{problem:?} {plan:?}");
        assert!(plan.resident * (bytes + RESERVED_SHARED) <= gpu.shared_per_multiprocessor, "{problem:?} {plan:?}");
        assert!(plan.resident >= 1 && plan.resident * threads <= RESIDENT_THREADS);
        assert!(plan.cluster <= gpu.largest_cluster);
        let residency = plan.specialisation.residency;
        assert_eq!(plan.cluster > 1, residency == Residency::Cluster);
        assert_eq!(plan.shared_bytes == 0, residency == Residency::Stream);
        assert!(plan.grid >= plan.cluster && plan.grid.is_multiple_of(plan.cluster));
        assert!(plan.grid <= plan.cluster * problem.rows.max(1));
        assert!(plan.grid <= gpu.multiprocessors * plan.resident);
    });
}

#[test]
fn slots_hold_every_group_however_rows_start() {
    all_plans(|problem, _, plan| {
        let group = plan.specialisation.group() as u32;
        assert!(plan.cluster * plan.slots >= (problem.vocab + group - 1).div_ceil(group));
        // No CTA of a cluster is idle, or the cluster is larger than it needs to be.
        assert!(plan.cluster == 1 || (plan.cluster - 1) * plan.slots < problem.vocab.div_ceil(group));
    });
}

#[test]
fn running_sums_stay_short() {
    all_plans(|_, _, plan| {
        // The first addend meets 0, so that 129 groups are 128 additions.
        assert!(plan.slots.div_ceil(plan.threads) <= 129, "{plan:?}");
    });
}

#[test]
fn what_needs_one_reading_keeps_nothing() {
    let problem = Problem { gradient: None, ..Problem::new(8, 32_000, F32, Terms::Hard) };
    assert_eq!(plan(&problem, &gpu(90)).specialisation.residency, Residency::Stream);
}
