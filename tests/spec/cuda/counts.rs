//! What the kernels move and compute, counted while their PTX is executed: bars that are not to be crossed.

use kdloss::cuda::specialisation::{Residency, Terms};
use kdloss::{DType, DistillationLoss, Target};
use ptx::Traffic;

use crate::case::Case;
use crate::cuda::executed::{Gpu, Run, execute};
use crate::cuda::kernels;
use crate::generate::{self, Rows};

/// Vocabularies of Llama 2 and Qwen 2.5; the second in bf16 is more than one CTA holds.
const CASES: [(usize, Residency, u32); 3] =
    [(32_000, Residency::Block, 1), (32_000, Residency::Cluster, 2), (151_936, Residency::Cluster, 6)];

fn case(rows: usize, vocab: usize, dtype: DType, temperature: f64) -> Case {
    let Rows { student, teacher, mut labels } = generate::rows(61, rows, vocab, 3.0);
    labels.iter_mut().for_each(|label| *label = (*label).max(0));
    let loss = DistillationLoss::new().with_temperature(temperature);
    Case::new(loss, &student, &teacher, &labels).stored_as(dtype, dtype, dtype)
}

fn counted(gpu: &Gpu, case: &Case, target: Target<()>) -> Run {
    let run = execute(gpu, case, target).unwrap();
    run.read(case).unwrap();
    run
}

fn traffic(run: &Run, name: &str) -> Traffic {
    run.memory.all_traffic().find(|(other, _)| *other == name).map_or_else(Traffic::default, |(_, traffic)| traffic)
}

#[test]
fn logits_are_read_once_and_the_gradient_is_written_once() {
    if !kernels::are_there() {
        return;
    }
    for (vocab, residency, cluster) in CASES {
        for dtype in [DType::F32, DType::Bf16] {
            if vocab == 151_936 && dtype == DType::F32 {
                continue; // a matter of size, not of the kernel
            }
            let rows = 4;
            let case = case(rows, vocab, dtype, 2.0);
            let run = counted(&Gpu { cluster, ..Gpu::new(residency) }, &case, Target::Separate(()));
            let matrix = (rows * vocab * dtype.size()) as u64;
            let label_logits = (rows * dtype.size()) as u64;
            assert_eq!(traffic(&run, "student").read, matrix + label_logits, "and the labels' logits");
            assert_eq!(traffic(&run, "teacher").read, matrix);
            assert_eq!(traffic(&run, "gradient").written, matrix);
            assert!(run.memory.writes(run.gradient.unwrap()).iter().all(|&count| count == 1));
            let floor = 3 * matrix;
            let mut beside = label_logits;
            println!(
                "{residency:?} of {cluster}, {dtype}, {rows} x {vocab}: floor {floor} bytes; beside it, label logits {label_logits}"
            );
            for name in ["labels", "records", "totals"] {
                let Traffic { read, written, .. } = traffic(&run, name);
                println!("    {name}: {read} read, {written} written");
                beside += read + written;
            }
            assert!(100 * beside < floor, "{beside} bytes beside {floor}");
        }
    }
}

#[test]
fn a_stream_reads_twice() {
    if !kernels::are_there() {
        return;
    }
    let case = case(3, 32_000, DType::Bf16, 2.0);
    let run = counted(&Gpu::new(Residency::Stream), &case, Target::Separate(()));
    let matrix = (3 * 32_000 * 2) as u64;
    assert_eq!(traffic(&run, "student").read, 2 * matrix + 6);
    assert_eq!((traffic(&run, "teacher").read, traffic(&run, "gradient").written), (2 * matrix, matrix));
}

#[test]
fn logits_and_gradient_move_in_vectors_of_16_bytes() {
    if !kernels::are_there() {
        return;
    }
    for residency in [Residency::Block, Residency::Cluster, Residency::Stream] {
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            // Rows of an odd width, whose phases agree and differ from row to row.
            let (rows, vocab) = (3, 32_001);
            let run = counted(&Gpu::new(residency), &case(rows, vocab, dtype, 2.0), Target::Separate(()));
            for name in ["student", "teacher", "gradient"] {
                let Traffic { accesses, .. } = traffic(&run, name);
                // The first and the last group of a row go element by element; so does the label's logit.
                let passes = if residency == Residency::Stream && name != "gradient" { 2 } else { 1 };
                let most = (rows * passes * 2 * (16 / dtype.size()) + rows) as u64;
                let single = accesses[..4].iter().sum::<u64>();
                assert!(single <= most, "{residency:?} {dtype} {name}: {accesses:?}");
                assert!(accesses[4] * 16 >= (passes * rows * (vocab - 16) * dtype.size()) as u64);
            }
        }
    }
}

#[test]
fn special_functions_per_element() {
    if !kernels::are_there() {
        return;
    }
    for (temperature, most) in [(1.0, 4.1), (2.0, 4.1), (4.0, 4.1), (3.0, 5.1)] {
        for (vocab, residency, cluster) in CASES.into_iter().chain([(32_000, Residency::Stream, 1)]) {
            for dtype in [DType::F32, DType::Bf16] {
                if vocab == 151_936 && dtype == DType::F32 {
                    continue;
                }
                let case = case(2, vocab, dtype, temperature);
                let run = counted(&Gpu { cluster, ..Gpu::new(residency) }, &case, Target::Separate(()));
                let report = run.report.as_ref().unwrap();
                let elements = (2 * vocab) as f64;
                let special = report.special_functions() as f64 / elements;
                let all = report.instructions() as f64 / elements;
                println!(
                    "{residency:?} of {cluster}, {dtype}, {vocab}, T = {temperature}, {} threads: {special:.3} special \
                     functions, {all:.1} PTX instructions per element",
                    run.plan.threads
                );
                assert!(special <= most, "{special} at T = {temperature}");
            }
        }
    }
}

#[test]
fn terms_that_are_not_computed_cost_nothing() {
    if !kernels::are_there() {
        return;
    }
    let (rows, vocab) = (2, 32_000);
    for (alpha, terms, most) in [(1.0, Terms::Hard, 2.1), (0.0, Terms::Soft, 4.1)] {
        let mut case = case(rows, vocab, DType::Bf16, 2.0);
        case.loss = case.loss.with_alpha(alpha);
        let run = counted(&Gpu::new(Residency::Block), &case, Target::Separate(()));
        assert_eq!(run.plan.specialisation.terms, terms);
        let special = run.report.as_ref().unwrap().special_functions() as f64 / (rows * vocab) as f64;
        assert!(special <= most, "{special} at alpha = {alpha}");
        let teacher = if alpha == 1.0 { 0 } else { (rows * vocab * 2) as u64 };
        assert_eq!(traffic(&run, "teacher").read, teacher);
    }
}
