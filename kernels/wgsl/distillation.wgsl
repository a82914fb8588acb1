// The loss and the gradient of rows of logits: one workgroup to a row, one dispatch over the logits.
//
// First pass: the statistics of the student's and the teacher's row (row_stats.wgsl), each lane on every
// WORKGROUP_SIZE-th group of four elements, so that neighbouring lanes read neighbouring memory; then the lanes' parts are
// joined. Second pass, the same lanes on the same elements: the gradient, and the soft term, whose parts are joined too.
// The lane that has the label's logit writes the row's record.
//
// Bytes moved: both rows are read in each pass and the gradient is written once. The second reading comes as soon as the
// first has ended, so caches serve what fits them (a pair of rows of 151 936 f32 logits is 1.2 MB).
//
// Who synchronises with whom: lanes of a workgroup, at the two joins, and nobody else. The gradient may overwrite the
// student's logits, since an element, the label's too, is only ever touched by one lane. Workgroups share nothing.
//
// Accuracy: no running sum takes more than BLOCK addends. A lane sums blocks, and blocks make up its total: rows of
// BLOCK² · 4 · WORKGROUP_SIZE elements (524 288 with 8 lanes) keep the rule.

@group(0) @binding(5) var<storage, read> row_grad_scale: array<f32>;
@group(0) @binding(6) var<storage, read> totals: Totals;
@group(0) @binding(7) var<storage, read_write> records: array<RowRecord>;

// Groups of four elements that a lane sums up before it adds them to its total.
const BLOCK: u32 = 128u;

// Where the elements of a row begin, and what it contributes.
struct Row {
    student: u32,
    teacher: u32,
    gradient: u32,
    label: Label,
    counts_hard: bool,
    counts_soft: bool,
}

fn row_of(index: u32) -> Row {
    let label = label_of(index);
    return Row(
        params.student_start + index * params.student_stride,
        params.teacher_start + index * params.teacher_stride,
        params.gradient_start + index * params.gradient_stride,
        label,
        HARD && !label.is_ignored,
        SOFT && (!label.is_ignored || params.soft_only != 0u),
    );
}

// How many of the four elements from `4 · group` on exist in a row of `width`.
fn count_of(group: u32, width: u32) -> u32 {
    return min(max(width, 4u * group) - 4u * group, 4u);
}

// Sums of exponentials, in four lanes each.
struct Sums {
    student: vec4<f32>,
    student_tempered: vec4<f32>,
    teacher_tempered: vec4<f32>,
}

fn add(a: Sums, b: Sums) -> Sums {
    return Sums(a.student + b.student, a.student_tempered + b.student_tempered, a.teacher_tempered + b.teacher_tempered);
}

// The same sums, relative to references that lie higher by these shifts (at most 0).
fn shifted(sums: Sums, student_shift: f32, teacher_shift: f32) -> Sums {
    let scale = params.temperature_exponent_scale;
    return Sums(
        sums.student * exp2(student_shift * LOG2_E),
        sums.student_tempered * exp2(student_shift * scale),
        sums.teacher_tempered * exp2(teacher_shift * scale),
    );
}

fn largest(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}

// First pass: the statistics of a lane's part of the row.
//
// Online softmax rescales its sums at each new maximum. A long run of slowly rising logits would do so at every step, and
// each step rounds. So the sums are relative to a reference that moves, up to the maximum, only when that is more than
// REACH exponents above it. At the end they are brought to the true maxima. REACH is small because a GPU's exp2 may be off
// by 2|x| units beside the 3 it may be off anyway: the largest exponentials, which weigh most, must have small arguments.
const REACH: f32 = 2.0;

