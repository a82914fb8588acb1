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
// Accuracy: a lane takes a strip of four groups at a time, and adds up its elements as a tree. BLOCK strips are a chain, since
// carrying costs something; from there on sums are trees again, first over a lane's blocks (levels.wgsl), then over lanes.
//
// Completeness: a driver may end a loop early (Mesa's llvmpipe after some 65 535 iterations), or lose what a lane holds. Every
// group is counted when it is visited, in either pass, and a row whose count is wrong says so in its record and is NaN.

@group(0) @binding(5) var<storage, read> row_grad_scale: array<f32>;
@group(0) @binding(6) var<storage, read> totals: Totals;
@group(0) @binding(7) var<storage, read_write> records: array<RowRecord>;

// Strips that a lane adds up before it carries their sum to a level.
const BLOCK: u32 = 8u;

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

// The strips of a row that are whole in every lane, whose groups all have four elements. What is behind them is taken group by
// group, at most four to a lane.
fn whole_strips() -> u32 {
    return params.vocab / (16u * WORKGROUP_SIZE);
}

// The sum of four numbers, in pairs.
fn in_pairs(values: vec4<f32>) -> f32 {
    return (values.x + values.y) + (values.z + values.w);
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

// The same sums as one number each.
fn folded(sums: Sums) -> vec3<f32> {
    return vec3(in_pairs(sums.student), in_pairs(sums.student_tempered), in_pairs(sums.teacher_tempered));
}

fn largest(values: vec4<f32>) -> f32 {
    return max(max(values.x, values.y), max(values.z, values.w));
}

// What a lane finds in its part of the row, but for the sums.
struct Findings {
    student_max: vec4<f32>,
    teacher_max: vec4<f32>,
    // The largest bits met: of positive logits as signed integers, of negative ones as unsigned integers.
    largest_positive: vec4<i32>,
    largest_negative: vec4<u32>,
    infinite_soft: vec4<u32>,
    visited: u32,
}

const NO_FINDINGS = Findings(vec4(MASKED), vec4(MASKED), vec4(0), vec4(0u), vec4(0u), 0u);

// Numbers near the maxima of student and teacher, which exponentials are relative to.
struct References {
    student: f32,
    teacher: f32,
}

// First pass over one group: what is found there, and the exponentials of its elements.
fn find(findings: ptr<function, Findings>, row: Row, references: References, group: u32, count: u32) -> Sums {
    var sums: Sums;
    let student_bits = load_student(row.student + 4u * group, count);
    let student = unmasked(student_bits);
    (*findings).visited += 1u;
    (*findings).largest_positive = max((*findings).largest_positive, bitcast<vec4<i32>>(student_bits));
    (*findings).largest_negative = max((*findings).largest_negative, student_bits);
    (*findings).student_max = max((*findings).student_max, student);
    let student_exponentials = exponentials(student - references.student, true);
    if HARD {
        sums.student = student_exponentials.plain;
    }
    if SOFT {
        sums.student_tempered = student_exponentials.tempered;
        let teacher_bits = load_teacher(row.teacher + 4u * group, count);
        let teacher = unmasked(teacher_bits);
        (*findings).largest_positive = max((*findings).largest_positive, bitcast<vec4<i32>>(teacher_bits));
        (*findings).largest_negative = max((*findings).largest_negative, teacher_bits);
        (*findings).infinite_soft |= select(vec4(0u), vec4(1u), is_masked(student_bits) & (teacher_bits < vec4(MASKED_BITS)));
        (*findings).teacher_max = max((*findings).teacher_max, teacher);
        sums.teacher_tempered = precise_exp2((teacher - references.teacher) * params.temperature_exponent_scale);
    }
    return sums;
}

fn find_strip(findings: ptr<function, Findings>, row: Row, references: References, group: u32) -> vec3<f32> {
    let first = find(findings, row, references, group, 4u);
    let second = find(findings, row, references, group + WORKGROUP_SIZE, 4u);
    let third = find(findings, row, references, group + 2u * WORKGROUP_SIZE, 4u);
    let fourth = find(findings, row, references, group + 3u * WORKGROUP_SIZE, 4u);
    return folded(add(add(first, second), add(third, fourth)));
}

// First pass over a lane's part of the row: what is found there, and the sums of exponentials.
fn find_all(findings: ptr<function, Findings>, row: Row, references: References, lane: u32) -> vec3<f32> {
    let strips = whole_strips();
    var group = lane;
    var levels: Levels;
    for (var strip = 0u; strip < strips; strip += BLOCK) {
        let end = min(strip + BLOCK, strips);
        var block = vec3(0.0);
        for (var index = strip; index < end; index++) {
            block += opaque(find_strip(findings, row, references, group));
            group += 4u * WORKGROUP_SIZE;
        }
        push(&levels, block);
    }
    var rest: Sums;
    for (; 4u * group < params.vocab; group += WORKGROUP_SIZE) {
        rest = add(rest, find(findings, row, references, group, count_of(group, params.vocab)));
    }
    return total_of(levels, folded(rest));
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
    var references = References(
        largest(unmasked(load_student(row.student + 4u * lane, count))),
        largest(unmasked(load_teacher(row.teacher + 4u * lane, count))),
    );
    // e^(x - reference) and e^((x - reference) / T) both stay below e^REACH.
    let reach = REACH / max(1.0, params.temperature_reciprocal);
    var findings: Findings;
    var sums: vec3<f32>;
    var student_max: f32;
    var teacher_max: f32;
    for (var reading = 0u; reading < 2u; reading++) {
        findings = NO_FINDINGS;
        sums = find_all(&findings, row, references, lane);
        student_max = largest(findings.student_max);
        teacher_max = largest(findings.teacher_max);
        if max(student_max - references.student, teacher_max - references.teacher) <= reach {
            break;
        }
        references = References(student_max, teacher_max);
    }
    let student_shift = references.student - student_max;
    let teacher_shift = references.teacher - teacher_max;
    let scale = params.temperature_exponent_scale;
    let shifts = vec3(student_shift * LOG2_E, student_shift * scale, teacher_shift * scale);
    sums *= precise_exp2(vec4(shifts, 0.0)).xyz;
    return RowPart(student_max, sums.x, sums.y, teacher_max, sums.z, findings.visited | flags_of(findings));
}

fn flags_of(findings: Findings) -> u32 {
    var flags = 0u;
    if any(findings.largest_positive >= vec4(0x7f800000)) || any(findings.largest_negative > vec4(0xff800000u)) {
        flags |= NONFINITE;
    }
    if any(findings.infinite_soft != vec4(0u)) {
        flags |= INFINITE_SOFT;
    }
    return flags;
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

// Zeros from a group on: padding, or all of a row that does not count, whatever it holds. Returns the groups visited.
fn clear_gradient(row: Row, first_group: u32, lane: u32) -> u32 {
    var cleared = 0u;
    for (var group = first_group + lane; 4u * group < params.gradient_cols; group += WORKGROUP_SIZE) {
        store_gradient(row.gradient + 4u * group, count_of(group, params.gradient_cols), vec4(0u));
        cleared += 1u;
    }
    return cleared;
}

// What the second pass knows of a row.
struct Known {
    normalizer: Normalizer,
    weights: GradientWeights,
    is_nan: bool,
}

// Second pass over one group, of which `count` elements are classes and `columns` belong to the gradient: writes its gradient,
// and returns its part of soft / T².
fn differentiate(row: Row, known: Known, group: u32, count: u32, columns: u32) -> f32 {
    // What is not there of a last group is as masked logits are: it has no probability, hence no gradient.
    let student = unmasked(load_student(row.student + 4u * group, count)) - known.normalizer.student_max;
    let student_exponentials = exponentials(student, false);
    var gradient = vec4(0.0);
    var divergence = 0.0;
    if HARD {
        gradient = known.weights.hard * hard_element(known.normalizer, student_exponentials.plain);
    }
    if SOFT {
        let teacher = unmasked(load_teacher(row.teacher + 4u * group, count)) - known.normalizer.teacher_max;
        let element = soft_element(known.normalizer, student, student_exponentials.tempered, teacher);
        divergence = in_pairs(element.divergence);
        gradient += known.weights.soft * element.difference;
    }
    if GRADIENT {
        let classes = 4u * group + vec4(0u, 1u, 2u, 3u);
        if HARD {
            let is_label = classes == vec4(row.label.class_index);
            gradient -= select(vec4(0.0), vec4(known.weights.hard), is_label & vec4(row.label.is_class));
        }
        let becomes_nan = (classes < vec4(params.vocab)) & vec4(known.is_nan);
        let bits = select(bitcast<vec4<u32>>(gradient), vec4(NAN_BITS), becomes_nan);
        store_gradient(row.gradient + 4u * group, columns, bits);
    }
    return divergence;
}

fn differentiate_strip(row: Row, known: Known, group: u32) -> f32 {
    let first = differentiate(row, known, group, 4u, 4u);
    let second = differentiate(row, known, group + WORKGROUP_SIZE, 4u, 4u);
    let third = differentiate(row, known, group + 2u * WORKGROUP_SIZE, 4u, 4u);
    let fourth = differentiate(row, known, group + 3u * WORKGROUP_SIZE, 4u, 4u);
    return (first + second) + (third + fourth);
}

// Second pass: writes the gradient of a lane's part of the row, and returns its part of what the row adds up to.
fn second_pass(row: Row, known: Known, lane: u32) -> RowSums {
    let strips = whole_strips();
    var group = lane;
    var visited = 0u;
    var levels: Levels;
    for (var strip = 0u; strip < strips; strip += BLOCK) {
        let end = min(strip + BLOCK, strips);
        var block = vec3(0.0);
        for (var index = strip; index < end; index++) {
            block.x += opaque(vec3(differentiate_strip(row, known, group), 0.0, 0.0)).x;
            group += 4u * WORKGROUP_SIZE;
            visited += 4u;
        }
        push(&levels, block);
    }
    var rest = vec3(0.0);
    for (; 4u * group < params.vocab; group += WORKGROUP_SIZE) {
        rest.x += differentiate(row, known, group, count_of(group, params.vocab), count_of(group, params.gradient_cols));
        visited += 1u;
    }
    if GRADIENT {
        visited += clear_gradient(row, groups_of(params.vocab), lane);
    }
    return RowSums(total_of(levels, rest).x, visited);
}

// Groups of four elements that a row of this many elements has.
fn groups_of(elements: u32) -> u32 {
    return (elements + 3u) / 4u;
}

// The bits of the label's logit; MASKED_BITS where there is none.
fn label_bits_of(row: Row) -> u32 {
    if !row.counts_hard || !row.label.is_class {
        return MASKED_BITS;
    }
    let group = row.label.class_index / 4u;
    return load_student(row.student + 4u * group, count_of(group, params.vocab))[row.label.class_index % 4u];
}

fn record_of(row: Row, part: RowPart, is_whole: bool, is_bad_label: bool, label_bits: u32, divergence: f32) -> RowRecord {
    var status = select(0u, STATUS_HARD, row.counts_hard) | select(0u, STATUS_SOFT, row.counts_soft);
    status |= select(0u, STATUS_WHOLE, is_whole);
    if is_bad_label {
        status |= STATUS_BAD_LABEL;
    }
    if !is_whole || is_bad_label || is_nonfinite(part) {
        status |= STATUS_NONFINITE;
    } else {
        status |= select(0u, STATUS_INFINITE_HARD, row.counts_hard && label_bits >= MASKED_BITS);
        status |= select(0u, STATUS_INFINITE_SOFT, row.counts_soft && (part.visited_and_flags & INFINITE_SOFT) != 0u);
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
        var is_whole = true;
        if GRADIENT {
            let cleared = join_sums(lane, RowSums(0.0, clear_gradient(row, 0u, lane.index)));
            is_whole = cleared.visited == groups_of(params.gradient_cols);
        }
        if writes_record {
            records[params.first_row + index] = RowRecord(0u, 0u, 0u, select(0u, STATUS_WHOLE, is_whole));
        }
        return;
    }
    var label_bits = MASKED_BITS;
    if writes_record {
        label_bits = label_bits_of(row);
    }
    let is_bad_label = params.label_words != 0u && !row.label.is_class && !row.label.is_ignored;
    let part = join_parts(lane, first_pass(row, lane.index));
    let groups = groups_of(params.vocab);
    var is_whole = visited(part) == groups;
    var divergence = 0.0;
    if SOFT || GRADIENT {
        let is_nan = !is_whole || is_bad_label || is_nonfinite(part);
        let known = Known(finish(part), gradient_weights(row, index), is_nan);
        let sums = join_sums(lane, second_pass(row, known, lane.index));
        divergence = sums.divergence;
        is_whole &= sums.visited == select(groups, groups_of(params.gradient_cols), GRADIENT);
    }
    if writes_record {
        records[params.first_row + index] = record_of(row, part, is_whole, is_bad_label, label_bits, divergence);
    }
}
