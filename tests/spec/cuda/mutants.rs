//! CUDA kernels broken on purpose, one edit at a time: each must be caught, and what caught it is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kdloss::cuda::specialisation::{Residency, source};
use kdloss::{DType, Error, Target};

use super::executed::{Gpu, execute, run, run_in_place};
use super::kernels::{self, Edit};
use super::mutations::{Mutant, OF_ROWS, OF_SYNCHRONISATION};
use crate::case::{Buffer, Case};
use crate::contract::check;
use crate::implementations::{Implementation, run_reference};
use crate::trials::trials;

/// What is wrong with a kernel on a case, if anything is.
fn complaint(gpu: &Gpu, case: &Case) -> Option<String> {
    let expected = run_reference(case);
    let result = catch_unwind(AssertUnwindSafe(|| match &expected {
        Ok(_) => {
            for (name, run) in [("cuda", run as fn(&Gpu, &Case) -> _), ("cuda in place", run_in_place)] {
                let gpu = gpu.clone();
                let run = Box::new(move |case: &Case| run(&gpu, case));
                check(&Implementation { name, contract_factor: 2.0, run }, case);
            }
            assert_nearest(gpu, case);
        }
        Err(error) => {
            let run = execute(gpu, case, Target::Separate(())).unwrap();
            assert_eq!(run.read(case).err().as_ref(), Some(error));
            if let Error::LabelOutOfRange { row, vocab, .. } = error {
                let entries = run.gradient_of(case).row(*row, *vocab);
                assert!(entries.iter().all(|entry| entry.is_nan()), "a row whose label is no class has a gradient");
            }
        }
    }));
    result.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
    })
}

/// A 16-bit gradient is the nearest to the one in f32, ties to even.
fn assert_nearest(gpu: &Gpu, case: &Case) {
    let dtype = case.gradient.dtype;
    if dtype == DType::F32 {
        return;
    }
    let mut exact = case.clone();
    exact.gradient.dtype = DType::F32;
    let exact: Vec<f32> = run(gpu, &exact).unwrap().gradient.iter().map(|&entry| entry as f32).collect();
    let rounded = Buffer::from_f32(dtype, &exact);
    let got = run(gpu, case).unwrap().gradient;
    assert!(
        got.iter().enumerate().all(|(index, &entry)| crate::contract::close(entry, f64::from(rounded.get(index)), 0.0)),
        "not the nearest of {dtype}"
    );
}

fn every_mutant_is_caught(mutants: &[Mutant]) {
    if !kernels::are_there() {
        return;
    }
    let trials = trials();
    let gpu = |residency, edit| Gpu { edit, threads: Some(64), noise: false, ..Gpu::new(residency) };
    for residency in [Residency::Block, Residency::Cluster, Residency::Stream] {
        for (name, case) in &trials {
            assert_eq!(complaint(&gpu(residency, Edit::default()), case), None, "the kernel as it is, on {name}");
        }
    }
    let mut survivors = Vec::new();
    for &Mutant { name, residency, from, to } in mutants {
        assert!(source().contains(from), "no kernel contains what {name} edits");
        let gpu = gpu(residency, Edit { from, to, options: Vec::new() });
        match trials.iter().find_map(|(trial, case)| complaint(&gpu, case).map(|complaint| (trial, complaint))) {
            Some((_, complaint)) if complaint.contains("an edit must leave") => panic!("{name} does not compile"),
            Some((trial, complaint)) => println!("caught: {name}, on {trial}, by {}", summary(&complaint)),
            None => survivors.push(name),
        }
    }
    assert!(survivors.is_empty(), "nothing notices: {survivors:#?}");
}

/// A complaint without what it says about the plan and the loss.
fn summary(complaint: &str) -> String {
    let line = complaint.lines().next().unwrap_or_default();
    line.split_once(" }: ").map_or(line, |(_, fault)| fault).chars().take(110).collect()
}

#[test]
fn of_synchronisation() {
    every_mutant_is_caught(OF_SYNCHRONISATION);
}

#[test]
fn of_the_mathematics_the_edges_and_the_accesses() {
    every_mutant_is_caught(OF_ROWS);
}
