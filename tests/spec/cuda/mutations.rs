//! The edits by which the CUDA kernels are broken on purpose.

use kdloss::cuda::specialisation::Residency::{self, Block, Cluster, Stream};

/// One edit of the source: every occurrence of `from` becomes `to`, in a kernel of some residency.
pub struct Mutant {
    pub name: &'static str,
    pub residency: Residency,
    pub from: &'static str,
    pub to: &'static str,
}

const fn mutant(name: &'static str, residency: Residency, from: &'static str, to: &'static str) -> Mutant {
    Mutant { name, residency, from, to }
}

/// Who waits for whom, and who sees what.
pub const OF_SYNCHRONISATION: &[Mutant] = &[
    mutant(
        "no barrier before warps' parts are merged",
        Block,
        "exchange.of_warp[warp()] = part;\n    __syncthreads();\n    RowPart",
        "exchange.of_warp[warp()] = part;\n    RowPart",
    ),
    mutant(
        "no barrier before warps' sums are added",
        Block,
        "exchange.of_warp[warp()] = part;\n    __syncthreads();\n    float",
        "exchange.of_warp[warp()] = part;\n    float",
    ),
    mutant(
        "no barrier before what follows from the statistics is read",
        Block,
        "    __syncthreads();\n    float divergence = 0.0f;",
        "    float divergence = 0.0f;",
    ),
    mutant(
        "no cluster barrier before its statistics are read",
        Cluster,
        "    meet_cluster();\n    if (IS_CLUSTER && warp() == 0) {",
        "    if (IS_CLUSTER && warp() == 0) {",
    ),
    mutant(
        "no cluster barrier after its statistics have been read",
        Cluster,
        "    meet_cluster();\n    if (IS_CLUSTER && warp() == 0 && cluster_rank() == 0) {",
        "    if (IS_CLUSTER && warp() == 0 && cluster_rank() == 0) {",
    ),
    mutant(
        "a CTA leaves while another reads its memory",
        Cluster,
        "    meet_cluster();\n    if (cluster_rank() == 0 && comes_last",
        "    if (cluster_rank() == 0 && comes_last",
    ),
    mutant(
        "a cluster barrier in a branch",
        Cluster,
        "    meet_cluster();\n    if (IS_CLUSTER && warp() == 0) {",
        "    if (warp() == 0) meet_cluster();\n    if (IS_CLUSTER && warp() == 0) {",
    ),
    mutant(
        "a barrier in a branch",
        Block,
        "    __syncthreads();\n    float divergence = 0.0f;",
        "    if (lane() < 16) __syncthreads();\n    float divergence = 0.0f;",
    ),
    mutant(
        "no fence before the ticket",
        Stream,
        "        __threadfence();\n        exchange.is_last",
        "        exchange.is_last",
    ),
    mutant("no fence after the ticket", Stream, "= NO_ROW;\n        __threadfence();", "= NO_ROW;"),
    mutant("the ticket is not reset", Block, "    totals.ticket = 0;\n", ""),
    mutant("the first to finish folds", Stream, "== clusters - 1;", "== 0;"),
    mutant(
        "no barrier before it is known who folds",
        Block,
        "    __syncthreads();\n    return exchange.is_last;",
        "    return exchange.is_last;",
    ),
    mutant(
        "no barrier before the fold's sums are added",
        Block,
        "of_warp[warp()] = part;\n    __syncthreads();\n    return sum_over_lanes",
        "of_warp[warp()] = part;\n    return sum_over_lanes",
    ),
    mutant("half a warp is asked to shuffle", Block, "ALL_LANES = 0xffffffff", "ALL_LANES = 0x0000ffff"),
    mutant("a step of the sums is missed", Block, "step > 0; step /= 2) value += ", "step > 1; step /= 2) value += "),
    mutant("a step of the maxima is missed", Block, "step > 0; step /= 2) value = ", "step > 1; step /= 2) value = "),
    mutant("a warp is left out", Block, "lane() < warps()", "lane() + 1 < warps()"),
    mutant("a CTA of the cluster is left out", Cluster, "lane() < cluster_size()", "lane() + 1 < cluster_size()"),
    mutant("a rank beyond the cluster", Cluster, "lane() < cluster_size()", "lane() <= cluster_size()"),
];

