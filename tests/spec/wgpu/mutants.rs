//! Kernels broken on purpose, one edit at a time: each must turn a test red, or the tests do not test it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kdloss::wgpu::{Adapter, Kernels, Options};
use kdloss::{DType, DistillationLoss, IgnoredRows, Reduction};

use super::device::{Gpu, implementation, run, run_in_place};
use crate::case::{Case, Layout, Table};
use crate::contract::{check, close};
use crate::generate::{self, Rows};
use crate::implementations::{Outcome, run_reference};

/// One edit of the kernels' sources: every occurrence of `from` becomes `to`.
struct Mutant {
    name: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn mutant(name: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, from, to }
}

/// Edits that lanes joined through workgroup memory must notice.
const OF_WORKGROUPS: &[Mutant] = &[
    mutant(
        "no barrier before the tree of statistics",
        "joined_stats[index] = part;\n    workgroupBarrier();",
        "joined_stats[index] = part;",
    ),
    mutant(
        "no barrier between the levels of the tree of statistics",
        "joined_stats[index]);\n        }\n        workgroupBarrier();",
        "joined_stats[index]);\n        }",
    ),
    mutant(
        "no barrier before the tree of sums",
        "joined_sums[index] = part;\n    workgroupBarrier();",
        "joined_sums[index] = part;",
    ),
    mutant(
        "no barrier between the levels of the tree of sums",
        "joined_sums[index - step];\n        }\n        workgroupBarrier();",
        "joined_sums[index - step];\n        }",
    ),
    mutant(
        "no barrier before the tree of rows",
        "folds[lane] = total;\n    workgroupBarrier();",
        "folds[lane] = total;",
    ),
    mutant(
        "no barrier between the levels of the tree of rows",
        "folds[lane]);\n        }\n        workgroupBarrier();",
        "folds[lane]);\n        }",
    ),
    mutant("a tree that misses a level", "WORKGROUP_SIZE / 2u; step > 0u", "WORKGROUP_SIZE / 2u; step > 1u"),
    mutant("no barrier before labels are counted", "NO_ROW);\n    }\n    workgroupBarrier();", "NO_ROW);\n    }"),
    mutant("no barrier after labels are counted", "bad_row);\n    workgroupBarrier();", "bad_row);"),
];

/// Edits that lanes joined in subgroups must notice.
const OF_SUBGROUPS: &[Mutant] = &[
    mutant("no barrier between groups", "workgroupBarrier();\n    joined = ", "joined = "),
    mutant("a shuffle step is missed", "step < SUBGROUP_SIZE; step", "step < SUBGROUP_SIZE / 2u; step"),
    mutant("a group is left out", "group < GROUPS", "group < GROUPS - 1u"),
    mutant("no lane writes its group's part", "lane.subgroup_index % SUBGROUP_SIZE == 0u", "false"),
];

