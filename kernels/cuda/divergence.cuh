// What a class adds to the soft term: the twin of src/divergence.rs. Elements come two at a time (two.cuh), and what is one
// structure there is one of two elements here.

enum Divergence { FORWARD_KL };

static_assert(DIVERGENCE == FORWARD_KL, "a kernel for each divergence");

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
