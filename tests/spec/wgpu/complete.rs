//! A row that was not visited whole is an error, never a number.

use kdloss::wgpu::Options;
use kdloss::{DType, DistillationLoss, Error, Result};

use super::device::{Gpu, implementation, open, run};
use crate::case::{Case, Layout};
use crate::contract::check;
use crate::generate::{self, Rows};
use crate::implementations::Outcome;

fn case(rows: usize, vocab: usize) -> Case {
    let Rows { student, teacher, labels } = generate::rows(61, rows, vocab, 3.0);
    Case::new(DistillationLoss::new().with_temperature(2.0), &student, &teacher, &labels)
}

fn is_incomplete(result: &Result<Outcome>) -> bool {
    matches!(result, Err(Error::RowIncomplete { .. }))
}

/// Mesa's llvmpipe ends loops after some 65 535 iterations, which eight lanes once reached at a million classes.
#[test]
fn rows_of_millions_of_classes() {
    let adapters: &[Option<&str>] = if cfg!(feature = "wgpu-gles") { &[None, Some("gl")] } else { &[None] };
    for &adapter in adapters {
        let Some(gpu) = open(adapter, Options::new()) else { return };
        let wide = implementation("wgpu on wide rows", move |case| run(&gpu, case));
        for vocab in [600_000, 1_048_544, 2_097_120, 4_000_000] {
            check(&wide, &case(1, vocab));
        }
    }
}

#[test]
fn too_few_lanes_are_right_or_an_error() {
    let Some(gpu) = open(None, Options::new().with_workgroup_size(1)) else { return };
    for vocab in [152_000, 4_000_000] {
        let case = case(1, vocab);
        if !is_incomplete(&run(&gpu, &case)) {
            let gpu = open(None, Options::new().with_workgroup_size(1)).unwrap();
            check(&implementation("wgpu with one lane", move |case| run(&gpu, case)), &case);
        }
    }
}

/// How something is missed, and the check that finds it.
struct Miss {
    name: &'static str,
    miss: [&'static str; 2],
    check: [&'static str; 2],
}

const MISSES: [Miss; 7] = [
    Miss {
        name: "the first pass ends early",
        miss: [
            "4u * group < params.vocab; group += WORKGROUP_SIZE) {\n        rest = add",
            "false;) {\n        rest = add",
        ],
        check: ["visited(part) == groups", "true"],
    },
    Miss {
        name: "the second pass ends early",
        miss: ["4u * group < params.vocab; group += WORKGROUP_SIZE) {\n        rest.x", "false;) {\n        rest.x"],
        check: ["is_whole &= sums.visited ==", "is_whole = is_whole || sums.visited =="],
    },
    Miss {
        name: "a lane's part is lost",
        miss: [
            "joined_parts[index] = part;",
            "joined_parts[index] = part;\n    if index == 3u {\n        joined_parts[index] = IDENTITY;\n    }",
        ],
        check: ["visited(part) == groups", "true"],
    },
    Miss {
        name: "a lane's sums are lost",
        miss: [
            "joined_sums[index] = part;",
            "joined_sums[index] = part;\n    if index == 3u {\n        joined_sums[index] = RowSums(0.0, 0u);\n    }",
        ],
        check: ["is_whole &= sums.visited ==", "is_whole = is_whole || sums.visited =="],
    },
    Miss {
        name: "padding of a row is not cleared",
        miss: ["4u * group < params.gradient_cols;", "4u * group + 4u < params.gradient_cols;"],
        check: ["(params.gradient_cols), GRADIENT)", "(params.gradient_cols) - 1u, GRADIENT)"],
    },
    Miss {
        name: "labels are not all counted",
        miss: [
            "row < params.batch_rows; row += WORKGROUP_SIZE) {\n        visited",
            "row + 1u < params.batch_rows; row += WORKGROUP_SIZE) {\n        visited",
        ],
        check: ["min(totals.visited_rows, fold.visited_rows)", "fold.visited_rows"],
    },
    Miss {
        name: "rows are not all folded",
        miss: ["row < end; row += WORKGROUP_SIZE", "row + 1u < end; row += WORKGROUP_SIZE"],
        check: [
            "visited_rows == params.batch_rows && fold.whole_rows == params.batch_rows",
            "totals.visited_rows == params.batch_rows",
        ],
    },
];

fn with_edits(edits: &'static [[&'static str; 2]]) -> Option<Gpu> {
    let options = Options::new().with_workgroup_size(8).without_subgroups();
    open(
        None,
        options.with_source_edit(move |_, source| {
            edits.iter().fold(source, |source, [from, to]| source.replace(from, to))
        }),
    )
}

#[test]
fn whatever_is_missed_is_an_error_and_each_check_is_needed() {
    let mut case = case(6, 1001);
    case.labels = Some(crate::case::LabelVec::I64(vec![3; 6]));
    case.gradient = Layout { dtype: DType::F32, cols: 1030, row_stride: 1032 };
    for Miss { name, miss, check } in &MISSES {
        let Some(missing) = with_edits(Vec::leak(vec![*miss])) else { return };
        let error = run(&missing, &case).err();
        assert!(matches!(error, Some(Error::RowIncomplete { row: 0..6, vocab: 1001, lanes: 8 })), "{name}: {error:?}");
        let unchecked = with_edits(Vec::leak(vec![*miss, *check])).unwrap();
        assert!(run(&unchecked, &case).is_ok(), "{name} is found by another check than this one");
    }
    // The gradient of a row that does not count has one pass of its own.
    let padding = MISSES.iter().find(|miss| miss.name.starts_with("padding")).unwrap();
    case.labels = Some(crate::case::LabelVec::I64(vec![-100; 6]));
    assert!(is_incomplete(&run(&with_edits(Vec::leak(vec![padding.miss])).unwrap(), &case)));
}
