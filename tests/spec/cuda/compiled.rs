//! What the compilers make of the kernels: specialisations compile, none spills, and the inner loops are short.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use comfy_table::{Table, presets};
use kdloss::DType;
use kdloss::cuda::nvrtc::{Compiled, compile};
use kdloss::cuda::plan::{DeviceLimits, Problem, plan};
use kdloss::cuda::specialisation::{Residency, Specialisation, Terms};

use super::kernels::{self, Edit};
use super::{sass, tools};
use crate::implementations::{DTYPES, everything};

const TERMS: [Terms; 6] = [
    Terms::Hard,
    Terms::Soft,
    Terms::Both,
    Terms::BothBySquaring(0),
    Terms::BothBySquaring(1),
    Terms::BothBySquaring(2),
];

/// Every specialisation that the planner can ask for.
fn all() -> Vec<Specialisation> {
    let h100 = DeviceLimits::new(90, 132, 232_448, 233_472);
    // Any plan's specialisation will do to begin with.
    let start = plan(&Problem::new(1, 8, DType::F32, Terms::Both), &h100).specialisation;
    let mut all = Vec::new();
    for student in DTYPES {
        for teacher in DTYPES {
            for gradient in DTYPES.map(Some).into_iter().chain([None]) {
                for terms in TERMS {
                    for residency in [Residency::Block, Residency::Cluster, Residency::Stream] {
                        for wide in [false, true] {
                            let mut one = start;
                            (one.student, one.teacher, one.gradient) = (student, teacher, gradient);
                            (one.terms, one.residency, one.wide) = (terms, residency, wide);
                            let reads_teacher = terms.has_soft() || teacher == student;
                            let keeps = one.has_second_pass() || residency == Residency::Stream;
                            if reads_teacher && keeps {
                                all.push(one);
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

/// One specialisation in seven, such that any two choices that can be made together are made together by one of them: whatever
/// two choices break between them is found, and so is whatever one choice breaks alone.
fn pairwise(all: &[Specialisation]) -> Vec<Specialisation> {
    let chosen =
        |one: &&Specialisation| choices(one).iter().zip([1, 2, 3, 1, 2, 3]).map(|(c, w)| c * w).sum::<usize>() % 7 == 0;
    let mut covering: Vec<Specialisation> = all.iter().filter(chosen).copied().collect();
    let mut covered: HashSet<_> = covering.iter().flat_map(pairs).collect();
    for one in all {
        if pairs(one).any(|pair| !covered.contains(&pair)) {
            covering.push(*one);
            covered.extend(pairs(one));
        }
    }
    covering
}

/// What is chosen for each part of a specialisation, by number.
fn choices(one: &Specialisation) -> [usize; 6] {
    let place = |dtype| DTYPES.iter().position(|&other| other == dtype).unwrap();
    [
        place(one.student),
        place(one.teacher),
        one.gradient.map_or(DTYPES.len(), place),
        TERMS.iter().position(|&terms| terms == one.terms).unwrap(),
        one.residency as usize,
        usize::from(one.wide),
    ]
}

/// Any two choices: which parts they are of, and what is chosen.
fn pairs(one: &Specialisation) -> impl Iterator<Item = [(usize, usize); 2]> + use<> {
    let choices = choices(one);
    (0..choices.len()).flat_map(move |b| (0..b).map(move |a| [(a, choices[a]), (b, choices[b])]))
}

/// Kernels that cover the others: every residency and every type in which student, teacher and gradient agree, with both terms;
/// on an H100, where it matters most, also narrow ones, each set of terms, and mixed types. On the others terms that square are
/// left to `cargo xtask test --all`.
fn covering(architecture: u32) -> Vec<Specialisation> {
    let h100 = architecture == 90;
    let covers = |one: &Specialisation| {
        let same_types = one.student == one.teacher && one.gradient == Some(one.student);
        let mixed_types = (one.student, one.teacher, one.gradient) == (DType::F32, DType::Bf16, Some(DType::F16));
        let squares = one.terms == Terms::BothBySquaring(1) && (h100 || everything());
        let both = one.terms == Terms::Both || squares;
        let is_there = architecture >= 90 || one.residency != Residency::Cluster;
        let chosen = (same_types && both && (one.wide || h100))
            || (h100 && same_types && one.wide && one.student == DType::Bf16)
            || (h100 && mixed_types && one.terms == Terms::Both);
        is_there && chosen
    };
    all().into_iter().filter(covers).collect()
}

/// Does something for each of many, on all processors.
fn for_each(specialisations: &[Specialisation], work: impl Fn(&Specialisation) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(one) = specialisations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

/// Every one in `cargo xtask test --all`, which takes a quarter of an hour; else every two choices.
#[test]
fn specialisations_compile_and_their_ptx_is_known() {
    if !kernels::are_there() {
        return;
    }
    let every = all();
    let all = if everything() { every.clone() } else { pairwise(&every) };
    println!("{} specialisations of {}", all.len(), every.len());
    for_each(&all, |one| {
        let text = kernels::ptx(one, "compute_90", &Edit::default()).unwrap_or_else(|error| panic!("{one:?}: {error}"));
        // No local memory: the executor does not know it.
        ptx::Module::parse(&text).unwrap_or_else(|error| panic!("{one:?}: {error}"));
    });
}

/// A tool of the CUDA toolkit, named by a variable; in CI it must be there.
fn tool(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} must name the tool");
        eprintln!("skipped: {variable} does not name the tool");
    }
    path
}

#[test]
fn ptxas_assembles_a_covering_set_without_spills() {
    let (true, Some(ptxas)) = (kernels::are_there(), tool("KDLOSS_PTXAS")) else { return };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["architecture", "kernel", "registers", "spills", "stack", "shared"]);
    let rows = std::sync::Mutex::new(Vec::new());
    for architecture in [80, 90, 100, 120] {
        let covering = covering(architecture);
        for_each(&covering, |one| {
            let text = kernels::ptx(one, &format!("compute_{architecture}"), &Edit::default()).unwrap();
            let code = tools::assemble(&ptxas, &text, architecture).unwrap();
            let counts = [code.registers, code.spilled_bytes, code.stack_bytes, code.shared_bytes];
            rows.lock().unwrap().push((format!("sm_{architecture}"), name(one), counts));
        });
    }
    let mut rows = rows.into_inner().unwrap();
    rows.sort();
    for (architecture, name, counts) in &rows {
        table.add_row([architecture.clone(), name.clone()].into_iter().chain(counts.iter().map(u32::to_string)));
    }
    println!("{table}");
    for (architecture, name, [registers, spills, stack, _]) in rows {
        assert!(registers <= 64 && spills == 0 && stack == 0, "{name} on {architecture}: {spills} bytes spilled");
    }
}

fn name(one: &Specialisation) -> String {
    let gradient = one.gradient.map_or("no gradient".to_owned(), |dtype| dtype.to_string());
    let width = if one.wide { "wide" } else { "narrow" };
    format!("{:?} {:?} {}/{}/{gradient} {width}", one.residency, one.terms, one.student, one.teacher)
}

#[test]
fn inner_loops_are_short() {
    let (true, Some(nvdisasm)) = (kernels::are_there(), tool("KDLOSS_NVDISASM")) else { return };
    let h100 = DeviceLimits::new(90, 132, 232_448, 233_472);
    // Instructions per element that have been reached, both passes together.
    for (terms, special_functions, most) in PINNED {
        let one = plan(&Problem::new(8192, 151_936, DType::Bf16, terms), &h100).specialisation;
        let Ok(Compiled { cubin: code, .. }) = compile(&one, "sm_90") else { panic!("{one:?} does not compile") };
        let rounds = sass::loops(&tools::disassemble(&nvdisasm, &code).unwrap());
        // An element has two exponentials in the second pass, or three.
        let [first, second] = rounds.as_slice() else { panic!("two loops, not {rounds:?}") };
        let per_element = |round: &sass::Round, exponentials: f64| {
            round.mnemonics.len() as f64 * exponentials / f64::from(round.special_functions)
        };
        let (first, second) = (per_element(first, special_functions[0]), per_element(second, special_functions[1]));
        println!("{}: {first:.1} + {second:.1} = {:.1} instructions per element", name(&one), first + second);
        assert!(first + second <= most, "{terms:?}: {first} + {second}");
    }
}

/// Terms, exponentials by the special-function unit in each pass, and instructions per element on an H100: the lowest that have
/// been reached; `docs/cuda-report.md` has them for every card, and what they may be. T = 4 squares once more in each pass than
/// T = 2. At a temperature of which nothing is known the first pass has 12 instructions for a third exponential without the
/// special-function unit, and reads a group at a time.
const PINNED: [(Terms, [f64; 2], f64); 4] = [
    (Terms::BothBySquaring(0), [2.0, 2.0], 46.0),
    (Terms::BothBySquaring(1), [2.0, 2.0], 48.4),
    (Terms::BothBySquaring(2), [2.0, 2.0], 50.4),
    (Terms::Both, [2.0, 3.0], 62.6),
];
