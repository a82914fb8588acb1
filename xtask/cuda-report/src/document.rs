//! The report as a document.

use std::fmt::Write;

use kdloss::cuda::plan::Plan;
use kdloss::cuda::specialisation::{Residency, Specialisation, Terms};

use crate::bounds::{BOUNDS, Bounded, ISSUE_BOUND, SPECIAL_FUNCTION_BOUND};
use crate::cards::{self, Card};
use crate::cases::ROWS;
use crate::categories::CATEGORIES;
use crate::kernel::Kernel;

/// What stands before the tables: what they mean.
const INTRODUCTION: &str = include_str!("introduction.md");

/// What stands behind them: why memory is not the bound where it is not.
const CONCLUSION: &str = include_str!("conclusion.md");

/// The whole document.
pub fn document(versions: &[String], kernels: &[Kernel], bounded: &[Bounded<'_>]) -> String {
    let mut text = INTRODUCTION.replace("{versions}", &versions.join(", ")).replace("{rows}", &ROWS.to_string());
    text += "\n## Summary\n\nThe largest bound over that of memory at the vocabulary where it is largest; 1.00 means that memory binds.\n\n";
    text += &markdown(&summary(bounded));
    text += "\n## Cards\n\n";
    text += &markdown(&card_table());
    text += "\n";
    for card in cards::all() {
        let _ = writeln!(text, "* **{}**: {}.", card.name, card.source);
    }
    text += "\n## Kernels\n\nInstructions of machine code (SASS) for an element, along the loops' usual path.\n\n";
    text += &markdown(&kernel_table(kernels));
    text += "\nThe same by what they are for, both passes together:\n\n";
    text += &markdown(&category_table(kernels));
    text += "\n## Bounds\n";
    for card in cards::all() {
        let of_card: Vec<&Bounded<'_>> = bounded.iter().filter(|one| one.case.card.name == card.name).collect();
        let _ = write!(text, "\n### {}\n\n{}", card.name, markdown(&bound_table(&of_card)));
    }
    text += "\n## Where memory is not the bound\n\n";
    text += &markdown(&unbound_table(bounded));
    text + "\n" + CONCLUSION
}

/// A table: its header, and its rows.
pub type Table = Vec<Vec<String>>;

/// The largest bound over memory's for each card, type and temperature.
pub fn summary(bounded: &[Bounded<'_>]) -> Table {
    let mut table = vec![row(["card", "type", "T = 1", "T = 2", "T = 4", "T = 3"])];
    for card in cards::all() {
        for dtype in [kdloss::DType::F32, kdloss::DType::Bf16] {
            let mut cells = vec![card.name.to_owned(), dtype.to_string()];
            for temperature in crate::cases::TEMPERATURES {
                let cases = bounded.iter().filter(|one| {
                    let case = one.case;
                    case.card.name == card.name && case.dtype == dtype && case.temperature == temperature
                });
                let worst = cases.max_by(|a, b| a.over_memory().total_cmp(&b.over_memory()));
                cells.push(worst.map_or_else(String::new, |worst| match worst.binding() {
                    0 => "1.00".to_owned(),
                    binding => format!("{:.2} {}", worst.over_memory(), BOUNDS[binding]),
                }));
            }
            table.push(cells);
        }
    }
    table
}

fn card_table() -> Table {
    let header = [
        "card",
        "compute capability",
        "SMs",
        "GB/s",
        "GHz",
        "cache, MiB",
        "instructions an element may take, f32",
        "bf16",
    ];
    let mut table = vec![row(header)];
    for Card { name, limits, bandwidth, clock, cache, .. } in cards::all() {
        let architecture = limits.architecture;
        // Issued by all while memory moves three numbers.
        let allowed = |bytes: f64| {
            let issued = f64::from(limits.multiprocessors) * clock * 32.0 * cards::SCHEDULERS;
            format!("{:.0}", issued * 3.0 * bytes / bandwidth)
        };
        table.push(vec![
            name.to_owned(),
            format!("{}.{}", architecture / 10, architecture % 10),
            limits.multiprocessors.to_string(),
            format!("{:.0}", bandwidth / 1e9),
            format!("{:.2}", clock / 1e9),
            format!("{:.0}", cache / 1024.0 / 1024.0),
            allowed(4.0),
            allowed(2.0),
        ]);
    }
    table
}

fn kernel_table(kernels: &[Kernel]) -> Table {
    let mut table = vec![row([
        "architecture",
        "kernel",
        "registers",
        "bytes spilled",
        "static shared bytes",
        "first pass",
        "second pass",
        "instructions",
        "special functions",
    ])];
    for kernel in kernels {
        let assembled = &kernel.assembled;
        table.push(vec![
            format!("sm_{}", kernel.key.architecture),
            name(&kernel.key.specialisation),
            assembled.registers.to_string(),
            (assembled.spilled_bytes + assembled.stack_bytes).to_string(),
            assembled.shared_bytes.to_string(),
            format!("{:.1}", kernel.passes[0]),
            format!("{:.1}", kernel.passes[1]),
            format!("{:.1}", kernel.instructions()),
            format!("{:.0}", kernel.special_functions()),
        ]);
    }
    table
}

fn category_table(kernels: &[Kernel]) -> Table {
    let mut table = vec![row(["architecture", "kernel"].into_iter().chain(CATEGORIES))];
    for kernel in kernels {
        let names = [format!("sm_{}", kernel.key.architecture), name(&kernel.key.specialisation)];
        table.push(names.into_iter().chain(kernel.by_category.iter().map(|count| format!("{count:.1}"))).collect());
    }
    table
}

fn bound_table(bounded: &[&Bounded<'_>]) -> Table {
    let header = [
        "type",
        "columns",
        "T",
        "kernel, threads",
        "CTAs per SM",
        "shared bytes",
        "bytes",
        "of",
        "special functions",
        "PTX",
    ];
    let milliseconds = BOUNDS.map(|bound| format!("{bound}, ms"));
    let mut table = vec![
        header.map(str::to_owned).into_iter().chain(milliseconds).chain([row(["over memory"])[0].clone()]).collect(),
    ];
    for one in bounded {
        let case = one.case;
        let mut cells = vec![
            case.dtype.to_string(),
            case.vocab.to_string(),
            case.temperature.to_string(),
            layout(&case.plan),
            format!("{} of {}", case.plan.resident, one.resident),
            (one.kernel.assembled.shared_bytes + case.plan.shared_bytes).to_string(),
            format!("{:.2}", one.executed.bytes),
            format!("{:.0}", one.floor()),
            format!("{:.2}", one.executed.special_functions),
            format!("{:.1}", one.executed.instructions),
        ];
        for (bound, milliseconds) in one.milliseconds.iter().enumerate() {
            let mark = if bound == one.binding() { "**" } else { "" };
            cells.push(format!("{mark}{milliseconds:.2}{mark}"));
        }
        cells.push(format!("{:.2}", one.over_memory()));
        table.push(cells);
    }
    table
}

/// What an element takes, and what it may take, where something else than memory binds; at the largest vocabulary.
fn unbound_table(bounded: &[Bounded<'_>]) -> Table {
    let header = ["card", "type", "T", "binding", "special functions", "may be", "instructions", "may be"];
    let mut table = vec![row(header)];
    let largest = bounded.iter().map(|one| one.case.vocab).max();
    for one in bounded.iter().filter(|one| one.binding() != 0 && Some(one.case.vocab) == largest) {
        let case = one.case;
        // What is done while memory moves an element.
        let allowed =
            |count: f64, bound: usize| format!("{:.1}", count * one.milliseconds[0] / one.milliseconds[bound]);
        let (special, instructions) = (one.kernel.special_functions(), one.kernel.instructions());
        table.push(vec![
            case.card.name.to_owned(),
            case.dtype.to_string(),
            case.temperature.to_string(),
            BOUNDS[one.binding()].to_owned(),
            format!("{special:.1}"),
            allowed(special, SPECIAL_FUNCTION_BOUND),
            format!("{instructions:.1}"),
            allowed(instructions, ISSUE_BOUND),
        ]);
    }
    table
}

fn row<'a>(cells: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

fn markdown(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); table[0].len()];
    line(&table[0]) + &line(&rule) + &table[1..].iter().map(|cells| line(cells)).collect::<String>()
}

/// A kernel in a few words.
pub fn name(one: &Specialisation) -> String {
    let temperature = match one.terms {
        Terms::BothBySquaring(squarings) => format!("T = {}", 1 << squarings),
        _ => "any T".to_owned(),
    };
    format!("{} {}, {temperature}", residency(one.residency), one.student)
}

/// Where rows are between the passes, and the threads of a CTA.
fn layout(plan: &Plan) -> String {
    let cluster = if plan.cluster > 1 { format!(" of {}", plan.cluster) } else { String::new() };
    format!("{}{cluster}, {}", residency(plan.specialisation.residency), plan.threads)
}

fn residency(residency: Residency) -> &'static str {
    match residency {
        Residency::Block => "block",
        Residency::Cluster => "cluster",
        _ => "stream",
    }
}
