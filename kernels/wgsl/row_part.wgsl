// What is known of a part of a row, a monoid: the twin of src/row_part.rs, name for name. That file says
// what the fields mean and where they come from; this one says what a shader does differently.
//
// * A shader may assume that there are no NaNs and infinities, so they are found by the bits of a logit: as integers,
//   +inf and NaN are the largest of their sign. -inf becomes MASKED, a number, before any arithmetic.
// * Elements come as vectors of four.
// * A part has no divergence and no log_ratio of its own: the second pass compares with the sums of the whole row.
// * There is no f64: the logarithms come from `log1p`.
// * A part counts the groups of four elements that were visited. A driver may end a loop early, or lose what a lane holds
//   where lanes are joined: the row is whole only where the count of all its lanes is right.
// * No element becomes a part by itself: distillation.wgsl sums up a lane's elements relative to a reference near their
//   maximum.

// A logit at or below this counts as -inf.
const MASKED: f32 = -1e30;
// Its bits. Read as an unsigned number, the bits of a negative float grow with its magnitude, and are larger than those of
// every positive one: exactly the masked logits (and negative NaN) have bits from here on.
const MASKED_BITS: u32 = 0xf149f2cau;

// Flags of RowPart, in the bits that no count of groups reaches: a binding holds 2^30 elements at most.
const NONFINITE: u32 = 1u << 30u;
const INFINITE_SOFT: u32 = 1u << 31u;
const FLAGS: u32 = NONFINITE | INFINITE_SOFT;

struct RowPart {
    student_max: f32,
    student_sum: f32,
    student_tempered_sum: f32,
    teacher_max: f32,
    teacher_tempered_sum: f32,
    visited_and_flags: u32,
}

// What is known of no elements.
const IDENTITY = RowPart(MASKED, 0.0, 0.0, MASKED, 0.0, 0u);

fn is_masked(bits: vec4<u32>) -> vec4<bool> {
    return bits >= vec4(MASKED_BITS);
}

// The logits whose bits these are, MASKED for those that are masked.
fn unmasked(bits: vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(min(bits, vec4(MASKED_BITS)));
}

// Two parts together.
fn merge(a: RowPart, b: RowPart) -> RowPart {
    let student_max = max(a.student_max, b.student_max);
    let teacher_max = max(a.teacher_max, b.teacher_max);
    let student_shift = vec2(a.student_max, b.student_max) - student_max;
    let teacher_shift = vec2(a.teacher_max, b.teacher_max) - teacher_max;
    let scale = params.temperature_exponent_scale;
    return RowPart(
        student_max,
        dot(vec2(a.student_sum, b.student_sum), exp2(student_shift * LOG2_E)),
        dot(vec2(a.student_tempered_sum, b.student_tempered_sum), exp2(student_shift * scale)),
        teacher_max,
        dot(vec2(a.teacher_tempered_sum, b.teacher_tempered_sum), exp2(teacher_shift * scale)),
        visited(a) + visited(b) + ((a.visited_and_flags | b.visited_and_flags) & FLAGS),
    );
}

// The groups of four elements that the part is made of.
fn visited(part: RowPart) -> u32 {
    return part.visited_and_flags & ~FLAGS;
}

// What the second pass adds up over a part of the row: its part of soft / T², and the groups of four elements of the row and
// of its padding that were visited.
struct RowSums {
    divergence: f32,
    visited: u32,
}

fn merge_sums(a: RowSums, b: RowSums) -> RowSums {
    return RowSums(a.divergence + b.divergence, a.visited + b.visited);
}

// Whether the row's loss is NaN: it holds NaN or +inf, or a matrix that was read is masked throughout.
fn is_nonfinite(part: RowPart) -> bool {
    return (part.visited_and_flags & NONFINITE) != 0u || part.student_max <= MASKED || (SOFT && part.teacher_max <= MASKED);
}

// The hard term logsumexp(s) - s[y], given the student logit of the label, which is not masked.
fn hard(part: RowPart, label_logit: f32) -> f32 {
    return log1p(part.student_sum - 1.0) + (part.student_max - label_logit);
}

// What turns a pair of logits into probabilities, once the sums of the row are known.
struct Normalizer {
    student_max: f32,
    teacher_max: f32,
    student_factor: f32,
    student_tempered_factor: f32,
    teacher_tempered_factor: f32,
    log_ratio: f32,
}

fn finish(part: RowPart) -> Normalizer {
    let student = part.student_tempered_sum;
    let teacher = part.teacher_tempered_sum;
    return Normalizer(
        part.student_max,
        part.teacher_max,
        1.0 / part.student_sum,
        1.0 / student,
        1.0 / teacher,
        log1p((teacher - student) / student),
    );
}

// Exponentials of four logits, relative to one reference: the maximum of the row, or a number near it.
struct Exponentials {
    // e^(x - reference), where the hard term needs it.
    plain: vec4<f32>,
    // e^((x - reference) / T), where the soft term needs it.
    tempered: vec4<f32>,
}

// Where T is 1, 2 or 4 one exponential is a power of the other: SQUARINGS is 0, 1 or 2 then, else NO_SQUARINGS.
const NO_SQUARINGS: u32 = 3u;

fn power_of_two(x: vec4<f32>, is_precise: bool) -> vec4<f32> {
    if is_precise {
        return precise_exp2(x);
    }
    let power = exp2(x);
    return power;
}

// The sums of the first pass need precise exponentials; in the second, each stands for itself.
fn exponentials(shifted: vec4<f32>, is_precise: bool) -> Exponentials {
    var result: Exponentials;
    if SOFT {
        result.tempered = power_of_two(shifted * params.temperature_exponent_scale, is_precise);
    }
    if HARD {
        if SOFT && SQUARINGS < NO_SQUARINGS {
            result.plain = result.tempered;
            if SQUARINGS >= 1u {
                result.plain *= result.plain;
            }
            if SQUARINGS >= 2u {
                result.plain *= result.plain;
            }
        } else {
            result.plain = power_of_two(shifted * LOG2_E, is_precise);
        }
    }
    return result;
}

// softmax(s) of four student logits, at temperature 1.
fn hard_element(normalizer: Normalizer, student_plain: vec4<f32>) -> vec4<f32> {
    return student_plain * normalizer.student_factor;
}