/// The mathematics, the edges, and who touches what.
pub const OF_ROWS: &[Mutant] = &[
    mutant("a new maximum does not move the hard sum", Block, "part.student_sum *= rescaling.student;", ""),
    mutant(
        "a new maximum does not move the soft sum",
        Block,
        "part.student_tempered_sum *= rescaling.student_tempered;",
        "",
    ),
    mutant(
        "a new maximum does not move the teacher's sum",
        Block,
        "part.teacher_tempered_sum *= rescaling.teacher_tempered;",
        "",
    ),
    mutant("only -inf is masked", Block, "logit <= MASKED;", "logit <= -INFINITE;"),
    mutant("a masked student goes unseen", Block, "part.infinite_soft |= has_infinite_soft(tile[index]);", ";"),
    mutant("a masked student is looked for by itself", Block, " && !is_masked(element(pair.teacher, index))", ""),
    mutant("a masked label goes unseen", Block, "if (is_masked(label_logit)) return INFINITE;", ""),
    mutant("infinite log ratios are not limited", Block, "y = fmaxf(fminf(y, LARGEST), -LARGEST);", ""),
    mutant("NaN goes unseen", Block, "return sum < INFINITE;", "return !(sum >= INFINITE);"),
    mutant("a masked row goes unseen", Block, "is_masked(part.student_max) ||", ""),
    mutant("a label is not checked", Block, "0 <= index && index < params.vocab, is_ignored", "true, is_ignored"),
    mutant("the label's entry is not lowered", Block, "gradient[index] -= finished.label_weight;", ";"),
    mutant("padding keeps what it is computed to be", Block, "if (index >= padding) gradient[index] = 0.0f;", ""),
    mutant(
        "padding beyond the last group is not written",
        Block,
        "if (GRADIENT) clear_gradient(row, groups_of(row.phase, params.vocab), params);",
        "",
    ),
    mutant("a row that does not count keeps its gradient", Block, "if (GRADIENT) clear_gradient(row, 0, params);", ""),
    mutant("the tail is read beyond its end", Block, "max(int(width) - first, 0), GROUP)", "GROUP, GROUP)"),
    mutant("the head is read before its beginning", Block, "max(-first, 0)", "0"),
    mutant("vectors at any address", Block, "return WIDE ? unsigned", "return false ? unsigned"),
    mutant("another row's logits", Block, "params.student + row * params.student_stride", "params.student"),
    mutant("another row's record", Block, "params.records[row] = record;", "params.records[0] = record;"),
    mutant("another row's factor", Block, "params.row_grad_scale[row]", "params.row_grad_scale[0]"),
    mutant(
        "a thread's neighbour's slot",
        Block,
        "keep_pair(first + index * blockDim.x - row.first_group",
        "keep_pair((first + index * blockDim.x - row.first_group) ^ 1",
    ),
    mutant(
        "a row's first group goes unseen",
        Block,
        "if (threadIdx.x == 0 && row.first_group",
        "if (false && row.first_group",
    ),
    mutant("a row's last group goes unseen", Block, "return threadIdx.x == 1 ?", "return false ?"),
    mutant("two threads take a row's last group", Block, "return threadIdx.x == 1 ?", "return threadIdx.x <= 2 ?"),
    mutant(
        "a group that is not whole is taken for one",
        Block,
        "(phase + params.vocab) / GROUP",
        "(phase + params.vocab + 1) / GROUP",
    ),
    mutant("a group that is left behind the tiles", Block, "if (TILE > 1 && group < row.end_whole)", "if (false)"),
    mutant(
        "a slice that overlaps the next",
        Cluster,
        "cluster_rank() * params.slots;",
        "cluster_rank() * (params.slots - 1);",
    ),
    mutant(
        "in place, the label's logit is read too late",
        Cluster,
        "begin_record(role, part, shared.label_logit)",
        "begin_record(role, part, role.label.is_class ? to_float(student_of(row.index, params)[role.label.index]) : MASKED)",
    ),
    mutant("the near branch is not taken", Block, "fabsf(y) < 0.5f", "fabsf(y) < 0.0f"),
    mutant("the near branch is always taken", Block, "fabsf(y) < 0.5f", "fabsf(y) < 1e30f"),
    mutant(
        "the second of two elements is not settled",
        Block,
        "settle(p.high, y.high, soft.difference.high, soft.divergence.high);",
        "",
    ),
    mutant(
        "two elements in the wrong order",
        Block,
        "Two{element(words, 2 * pair), element(words, 2 * pair + 1)}",
        "Two{element(words, 2 * pair + 1), element(words, 2 * pair)}",
    ),
    mutant("one squaring too few", Block, "squaring < SQUARINGS;", "squaring + 1 < SQUARINGS;"),
    mutant("the ratio's logarithm by its first term", Block, "log1pf((teacher - student)", "((teacher - student)"),
    mutant(
        "bf16 by truncation",
        Block,
        "asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(word) : \"f\"(high), \"f\"(low));",
        "word = (__float_as_uint(high) & 0xffff0000) | (__float_as_uint(low) >> 16);",
    ),
    mutant("halves in the wrong order", Block, "\"f\"(high), \"f\"(low)", "\"f\"(low), \"f\"(high)"),
    mutant(
        "the mean divides by all rows",
        Block,
        "count += __syncthreads_count(",
        "count += __syncthreads_count(true || ",
    ),
    mutant("soft-only rows are skipped", Block, "|| params.soft_only != 0", ""),
    mutant("NaN rows are not counted", Block, "if (is_nan) record.status |= STATUS_NONFINITE;", ""),
    mutant("NaN rows keep a gradient that is a number", Block, "if (is_nan) scale = NOT_A_NUMBER;", ""),
    mutant("the fold loses rows", Block, "        hard += record.hard;", "        hard = record.hard;"),
    mutant(
        "sums of a stream's second pass skip its first group",
        Stream,
        "count - 1 - index",
        "(count - 1 - index) | 1",
    ),
];
