// The loss and the gradient of rows of logits: one workgroup to a row, one dispatch over the logits.
//
// First pass: what is known of the student's and the teacher's row (row_part.wgsl), each lane on every
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

// The same sums, relative to references that lie higher by these shifts (lower where they are negative).
fn shifted(sums: Sums, student_shift: f32, teacher_shift: f32) -> Sums {
    let scale = params.temperature_exponent_scale;
    return Sums(
        sums.student * precise_exp2(vec4(-student_shift * LOG2_E)),
        sums.student_tempered * precise_exp2(vec4(-student_shift * scale)),
        sums.teacher_tempered * precise_exp2(vec4(-teacher_shift * scale)),
    );
}

fn largest(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}

// What a lane finds in its part of the row, relative to two references.
struct Findings {
    student_max: f32,
    teacher_max: f32,
    sums: Sums,
    flags: u32,
}

fn findings_of(row: Row, lane: u32, student_reference: f32, teacher_reference: f32) -> Findings {
    let groups = (params.vocab + 3u) / 4u;
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
            let student_exponentials = exponentials(student - student_reference, true);
            if HARD {
                sums.student += student_exponentials.plain;
            }
            if SOFT {
                sums.student_tempered += student_exponentials.tempered;
                let teacher_bits = load_teacher(row.teacher + 4u * group, count);
                let teacher = unmasked(teacher_bits);
                largest_positive = max(largest_positive, bitcast<vec4<i32>>(teacher_bits));
                largest_negative = max(largest_negative, teacher_bits);
                infinite_soft |= select(vec4(0u), vec4(1u), is_masked(student_bits) & (teacher_bits < vec4(MASKED_BITS)));
                teacher_max = max(teacher_max, teacher);
                sums.teacher_tempered += precise_exp2((teacher - teacher_reference) * params.temperature_exponent_scale);
            }
        }
        total = add(total, sums);
    }
    var flags = 0u;
    if any(largest_positive >= vec4(0x7f800000)) || any(largest_negative > vec4(0xff800000u)) {
        flags |= NONFINITE;
    }
    if any(infinite_soft != vec4(0u)) {
        flags |= INFINITE_SOFT;
    }
    return Findings(largest(student_max), largest(teacher_max), total, flags);
}

// First pass: a lane's part of the row.
//
// Online softmax moves its sums to each new maximum. Here they are relative to the maximum of the lane's first group, which
// is near enough: floats reach far beyond it. Only where a logit lies more than REACH exponents above the reference is the
// part read again, relative to its true maximum. In the end the sums are moved to the true maxima, once.
const REACH: f32 = 64.0;

