//! Kernels broken on purpose, one edit at a time: each must turn a test red, or the tests do not test it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kdloss::DType;
use kdloss::wgpu::{Adapter, Kernels, Options};

use super::device::{Gpu, implementation, run, run_for_results, run_in_place};
use super::mutations::{Mutant, OF_ROWS, OF_SUBGROUPS, OF_WORKGROUPS};
use crate::case::{Buffer, Case};
use crate::contract::{check, close};
use crate::implementations::{Outcome, run_reference};
use crate::trials::trials;

/// Whether the kernels get the case right: within the contract, or the reference's error; the totals on the device too.
fn is_right(gpu: &Arc<Gpu>, case: &Case) -> bool {
    let expected = run_reference(case);
    catch_unwind(AssertUnwindSafe(|| {
        for (name, run) in [("wgpu", run as Run), ("wgpu in place", run_in_place)] {
            match &expected {
                Ok(_) => drop(check(&implementation(name, with(gpu, run)), case)),
                Err(error) => assert_eq!(run(gpu, case).err().as_ref(), Some(error)),
            }
        }
        if expected.is_ok() {
            assert_totals(gpu, case);
            assert_nearest(gpu, case);
        }
    }))
    .is_ok()
}

type Run = fn(&Gpu, &Case) -> kdloss::Result<Outcome>;

fn with(gpu: &Arc<Gpu>, run: Run) -> impl Fn(&Case) -> kdloss::Result<Outcome> + Sync + 'static {
    let gpu = Arc::clone(gpu);
    move |case| run(&gpu, case)
}

/// Whether a kernel is one that a driver would take.
fn is_valid(source: &str) -> bool {
    let capabilities = naga::valid::Capabilities::SUBGROUP;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    naga::front::wgsl::parse_str(source).is_ok_and(|module| validator.validate(&module).is_ok())
}

fn assert_totals(gpu: &Gpu, case: &Case) {
    let (value, totals, _) = run_for_results(gpu, case).unwrap();
    for (bits, want) in totals.into_iter().zip([Some(value.loss), value.hard, value.soft]) {
        let want = want.unwrap_or(0.0);
        assert!(close(f64::from(f32::from_bits(bits)), want, 2e-6 * want.abs()));
    }
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
    let nearest = Buffer::from_f32(dtype, &exact);
    let got = run(gpu, case).unwrap().gradient;
    assert!(got.iter().enumerate().all(|(index, &entry)| close(entry, f64::from(nearest.get(index)), 0.0)));
}

/// The same kernel with its lanes numbered from the other end. A software adapter runs lanes in a fixed order, in which
/// the kernel does without some barriers. In the opposite order it needs those.
fn backwards(source: &str) -> String {
    const BACKWARDS: &str = "WORKGROUP_SIZE - 1u - ";
    source
        .replace("let index = lane.index;", &format!("let index = {BACKWARDS}lane.index;"))
        .replace("_index) lane: u32) {", &format!("_index) forwards: u32) {{\n    let lane = {BACKWARDS}forwards;"))
}

/// Tries every mutant, and the kernels as they are.
fn every_mutant_is_caught(mutants: &[Mutant], options: &Options, orders: &[fn(&str) -> String]) {
    let adapter = Adapter::choose(None);
    assert!(adapter.is_ok() || std::env::var_os("CI").is_none(), "the WGSL kernels must be tested here");
    let Ok(adapter) = adapter else { return };
    let trials = trials();
    let first_failure = |order: fn(&str) -> String, from: &'static str, to: &'static str| {
        let options = options.clone().with_source_edit(move |_, source| {
            let edited = order(&source.replace(from, to));
            // A kernel that no driver takes would be caught by any test at all.
            if is_valid(&edited) { edited } else { source }
        });
        let (device, queue) = adapter.open().unwrap();
        let gpu = Arc::new(Gpu { kernels: Kernels::with_options(&device, &queue, options).unwrap(), queue });
        trials.iter().find(|(_, case)| !is_right(&gpu, case)).map(|(name, _)| *name)
    };
    for &order in orders {
        assert_eq!(first_failure(order, "\n", "\n"), None, "the kernels as they are fail");
    }
    let mut survivors = Vec::new();
    for &Mutant { name, from, to } in mutants {
        match orders.iter().find_map(|&order| first_failure(order, from, to)) {
            Some(trial) => println!("caught: {name}, by {trial}"),
            None => survivors.push(name),
        }
    }
    assert!(survivors.is_empty(), "nothing notices, or no kernel contains: {survivors:#?}");
}

#[test]
fn of_lanes_joined_through_memory() {
    let options = Options::new().with_workgroup_size(64).without_subgroups();
    every_mutant_is_caught(OF_WORKGROUPS, &options, &[str::to_owned, backwards]);
}

#[test]
fn of_lanes_joined_in_subgroups() {
    let Ok(adapter) = Adapter::choose(None) else { return };
    let (device, queue) = adapter.open().unwrap();
    let options = Options::new().with_workgroup_size(128);
    if Kernels::with_options(&device, &queue, options.clone()).unwrap().uses_subgroups() {
        every_mutant_is_caught(OF_SUBGROUPS, &options, &[str::to_owned]);
    } else {
        eprintln!("skipped: {adapter} has no subgroups");
    }
}

#[test]
fn of_the_mathematics_the_edges_and_the_accesses() {
    every_mutant_is_caught(OF_ROWS, &Options::new().with_workgroup_size(8), &[str::to_owned]);
}
