//! Counts what kdloss's CUDA kernels move and issue, and what that implies on real cards.
//!
//! `cargo xtask cuda-report` runs it with NVIDIA's tools: it writes `docs/cuda-report.md`, or with `--check` fails where that
//! says something else. No GPU is needed, and none is timed.

mod bounds;
mod cards;
mod cases;
mod categories;
mod document;
mod executed;
mod kernel;
#[path = "../../../tests/spec/cuda/sass.rs"]
mod sass;
#[path = "../../../tests/spec/cuda/tools.rs"]
mod tools;

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::presets;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use bounds::Bounded;
use cases::{Case, KernelKey};
use executed::Executed;
use kernel::{Kernel, Tools};

fn main() -> ExitCode {
    let check = std::env::args().nth(1).is_some_and(|argument| argument == "--check");
    match report(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cuda-report: {message}");
            ExitCode::FAILURE
        }
    }
}

fn report(check: bool) -> Result<(), String> {
    let tools = Tools::from_environment()?;
    let cases = cases::all();
    let kernels = compiled(&cases, &tools)?;
    let bounded = bounded(&cases, &kernels)?;
    let ptx = kernels.first().map_or("", |kernel| &kernel.ptx);
    let document = document::document(&tools.versions(ptx)?, &kernels, &bounded);
    print(&document::summary(&bounded));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cuda-report.md");
    if !check {
        std::fs::write(&path, document).map_err(|error| format!("docs/cuda-report.md: {error}"))?;
        println!("written: docs/cuda-report.md");
        return Ok(());
    }
    let committed = std::fs::read_to_string(&path).map_err(|error| format!("docs/cuda-report.md: {error}"))?;
    compare(&committed, &document)
}

/// Fails where the committed document is another, and says which line differs first.
fn compare(committed: &str, document: &str) -> Result<(), String> {
    if committed == document {
        return Ok(());
    }
    let is_alike = |index: &usize| committed.lines().nth(*index) == document.lines().nth(*index);
    let lines = committed.lines().count().max(document.lines().count());
    let line = (0..lines).find(|index| !is_alike(index)).unwrap_or(lines);
    let [old, new] = [committed, document].map(|text| text.lines().nth(line).unwrap_or("(nothing)").to_owned());
    Err(format!("line {} of docs/cuda-report.md is\n{old}\nbut `cargo xtask cuda-report` writes\n{new}", line + 1))
}

/// The kernels of the cases.
fn compiled(cases: &[Case], tools: &Tools) -> Result<Vec<Kernel>, String> {
    let keys = cases::kernels(cases);
    let bar = progress("compiling", keys.len());
    let kernels = keys.par_iter().map(|key| {
        let kernel = Kernel::compile(*key, tools);
        bar.inc(1);
        kernel
    });
    kernels.collect()
}

/// The cases with their bounds. What two cards would execute alike is executed once.
fn bounded<'a>(cases: &'a [Case], kernels: &'a [Kernel]) -> Result<Vec<Bounded<'a>>, String> {
    let by_key: HashMap<KernelKey, &Kernel> = kernels.iter().map(|kernel| (kernel.key, kernel)).collect();
    let mut distinct: Vec<&Case> = Vec::new();
    for case in cases {
        if !distinct.iter().any(|other| other.executes_like(case)) {
            distinct.push(case);
        }
    }
    let bar = progress("executing", distinct.len());
    let executed = distinct.par_iter().map(|case| {
        let executed = Executed::count(case, &by_key[&case.kernel()].ptx)?;
        bar.inc(1);
        Ok((*case, executed))
    });
    let executed: Vec<(&Case, Executed)> = executed.collect::<Result<_, String>>()?;
    let bound = |case: &'a Case| {
        let found = executed.iter().find(|(other, _)| other.executes_like(case));
        let (_, executed) = found.ok_or_else(|| format!("{:?} has not been executed", case.plan))?;
        Bounded::new(case, by_key[&case.kernel()], *executed)
    };
    cases.iter().map(bound).collect()
}

fn progress(what: &'static str, count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:>10} {bar:40} {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(count as u64).with_style(style).with_message(what)
}

fn print(rows: &document::Table) {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(&rows[0]).add_rows(&rows[1..]);
    println!("{table}");
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn a_document_that_says_something_else_is_found() {
        assert_eq!(compare("a\nb\n", "a\nb\n"), Ok(()));
        for other in ["a\nc\n", "a\n", "a\nb\nc\n"] {
            assert!(compare(other, "a\nb\n").is_err(), "{other}");
        }
    }
}