fn first_pass(row: Row, lane: u32) -> RowPart {
    if 4u * lane >= params.vocab {
        return IDENTITY;
    }
    let count = count_of(lane, params.vocab);
    var student_reference = largest(unmasked(load_student(row.student + 4u * lane, count)));
    var teacher_reference = largest(unmasked(load_teacher(row.teacher + 4u * lane, count)));
    // e^(x - reference) and e^((x - reference) / T) both stay below e^REACH.
    let reach = REACH / max(1.0, params.temperature_reciprocal);
    var findings: Findings;
    for (var reading = 0u; reading < 2u; reading++) {
        findings = findings_of(row, lane, student_reference, teacher_reference);
        if max(findings.student_max - student_reference, findings.teacher_max - teacher_reference) <= reach {
            break;
        }
        student_reference = findings.student_max;
        teacher_reference = findings.teacher_max;
    }
    let sums = shifted(
        findings.sums,
        findings.student_max - student_reference,
        findings.teacher_max - teacher_reference,
    );
    let all = vec4(1.0);
    return RowPart(
        findings.student_max,
        dot(sums.student, all),
        dot(sums.student_tempered, all),
        findings.teacher_max,
        dot(sums.teacher_tempered, all),
        findings.flags,
    );
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

// Zeros from a group on: padding, or all of a row that does not count, whatever it holds.
fn clear_gradient(row: Row, first_group: u32, lane: u32) {
    for (var group = first_group + lane; 4u * group < params.gradient_cols; group += WORKGROUP_SIZE) {
        store_gradient(row.gradient + 4u * group, count_of(group, params.gradient_cols), vec4(0u));
    }
}

// Second pass: writes the gradient of a lane's part of the row, and returns its part of soft / T².
fn second_pass(row: Row, normalizer: Normalizer, weights: GradientWeights, is_nan: bool, lane: u32) -> f32 {
    let groups = (params.vocab + 3u) / 4u;
    var total = vec4(0.0);
    for (var block = lane; block < groups; block += BLOCK * WORKGROUP_SIZE) {
        var sum = vec4(0.0);
        let end = min(block + BLOCK * WORKGROUP_SIZE, groups);
        for (var group = block; group < end; group += WORKGROUP_SIZE) {
            // What is not there of a last group is as masked logits are: it has no probability, hence no gradient.
            let count = count_of(group, params.vocab);
            let student = unmasked(load_student(row.student + 4u * group, count)) - normalizer.student_max;
            let student_exponentials = exponentials(student, false);
            var gradient = vec4(0.0);
            if HARD {
                gradient = weights.hard * hard_element(normalizer, student_exponentials.plain);
            }
            if SOFT {
                let teacher = unmasked(load_teacher(row.teacher + 4u * group, count)) - normalizer.teacher_max;
                let element = soft_element(normalizer, student, student_exponentials.tempered, teacher);
                sum += element.divergence;
                gradient += weights.soft * element.difference;
            }
            if GRADIENT {
                let columns = 4u * group + vec4(0u, 1u, 2u, 3u);
                if HARD {
                    let is_label = columns == vec4(row.label.class_index);
                    gradient -= select(vec4(0.0), vec4(weights.hard), is_label & vec4(row.label.is_class));
                }
                let becomes_nan = (columns < vec4(params.vocab)) & vec4(is_nan);
                let bits = select(bitcast<vec4<u32>>(gradient), vec4(NAN_BITS), becomes_nan);
                store_gradient(row.gradient + 4u * group, count_of(group, params.gradient_cols), bits);
            }
        }
        total += sum;
    }
    if GRADIENT {
        clear_gradient(row, groups, lane);
    }
    return dot(total, vec4(1.0));
}

// The bits of the label's logit; MASKED_BITS where there is none.
fn label_bits_of(row: Row) -> u32 {
    if !row.counts_hard || !row.label.is_class {
        return MASKED_BITS;
    }
    let group = row.label.class_index / 4u;
    return load_student(row.student + 4u * group, count_of(group, params.vocab))[row.label.class_index % 4u];
}

fn record_of(row: Row, part: RowPart, is_bad_label: bool, label_bits: u32, divergence: f32) -> RowRecord {
    var status = select(0u, STATUS_HARD, row.counts_hard) | select(0u, STATUS_SOFT, row.counts_soft);
    if is_bad_label {
        status |= STATUS_BAD_LABEL;
    }
    if is_bad_label || is_nonfinite(part) {
        status |= STATUS_NONFINITE;
    } else {
        status |= select(0u, STATUS_INFINITE_HARD, row.counts_hard && label_bits >= MASKED_BITS);
        status |= select(0u, STATUS_INFINITE_SOFT, row.counts_soft && (part.flags & INFINITE_SOFT) != 0u);
    }
    let label_logit = bitcast<f32>(min(label_bits, MASKED_BITS));
    let terms = terms_of(
        select(0.0, hard(part, label_logit), row.counts_hard),
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
            clear_gradient(row, 0u, lane.index);
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
    let part = join_parts(lane, first_pass(row, lane.index));
    var divergence = 0.0;
    if SOFT || GRADIENT {
        let is_nan = is_bad_label || is_nonfinite(part);
        let weights = gradient_weights(row, index);
        divergence = join_sum(lane, second_pass(row, finish(part), weights, is_nan, lane.index));
    }
    if writes_record {
        records[params.first_row + index] = record_of(row, part, is_bad_label, label_bits, divergence);
    }
}