/// Edits of the mathematics, of the edges, and of the memory accesses.
const OF_ROWS: &[Mutant] = &[
    mutant(
        "a merge does not rescale the hard sum",
        "exp2(student_shift * LOG2_E)),\n        dot",
        "vec2(1.0)),\n        dot",
    ),
    mutant(
        "a merge does not rescale the soft sum",
        "b.student_tempered_sum), exp2(student_shift * scale)",
        "b.student_tempered_sum), vec2(1.0)",
    ),
    mutant("a merge does not rescale the teacher's sum", "exp2(teacher_shift * scale)),", "vec2(1.0)),"),
    mutant("a merge loses flags", "a.flags | b.flags", "a.flags"),
    mutant("a new reference does not rescale", "total = shifted(total, student_shift, teacher_shift);", ""),
    mutant("a new reference does not rescale the block", "sums = shifted(sums, student_shift, teacher_shift);", ""),
    mutant("the reference never moves", "if rise > reach {", "if rise > 1e35 {"),
    mutant("the reference reaches too far", "const REACH: f32 = 8.0;", "const REACH: f32 = 200.0;"),
    mutant("only -inf is masked", "const MASKED_BITS: u32 = 0xf149f2cau;", "const MASKED_BITS: u32 = 0xff800000u;"),
    mutant("a masked student where the teacher is not goes unseen", "infinite_soft |=", "let unseen ="),
    mutant("-inf is found by the teacher alone", "is_masked(student_bits) & (", "(student_bits == student_bits) & ("),
    mutant("a masked label goes unseen", "row.counts_hard && label_bits >= MASKED_BITS", "false"),
    mutant("+inf and NaN of positive sign go unseen", "any(largest_positive >= vec4(0x7f800000)) || ", ""),
    mutant("NaN of negative sign goes unseen", " || any(largest_negative > vec4(0xff800000u))", ""),
    mutant("a row masked throughout is not NaN", "|| stats.student_max <= MASKED", ""),
    mutant("a teacher masked throughout is not NaN", " || (SOFT && stats.teacher_max <= MASKED)", ""),
    mutant("a label beyond the vocabulary is a class", "high == 0u && low < params.vocab", "high == 0u"),
    mutant("the high word of a label is not looked at", "!is_ignored && high == 0u", "!is_ignored"),
    mutant("a narrow label is not widened", "select(0u, 0xffffffffu, (low & 0x80000000u) != 0u)", "0u"),
    mutant(
        "the tail is read as if it were whole",
        "return min(max(width, 4u * group) - 4u * group, 4u);",
        "return 4u;",
    ),
    mutant("the last group is left out", "(params.vocab + 3u) / 4u", "params.vocab / 4u"),
    mutant(
        "vectors are not cut at the tail",
        "select(vec4(MASKED_BITS), student[start / 4u],",
        "select(student[start / 4u], student[start / 4u],",
    ),
    mutant(
        "blocks overlap",
        "block += BLOCK * WORKGROUP_SIZE) {\n        var sums",
        "block += (BLOCK - 1u) * WORKGROUP_SIZE) {\n        var sums",
    ),
    mutant("a block is not added", "total = add(total, sums);", "total = sums;"),
    mutant(
        "another row's record",
        "records[params.first_row + index] = record_of",
        "records[params.first_row] = record_of",
    ),
    mutant("another row's logits", "params.student_start + index * params.student_stride", "params.student_start"),
    mutant(
        "another row's factor",
        "row_grad_scale[params.row_grad_scale_start + index]",
        "row_grad_scale[params.row_grad_scale_start]",
    ),
    mutant("the label's entry is not lowered", "gradient -= select", "gradient -= 0.0 * select"),
    mutant("every fourth entry is lowered", "row.label.class_index / 4u == group", "true"),
    mutant("padding keeps what it held", "max(params.vocab, params.gradient_cols)", "params.vocab"),
    mutant("the near branch is not taken", "let near = abs(y) < vec4(0.5);", "let near = abs(y) < vec4(0.0);"),
    mutant("the near branch is always taken", "let near = abs(y) < vec4(0.5);", "let near = abs(y) < vec4(1e30);"),
    mutant("distances beyond f32 are not limited", "clamp(teacher - student, -limit, limit)", "(teacher - student)"),
    mutant("one squaring too few", "squaring < SQUARINGS", "squaring + 1u < SQUARINGS"),
    mutant(
        "the ratio of the sums by a plain logarithm",
        "log1p((teacher - student) / student)",
        "log(teacher / student) + 1e-6",
    ),
    mutant("a row without a label is not skipped", "if !row.counts_hard && !row.counts_soft {", "if false {"),
    mutant("soft-only rows are skipped", "|| params.soft_only != 0u", ""),
    mutant("a NaN row's gradient is arithmetic", "is_class & vec4(is_nan)", "is_class & vec4(false)"),
    mutant(
        "bf16 by truncation",
        "(bits + 0x7fffu + ((bits >> vec4(16u)) & vec4(1u))) >> vec4(16u)",
        "bits >> vec4(16u)",
    ),
    mutant("bf16 with ties away from zero", "(bits + 0x7fffu + ((bits >> vec4(16u)) & vec4(1u)))", "(bits + 0x8000u)"),
    mutant(
        "f16 with ties away from zero",
        "magnitude + vec4(0x0fffu) + ((magnitude >> vec4(13u)) & vec4(1u))",
        "magnitude + vec4(0x1000u)",
    ),
    mutant("f16 by truncation", "magnitude + vec4(0x0fffu) + ((magnitude >> vec4(13u)) & vec4(1u))", "magnitude"),
    mutant(
        "f16 without subnormal numbers",
        "select(min(normal, vec4(0x7c00u)), subnormal,",
        "select(min(normal, vec4(0x7c00u)), vec4(0u),",
    ),
    mutant("subnormal f16 logits are 0", "select(normal, subnormal, magnitude", "select(normal, vec4(0u), magnitude"),
    mutant("infinite f16 logits are finite", "select(finite, nonfinite, magnitude", "select(finite, finite, magnitude"),
    mutant("halves in the wrong order", "16u * (element % 2u)", "16u - 16u * (element % 2u)"),
    mutant("the neighbour of a last half is overwritten", "halves.z | (gradient[word + 1u] & 0xffff0000u)", "halves.z"),
    mutant(
        "the mean divides by all rows",
        "select(counted, params.batch_rows, params.soft_only != 0u)",
        "params.batch_rows",
    ),
    mutant("the fold loses its first block", "total = join(total, part);", "total = part;"),
    mutant("NaN rows are not counted", "select(0u, 1u, is_nan)", "0u"),
];