fn first_pass(row: Row, lane: u32) -> RowStats {
    let groups = (params.vocab + 3u) / 4u;
    // e^(x - reference) and e^((x - reference) / T) both stay below e^REACH.
    let reach = REACH / max(1.0, params.temperature_reciprocal);
    var student_reference = MASKED;
    var teacher_reference = MASKED;
    var student_max = vec4(MASKED);
    var teacher_max = vec4(MASKED);
    // The largest bits met: of positive logits as signed integers, of negative ones as unsigned integers.
    var largest_positive = vec4(0);
    var largest_negative = vec4(0u);
    var infinite_soft = vec4(0u);
    var total: Sums;
    for (var block = lane; block < groups; block += BLOCK * WORKGROUP_SIZE) {
        var sums: Sums;
        let end = min(block + BLOCK * WORKGROUP_SIZE, groups);
        for (var group = block; group < end; group += WORKGROUP_SIZE) {
            let count = count_of(group, params.vocab);
            let student_bits = load_student(row.student + 4u * group, count);
            let student = unmasked(student_bits);
            largest_positive = max(largest_positive, bitcast<vec4<i32>>(student_bits));
            largest_negative = max(largest_negative, student_bits);
            student_max = max(student_max, student);
            var rise = largest(student) - student_reference;
            var teacher: vec4<f32>;
            if SOFT {
                let teacher_bits = load_teacher(row.teacher + 4u * group, count);
                teacher = unmasked(teacher_bits);
                largest_positive = max(largest_positive, bitcast<vec4<i32>>(teacher_bits));
                largest_negative = max(largest_negative, teacher_bits);
                infinite_soft |= select(vec4(0u), vec4(1u), is_masked(student_bits) & (teacher_bits < vec4(MASKED_BITS)));
                teacher_max = max(teacher_max, teacher);
                rise = max(rise, largest(teacher) - teacher_reference);
            }
            if rise > reach {
                let new_student_reference = max(student_reference, largest(student));
                let new_teacher_reference = max(teacher_reference, largest(teacher));
                let student_shift = student_reference - new_student_reference;
                let teacher_shift = teacher_reference - new_teacher_reference;
                sums = shifted(sums, student_shift, teacher_shift);
                total = shifted(total, student_shift, teacher_shift);
                student_reference = new_student_reference;
                teacher_reference = new_teacher_reference;
            }
            let student_exponentials = exponentials(student - student_reference);
            if HARD {
                sums.student += student_exponentials.plain;
            }
            if SOFT {
                sums.student_tempered += student_exponentials.tempered;
                sums.teacher_tempered += exp2((teacher - teacher_reference) * params.temperature_exponent_scale);
            }
        }
        total = add(total, sums);
    }

    let all = vec4(1.0);
    var stats = RowStats(largest(student_max), 0.0, 0.0, largest(teacher_max), 0.0, 0u);
    total = shifted(total, student_reference - stats.student_max, teacher_reference - stats.teacher_max);
    stats.student_sum = dot(total.student, all);
    stats.student_tempered_sum = dot(total.student_tempered, all);
    stats.teacher_tempered_sum = dot(total.teacher_tempered, all);
    if any(largest_positive >= vec4(0x7f800000)) || any(largest_negative > vec4(0xff800000u)) {
        stats.flags |= NONFINITE;
    }
    if any(infinite_soft != vec4(0u)) {
        stats.flags |= INFINITE_SOFT;
    }
    return stats;
}

// Factors of the gradient of one row: weight, reduction and scale in one.
struct GradientWeights {
    hard: f32,
    soft: f32,
}

fn gradient_weights(row: Row, index: u32) -> GradientWeights {
    var scale = 1.0;
    if params.has_row_grad_scale != 0u {
        scale = row_grad_scale[params.row_grad_scale_start + index];
    }
    var weights = GradientWeights(select(0.0, scale * params.hard_gradient, row.counts_hard), scale * params.soft_gradient);
    if params.is_mean != 0u {
        weights.hard /= row_count(totals.labelled_rows);
        weights.soft /= row_count(totals.soft_rows);
    }
    return weights;
}

