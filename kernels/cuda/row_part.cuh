// What is known of a part of a row, a monoid: the twin of src/row_part.rs, name for name. That file says
// what the fields mean and where they come from; this one says what a kernel does differently.
//
// * NaN and +inf need no flag: they make a sum NaN or infinite, and nothing else does.
// * Many parts are merged at once: each is moved to the largest maximum once, then all are added (join.cuh).
// * A part has no divergence and no log_ratio of its own: the second pass compares with the sums of the whole row.
// * There is no f64: logarithms are taken in f32, and are off by a unit in the last place at most.

// A logit at or below this counts as -inf.
static constexpr float MASKED = -1e30f;

struct RowPart {
    float student_max;
    float student_sum;
    float student_tempered_sum;
    float teacher_max;
    float teacher_tempered_sum;
    // Whether the student is masked somewhere where the teacher is not: the divergence is infinite.
    unsigned infinite_soft;
};

// What is known of no elements.
__device__ __forceinline__ RowPart identity() { return RowPart{MASKED, 0.0f, 0.0f, MASKED, 0.0f, 0}; }

__device__ __forceinline__ bool is_masked(float logit) { return logit <= MASKED; }

// Factors that move sums to higher maxima.
struct Rescaling {
    float student;
    float student_tempered;
    float teacher_tempered;
};

// The factors for maxima that rise. A shift is the old maximum less the new one, so it is never positive.
__device__ __forceinline__ Rescaling rescaling_by(float student_shift, float teacher_shift, const Params& params) {
    float scale = params.temperature_exponent_scale;
    Rescaling rescaling = {};
    if (HARD) rescaling.student = exp2_polynomial(student_shift * LOG2_E);
    if (SOFT) rescaling.student_tempered = exp2_polynomial(student_shift * scale);
    if (SOFT) rescaling.teacher_tempered = exp2_polynomial(teacher_shift * scale);
    return rescaling;
}

// The same part, relative to maxima that are at least as large. Two parts relative to the same maxima merge by adding sums.
__device__ __forceinline__ RowPart rebased(RowPart part, float student_max, float teacher_max, const Params& params) {
    Rescaling rescaling = rescaling_by(part.student_max - student_max, part.teacher_max - teacher_max, params);
    part.student_max = student_max;
    part.teacher_max = teacher_max;
    part.student_sum *= rescaling.student;
    part.student_tempered_sum *= rescaling.student_tempered;
    part.teacher_tempered_sum *= rescaling.teacher_tempered;
    return part;
}

__device__ __forceinline__ bool is_sum(float sum) { return sum < INFINITE; }

// Whether the row's loss is NaN: it holds NaN or +inf, or a matrix that was read is masked throughout.
__device__ __forceinline__ bool is_nonfinite(const RowPart& part) {
    bool student = is_masked(part.student_max) || !is_sum(HARD ? part.student_sum : part.student_tempered_sum);
    bool teacher = SOFT && (is_masked(part.teacher_max) || !is_sum(part.teacher_tempered_sum));
    return student || teacher;
}

// The hard term logsumexp(s) - s[y], given the student logit of the label; +inf if that logit is masked.
__device__ __forceinline__ float hard_term(const RowPart& part, float label_logit) {
    if (is_masked(label_logit)) return INFINITE;
    return logf(part.student_sum) + (part.student_max - label_logit);
}

// What turns a pair of logits into probabilities, once the sums of the row are known.
struct Normalizer {
    float student_max;
    float teacher_max;
    float student_factor;
    float student_tempered_factor;
    float teacher_tempered_factor;
    float log_ratio;
};

__device__ __forceinline__ Normalizer finish(const RowPart& part) {
    float student = part.student_tempered_sum;
    float teacher = part.teacher_tempered_sum;
    Normalizer normalizer = {part.student_max, part.teacher_max};
    if (HARD) normalizer.student_factor = 1.0f / part.student_sum;
    if (SOFT) {
        normalizer.student_tempered_factor = 1.0f / student;
        normalizer.teacher_tempered_factor = 1.0f / teacher;
        normalizer.log_ratio = log1pf((teacher - student) * normalizer.student_tempered_factor);
    }
    return normalizer;
}

// Where T is 1, 2 or 4 one exponential is a power of the other: SQUARINGS is 0, 1 or 2 then, else NO_SQUARINGS.
static constexpr int NO_SQUARINGS = 3;

// Exponentials of two student logits, relative to a reference.
struct Exponentials {
    // e^(s - reference), where the hard term needs it.
    Two plain;
    // e^((s - reference) / T), where the soft term needs it.
    Two tempered;
};

// IN_POLYNOMIAL: whether the third exponential of an element, if it needs one, is computed by multiplications and additions.
template <bool IN_POLYNOMIAL>
__device__ __forceinline__ Exponentials exponentials(Two shifted, const Params& params) {
    Exponentials result = {};
    if (SOFT) result.tempered = exp2_special(shifted * params.temperature_exponent_scale);
    if (HARD && SOFT && SQUARINGS < NO_SQUARINGS) {
        result.plain = result.tempered;
#pragma unroll
        for (int squaring = 0; squaring < SQUARINGS; squaring++) result.plain = result.plain * result.plain;
    } else if (HARD && SOFT && IN_POLYNOMIAL) {
        result.plain = exp2_polynomial(shifted * LOG2_E);
    } else if (HARD) {
        result.plain = exp2_special(shifted * LOG2_E);
    }
    return result;
}
