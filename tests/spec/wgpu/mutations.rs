//! The edits by which kernels are broken on purpose.

/// One edit of the kernels' sources: every occurrence of `from` becomes `to`.
pub struct Mutant {
    pub name: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

const fn mutant(name: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, from, to }
}

/// Edits that lanes joined through workgroup memory must notice.
pub const OF_WORKGROUPS: &[Mutant] = &[
    mutant(
        "no barrier before the tree of parts",
        "fn root_of_parts(index: u32) -> RowPart {\n    workgroupBarrier();",
        "fn root_of_parts(index: u32) -> RowPart {",
    ),
    mutant(
        "no barrier between the levels of the tree of parts",
        "joined_parts[index]);\n        }\n        workgroupBarrier();",
        "joined_parts[index]);\n        }",
    ),
    mutant(
        "no barrier before the tree of sums",
        "fn root_of_sums(index: u32) -> RowSums {\n    workgroupBarrier();",
        "fn root_of_sums(index: u32) -> RowSums {",
    ),
    mutant(
        "no barrier between the levels of the tree of sums",
        "joined_sums[index]);\n        }\n        workgroupBarrier();",
        "joined_sums[index]);\n        }",
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
    mutant("a tree that misses a level", "LEAVES / 2u; step > 0u", "LEAVES / 2u; step > 1u"),
    mutant("a tree of rows that misses a level", "WORKGROUP_SIZE / 2u; step > 0u", "WORKGROUP_SIZE / 2u; step > 1u"),
    mutant("no barrier before labels are counted", "NO_ROW);\n    }\n    workgroupBarrier();", "NO_ROW);\n    }"),
    mutant("no barrier after labels are counted", "bad_row);\n    workgroupBarrier();", "bad_row);"),
];

/// Edits that lanes joined in subgroups must notice.
pub const OF_SUBGROUPS: &[Mutant] = &[
    mutant(
        "no barrier between groups' parts",
        "fn root_of_parts(index: u32) -> RowPart {\n    workgroupBarrier();",
        "fn root_of_parts(index: u32) -> RowPart {",
    ),
    mutant(
        "no barrier between groups' sums",
        "fn root_of_sums(index: u32) -> RowSums {\n    workgroupBarrier();",
        "fn root_of_sums(index: u32) -> RowSums {",
    ),
    mutant("a shuffle step is missed", "step < SUBGROUP_SIZE; step", "step < SUBGROUP_SIZE / 2u; step"),
    mutant("a group is left out", "index >= LEAVES - step", "index > LEAVES - step"),
    mutant("no lane writes its group's part", "lane.subgroup_index % SUBGROUP_SIZE == 0u", "false"),
];

/// Edits of the mathematics, of the edges, and of the memory accesses.
pub const OF_ROWS: &[Mutant] = &[
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
    mutant("a merge loses flags", "(a.visited_and_flags | b.visited_and_flags)", "a.visited_and_flags"),
    mutant("the hard sum is not moved to the maximum", "vec3(student_shift * LOG2_E,", "vec3(0.0,"),
    mutant("the soft sum is not moved", "LOG2_E, student_shift * scale, t", "LOG2_E, 0.0, t"),
    mutant("the teacher's sum is not moved", "scale, teacher_shift * scale);", "scale, 0.0);"),
    mutant("a part is never read again", "reading < 2u", "reading < 1u"),
    mutant("the reference may be anywhere", "const REACH: f32 = 64.0;", "const REACH: f32 = 1e30;"),
    mutant("exponents are not rounded", "round(max(x, vec4(-127.0)))", "floor(max(x, vec4(-127.0)) + 1.0)"),
    mutant("only -inf is masked", "const MASKED_BITS: u32 = 0xf149f2cau;", "const MASKED_BITS: u32 = 0xff800000u;"),
    mutant("a masked student where the teacher is not goes unseen", "(*findings).infinite_soft |=", "let unseen ="),
    mutant("-inf is found by the teacher alone", "is_masked(student_bits) & (", "(student_bits == student_bits) & ("),
    mutant("a masked label goes unseen", "row.counts_hard && label_bits >= MASKED_BITS", "false"),
    mutant("+inf and NaN of positive sign go unseen", "any(findings.largest_positive >= vec4(0x7f800000)) || ", ""),
    mutant("NaN of negative sign goes unseen", " || any(findings.largest_negative > vec4(0xff800000u))", ""),
    mutant("a row masked throughout is not NaN", "|| part.student_max <= MASKED", ""),
    mutant("a teacher masked throughout is not NaN", " || (SOFT && part.teacher_max <= MASKED)", ""),
    mutant("a label beyond the vocabulary is a class", "high == 0u && low < params.vocab", "high == 0u"),
    mutant("the high word of a label is not looked at", "!is_ignored && high == 0u", "!is_ignored"),
    mutant("a narrow label is not widened", "select(0u, 0xffffffffu, (low & 0x80000000u) != 0u)", "0u"),
    mutant(
        "the tail is read as if it were whole",
        "return min(max(width, 4u * group) - 4u * group, 4u);",
        "return 4u;",
    ),
    mutant("the last group is left out", "4u * group < params.vocab;", "4u * group + 3u < params.vocab;"),
    mutant(
        "vectors are not cut at the tail",
        "select(vec4(MASKED_BITS), student[start / 4u],",
        "select(student[start / 4u], student[start / 4u],",
    ),
    mutant("blocks overlap", "strip += BLOCK)", "strip += BLOCK - 1u)"),
    mutant("a block is not added", "push(&levels, block);", ""),
    mutant("level 0 is not carried", "sum = (*levels).level_0 + sum;", ""),
    mutant("level 1 is not carried", "sum = (*levels).level_1 + sum;", ""),
    mutant("level 2 is not carried", "sum = (*levels).level_2 + sum;", ""),
    mutant("level 0 is not filled", "(*levels).level_0 = sum;", ""),
    mutant("level 3 is not filled", "(*levels).level_3 = sum;", ""),
    mutant("level 0 is not in the total", "sum = levels.level_0 + sum;", ""),
    mutant("level 3 is not in the total", "sum = levels.level_3 + sum;", ""),
    mutant("a sum that is carried is in the total again", "(levels.blocks & (1u << 1u)) != 0u", "true"),
    mutant("a strip's second half is left out", "add(add(first, second), add(third, fourth))", "add(first, second)"),
    mutant("a gradient's strip is half a strip", "(first + second) + (third + fourth)", "(first + second)"),
    mutant("what is no whole strip is left out", "total_of(levels, folded(rest))", "total_of(levels, vec3(0.0))"),
    mutant("a group is not counted", "(*findings).visited += 1u;", ""),
    mutant("a strip is not counted", "visited += 4u;", "visited += 3u;"),
    mutant("a merge loses a count", "visited(a) + visited(b)", "visited(a)"),
    mutant("a merge of sums loses a count", "a.visited + b.visited)", "a.visited)"),
    mutant("what is opaque is another number", "^ params.zeros.xyz", "+ vec3(1u << 23u)"),
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
    mutant(
        "every fourth entry is lowered",
        "classes == vec4(row.label.class_index)",
        "classes % vec4(4u) == vec4(row.label.class_index % 4u)",
    ),
    mutant("padding keeps what it held", "visited += clear_gradient(row, groups_of(params.vocab), lane);", ""),
    mutant("the near branch is not taken", "let near = abs(y) < vec4(0.5);", "let near = abs(y) < vec4(0.0);"),
    mutant("the near branch is always taken", "let near = abs(y) < vec4(0.5);", "let near = abs(y) < vec4(1e30);"),
    mutant("distances beyond f32 are not limited", "clamp(teacher - student, -limit, limit)", "(teacher - student)"),
    mutant("one squaring too few", "SQUARINGS >= 2u", "SQUARINGS >= 3u"),
    mutant(
        "the ratio of the sums by a plain logarithm",
        "log1p((teacher - student) / student)",
        "log(teacher / student) + 1e-6",
    ),
    mutant("a row without a label is not skipped", "if !row.counts_hard && !row.counts_soft {", "if false {"),
    mutant("soft-only rows are skipped", "|| params.soft_only != 0u", ""),
    mutant("a NaN row's gradient is arithmetic", "& vec4(known.is_nan);", "& vec4(false);"),
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
    mutant("halves in the wrong order", "start % 2u == 1u", "start % 2u == 0u"),
    mutant("the neighbour of a last half is overwritten", "halves.z | (gradient[word + 1u] & 0xffff0000u)", "halves.z"),
    mutant(
        "the mean divides by all rows",
        "select(counted, params.batch_rows, params.soft_only != 0u)",
        "params.batch_rows",
    ),
    mutant("the fold loses its first block", "total = join(total, part);", "total = part;"),
    mutant("NaN rows are not counted", "select(0u, 1u, is_nan)", "0u"),
];