// Second pass: writes the gradient of a lane's part of the row, and returns its part of soft / T².
fn second_pass(row: Row, normalizer: Normalizer, weights: GradientWeights, is_nan: bool, lane: u32) -> f32 {
    let width = select(params.vocab, max(params.vocab, params.gradient_cols), GRADIENT);
    let groups = (width + 3u) / 4u;
    var total = vec4(0.0);
    for (var block = lane; block < groups; block += BLOCK * WORKGROUP_SIZE) {
        var sum = vec4(0.0);
        let end = min(block + BLOCK * WORKGROUP_SIZE, groups);
        for (var group = block; group < end; group += WORKGROUP_SIZE) {
            // Padding is as masked logits are: it has no probability, hence no gradient.
            let count = count_of(group, params.vocab);
            let student = unmasked(load_student(row.student + 4u * group, count)) - normalizer.student_max;
            let student_exponentials = exponentials(student);
            var gradient = vec4(0.0);
            if HARD {
                gradient = weights.hard * (student_exponentials.plain * normalizer.student_factor);
            }
            if SOFT {
                let teacher = unmasked(load_teacher(row.teacher + 4u * group, count)) - normalizer.teacher_max;
                let element = soft_element(normalizer, student, student_exponentials.tempered, teacher);
                sum += element.divergence;
                gradient += weights.soft * element.difference;
            }
            if GRADIENT {
                if HARD && row.label.is_class && row.label.class_index / 4u == group {
                    gradient -= select(vec4(0.0), vec4(weights.hard), vec4(0u, 1u, 2u, 3u) == vec4(row.label.class_index % 4u));
                }
                let is_class = vec4(0u, 1u, 2u, 3u) < vec4(count);
                let bits = select(bitcast<vec4<u32>>(gradient), vec4(NAN_BITS), is_class & vec4(is_nan));
                store_gradient(row.gradient + 4u * group, count_of(group, params.gradient_cols), bits);
            }
        }
        total += sum;
    }
    return dot(total, vec4(1.0));
}

// The gradient of a row that does not count, whatever the row holds.
fn clear_gradient(row: Row, lane: u32) {
    for (var group = lane; 4u * group < params.gradient_cols; group += WORKGROUP_SIZE) {
        store_gradient(row.gradient + 4u * group, count_of(group, params.gradient_cols), vec4(0u));
    }
}

// The bits of the label's logit; MASKED_BITS where there is none.
fn label_bits_of(row: Row) -> u32 {
    if !row.counts_hard || !row.label.is_class {
        return MASKED_BITS;
    }
    let group = row.label.class_index / 4u;
    return load_student(row.student + 4u * group, count_of(group, params.vocab))[row.label.class_index % 4u];
}

fn record_of(row: Row, stats: RowStats, is_bad_label: bool, label_bits: u32, divergence: f32) -> RowRecord {
    var status = select(0u, STATUS_HARD, row.counts_hard) | select(0u, STATUS_SOFT, row.counts_soft);
    if is_bad_label {
        status |= STATUS_BAD_LABEL;
    }
    if is_bad_label || is_nonfinite(stats) {
        status |= STATUS_NONFINITE;
    } else {
        status |= select(0u, STATUS_INFINITE_HARD, row.counts_hard && label_bits >= MASKED_BITS);
        status |= select(0u, STATUS_INFINITE_SOFT, row.counts_soft && (stats.flags & INFINITE_SOFT) != 0u);
    }
    let label_logit = bitcast<f32>(min(label_bits, MASKED_BITS));
    let terms = terms_of(
        select(0.0, hard(stats, label_logit), row.counts_hard),
        params.temperature_squared * divergence,
        select(0u, status, row.counts_hard),
        select(0u, status, row.counts_soft),
    );
    return RowRecord(terms.hard, terms.soft, terms.total, status);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn distill(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    lane: Lane,
) {
    let index = workgroup.y * workgroups.x + workgroup.x;
    if index >= params.rows {
        return;
    }
    let row = row_of(index);
    // Of the lanes, the one that reads and writes the group of the label's logit.
    let writes_record = lane.index == select(0u, row.label.class_index / 4u % WORKGROUP_SIZE, row.label.is_class);
    if !row.counts_hard && !row.counts_soft {
        if GRADIENT {
            clear_gradient(row, lane.index);
        }
        if writes_record {
            records[params.first_row + index] = RowRecord(0u, 0u, 0u, 0u);
        }
        return;
    }
    var label_bits = MASKED_BITS;
    if writes_record {
        label_bits = label_bits_of(row);
    }
    let is_bad_label = params.label_words != 0u && !row.label.is_class && !row.label.is_ignored;
    let stats = join_stats(lane, first_pass(row, lane.index));
    var divergence = 0.0;
    if SOFT || GRADIENT {
        let is_nan = is_bad_label || is_nonfinite(stats);
        let weights = gradient_weights(row, index);
        divergence = join_sum(lane, second_pass(row, finish(stats), weights, is_nan, lane.index));
    }
    if writes_record {
        records[params.first_row + index] = record_of(row, stats, is_bad_label, label_bits, divergence);
    }
}