/// A case, and how it is told that a kernel got it wrong.
type Trial = (&'static str, Case);

fn loss(temperature: f64) -> DistillationLoss {
    DistillationLoss::new().with_temperature(temperature)
}

/// What every mutant is tried on until one of them fails.
fn trials() -> Vec<Trial> {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let mut trials = Vec::new();
    let mut add = |name, case| trials.push((name, case));

    // Several blocks of groups for each lane, and a ragged end.
    let Rows { student, teacher, labels } = generate::rows(31, 6, 9001, 3.0);
    let mut wide = Case::new(loss(3.7), &student, &teacher, &labels);
    wide.row_grad_scale = Some(vec![1.0, -2.0, 3.0, 0.5, 1.0, 2.0]);
    add("rows of several blocks", wide.clone());
    let rising = |slope: f32| vec![(0..9001).map(|column| column as f32 * slope).collect::<Vec<f32>>(); 2];
    add("rising logits", Case::new(loss(3.7), &rising(0.3), &rising(0.2), &[7000, 8999]));
    add("falling logits", Case::new(loss(0.7), &rising(-0.3), &rising(-0.2), &[7, 0]));

    let Rows { student, teacher, labels } = generate::rows(32, 6, 999, 2.0);
    for (name, dtype) in [("f16", DType::F16), ("bf16", DType::Bf16), ("f32", DType::F32)] {
        let layout = |cols, row_stride| Layout { dtype, cols, row_stride };
        let mut case = Case::new(loss(2.0), &student, &teacher, &labels).stored_as(dtype, dtype, dtype);
        add(name, case.clone());
        case.student = Table::of_rows(&student, layout(1001, 1004));
        case.teacher = Some(Table::of_rows(&teacher, layout(1003, 1004)));
        case.gradient = layout(1003, 1006);
        case.vocab = Some(999);
        add("padding and gaps", case);
        add(
            "four to a load",
            Case::new(loss(4.0), &cut(&student, 500), &cut(&teacher, 500), &[0, 499, 3, -100, 77, 5])
                .stored_as(dtype, dtype, dtype),
        );
    }
    // Gradients of ±half the factor, some of them halfway between two numbers of a 16-bit type, some below its normal ones.
    let halves = vec![vec![0.0f32; 2]; 6];
    let mut ties = Case::new(loss(1.0).with_alpha(1.0).with_reduction(Reduction::Sum), &halves, &halves, &[0; 6]);
    ties.row_grad_scale = Some(
        [8, 11]
            .into_iter()
            .flat_map(|bits| [1.0, 3.0, 1.5].map(|odd| 2.0 + odd / f32::from(1u16 << (bits - 1))))
            .collect(),
    );
    for dtype in [DType::F16, DType::Bf16] {
        add("ties", ties.clone().stored_as(DType::F32, DType::F32, dtype));
    }
    let tiny: Vec<f32> = (0..8).map(|column| column as f32 * 7e-6).collect();
    add(
        "subnormal f16 logits",
        Case::row(loss(1.0), &tiny, &[0.0; 8], 3).stored_as(DType::F16, DType::F16, DType::F32),
    );

    for (name, student, teacher, label) in [
        ("a masked teacher", vec![0.0, 1.0, 2.0], vec![0.0, -infinity, 1.0], 0),
        ("a masked student", vec![0.0, -infinity, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("both masked", vec![0.0, -infinity, 2.0], vec![0.0, f32::MIN, 1.0], 2),
        ("a masked label", vec![0.0, f32::MIN, 2.0], vec![0.0, -infinity, 1.0], 1),
        ("NaN", vec![0.0, nan, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("a negative NaN", vec![0.0, 1.0, 2.0], vec![0.0, -nan, 1.0], 0),
        ("infinity", vec![0.0, infinity, 2.0], vec![0.0, 1.0, 1.0], 0),
        ("a masked row", vec![-infinity; 3], vec![-infinity; 3], 0),
        ("a masked student's row", vec![-infinity; 3], vec![0.0; 3], 0),
        ("a masked teacher's row", vec![0.0; 3], vec![f32::MIN; 3], 0),
        ("distances beyond f32", vec![0.0, 0.0, 0.0], vec![3e38, 0.0, 0.0], 0),
    ] {
        let temperature = if name == "distances beyond f32" { 0.5 } else { 2.0 };
        add(name, Case::row(loss(temperature), &student, &teacher, label));
        // Far from the lane that looks first.
        let far = |row: &[f32]| [vec![0.5; 300], row.to_vec()].concat();
        if !name.ends_with("row") {
            add(name, Case::row(loss(temperature), &far(&student), &far(&teacher), 300 + label));
        }
    }
    add(
        "an infinite f16",
        Case::row(loss(2.0), &[0.0, infinity], &[0.0; 2], 0).stored_as(DType::F16, DType::F16, DType::F32),
    );

    let near: Vec<f32> = (0..999).map(|column| teacher[0][column] + 1e-3 * student[0][column]).collect();
    add("rows that nearly agree", Case::row(loss(20.0), &near, &teacher[0], 5));

    for label in [3, -1, 1 << 32, (1 << 32) - 100] {
        add("a label that is no class", Case::row(loss(2.0), &[0.0; 3], &[1.0; 3], label));
    }
    let Rows { student, teacher, labels } = generate::rows(33, 3000, 3, 2.0);
    let many = Case::new(loss(2.0), &student, &teacher, &labels);
    add("many rows", many.clone());
    let mut narrow = many.clone();
    narrow.labels = Some(crate::case::LabelVec::I32(labels.iter().map(|&label| label as i32).collect()));
    add("narrow labels", narrow);
    let mut some_nan = student.clone();
    some_nan[1234][1] = nan;
    add("NaN among many rows", Case::new(loss(2.0).with_reduction(Reduction::Sum), &some_nan, &teacher, &labels));
    let mut soft_only = many;
    soft_only.loss = loss(2.0).with_ignored_rows(IgnoredRows::SoftOnly);
    add("rows without a label count", soft_only);
    trials
}

fn cut(rows: &[Vec<f32>], columns: usize) -> Vec<Vec<f32>> {
    rows.iter().map(|row| row[..columns].to_vec()).collect()
}

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
    let (value, totals) = super::device::run_for_totals(gpu, case).unwrap();
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
    let nearest = crate::case::Buffer::from_f32(dtype, &exact);
    let got = run(gpu, case).unwrap().gradient;
    assert!(got.iter().enumerate().all(|(index, &entry)| close(entry, f64::from(nearest.get(index)), 0.0)));
}

/// The same kernel with its lanes numbered from the other end. A software adapter runs lanes in a fixed order, in which
/// some barriers are never missed; in the opposite order those are.
fn backwards(source: &str) -> String {
    const BACKWARDS: &str = "WORKGROUP_SIZE - 1u - ";
    source
        .replace("let index = lane.index;", &format!("let index = {BACKWARDS}lane.index;"))
        .replace("_index) lane: u32) {", &format!("_index) forwards: u32) {{\n    let lane = {BACKWARDS}forwards;"))
}

/// Tries every mutant, and what has not been changed.
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
        let gpu = Arc::new(Gpu { kernels: Kernels::with_options(&device, options).unwrap(), queue });
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
    let (device, _) = adapter.open().unwrap();
    let options = Options::new().with_workgroup_size(128);
    if Kernels::with_options(&device, options.clone()).unwrap().uses_subgroups() {
        every_mutant_is_caught(OF_SUBGROUPS, &options, &[str::to_owned]);
    } else {
        eprintln!("skipped: {adapter} has no subgroups");
    }
}

#[test]
fn of_the_mathematics_the_edges_and_the_accesses() {
    every_mutant_is_caught(OF_ROWS, &Options::new().with_workgroup_size(8), &[str::to_owned]);
}
