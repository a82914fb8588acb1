// The row statistics, a monoid, and the element formula of the second pass: the twin of src/row_stats.rs, name for name.
// There stands what they mean and where they come from; here, what a kernel has to do differently.
//
// * NaN and +inf need no flag: they run into the sums, which nothing else can make infinite or NaN.
// * Many parts are merged at once: moved to the largest maximum, each once, then added (join.cuh).
// * Elements come two at a time (two.cuh), and what is one structure there is one of two elements here.
// * There is no f64: the logarithms are those of f32, to a unit in the last place.

// A logit at or below this counts as -inf.
static constexpr float MASKED = -1e30f;

struct RowStats {
    float student_max;
    float student_sum;
    float student_tempered_sum;
    float teacher_max;
    float teacher_tempered_sum;
    // Whether the student is masked somewhere where the teacher is not: the divergence is infinite.
    unsigned infinite_soft;
};

// The statistics of no elements.
__device__ __forceinline__ RowStats identity() { return RowStats{MASKED, 0.0f, 0.0f, MASKED, 0.0f, 0}; }

__device__ __forceinline__ bool is_masked(float logit) { return logit <= MASKED; }

// Factors that move sums to higher maxima.
struct Rescaling {
    float student;
    float student_tempered;
    float teacher_tempered;
};

// The factors for maxima that rise by so much, given as numbers that are not positive.
__device__ __forceinline__ Rescaling rescaling_by(float student_shift, float teacher_shift, const Params& params) {
    float scale = params.temperature_exponent_scale;
    Rescaling rescaling = {};
    if (HARD) rescaling.student = exp2_polynomial(student_shift * LOG2_E);
    if (SOFT) rescaling.student_tempered = exp2_polynomial(student_shift * scale);
    if (SOFT) rescaling.teacher_tempered = exp2_polynomial(teacher_shift * scale);
    return rescaling;
}

// The same statistics relative to maxima at least as large. Merging is this, and adding the sums.
__device__ __forceinline__ RowStats rebased(RowStats stats, float student_max, float teacher_max, const Params& params) {
    Rescaling rescaling = rescaling_by(stats.student_max - student_max, stats.teacher_max - teacher_max, params);
    stats.student_max = student_max;
    stats.teacher_max = teacher_max;
    stats.student_sum *= rescaling.student;
    stats.student_tempered_sum *= rescaling.student_tempered;
    stats.teacher_tempered_sum *= rescaling.teacher_tempered;
    return stats;
}

__device__ __forceinline__ bool is_sum(float sum) { return sum < INFINITE; }

// Whether the row's loss is NaN: it holds NaN or +inf, or a matrix that was read is masked throughout.
__device__ __forceinline__ bool is_nonfinite(const RowStats& stats) {
    bool student = is_masked(stats.student_max) || !is_sum(HARD ? stats.student_sum : stats.student_tempered_sum);
    bool teacher = SOFT && (is_masked(stats.teacher_max) || !is_sum(stats.teacher_tempered_sum));
    return student || teacher;
}

// The hard term logsumexp(s) - s[y], given the student logit of the label; +inf if that logit is masked.
__device__ __forceinline__ float hard_term(const RowStats& stats, float label_logit) {
    if (is_masked(label_logit)) return INFINITE;
    return logf(stats.student_sum) + (stats.student_max - label_logit);
}

// What turns a pair of logits into probabilities, once the statistics of the row are known.
struct Normalizer {
    float student_max;
    float teacher_max;
    float student_factor;
    float student_tempered_factor;
    float teacher_tempered_factor;
    float log_ratio;
};

__device__ __forceinline__ Normalizer finish(const RowStats& stats) {
    float student = stats.student_tempered_sum;
    float teacher = stats.teacher_tempered_sum;
    Normalizer normalizer = {stats.student_max, stats.teacher_max};
    if (HARD) normalizer.student_factor = 1.0f / stats.student_sum;
    if (SOFT) {
        normalizer.student_tempered_factor = 1.0f / student;
        normalizer.teacher_tempered_factor = 1.0f / teacher;
        normalizer.log_ratio = log1pf((teacher - student) * normalizer.student_tempered_factor);
    }
    return normalizer;
}

// Where T is 1, 2 or 4 one exponential is a power of the other: SQUARINGS is 0, 1 or 2 then, else NO_SQUARINGS.
static constexpr int NO_SQUARINGS = 3;

// Exponentials of two student logits less a reference.
struct Exponentials {
    // e^(s - reference), where the hard term needs it.
    Two plain;
    // e^((s - reference) / T), where the soft term needs it.
    Two tempered;
};

// IN_POLYNOMIAL: whether a third exponential of an element is left to multiplications and additions.
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

// What two pairs of logits add to the soft term.
struct SoftElements {
    // q - p.
    Two difference;
    // The gain of soft / T², at least 0.
    Two divergence;
};

// Each is had from the other: near 0, where the divergence is p · φ(y), the difference is that and p · y; further off, where
// the difference is q - p, the divergence is what p · y leaves of it.
__device__ __forceinline__ void settle(float p, float y, float& difference, float& divergence) {
    if (fabsf(y) < 0.5f) {
        difference = fmaf(p, y, divergence);
    } else {
        divergence = fmaf(-p, y, difference);
    }
}

// `student` and `teacher` are relative to their maxima; `student_tempered` is e^(student / T).
__device__ __forceinline__ SoftElements soft_elements(
    const Normalizer& normalizer, Two student, Two student_tempered, Two teacher, const Params& params) {
    Two p = exp2_special(teacher * params.temperature_exponent_scale) * normalizer.teacher_tempered_factor;
    Two y = fmaf(student - teacher, params.temperature_reciprocal, normalizer.log_ratio);
    // Where a logit is masked y is infinite, and NaN where both are: any number makes p · y 0 where p is.
    y = fmaxf(fminf(y, LARGEST), -LARGEST);
    SoftElements soft = {fmaf(student_tempered, normalizer.student_tempered_factor, -p), p * phi(y)};
    settle(p.low, y.low, soft.difference.low, soft.divergence.low);
    settle(p.high, y.high, soft.difference.high, soft.divergence.high);
    return soft;
}
