// What a class adds to the soft term: the twin of src/divergence.rs. Elements come two at a time (two.cuh), so a structure of
// one element there is a structure of two here.

enum Divergence { FORWARD_KL };

static_assert(DIVERGENCE == FORWARD_KL, "a kernel for each divergence");

// What two pairs of logits add to the soft term.
struct SoftElements {
    // q - p.
    Two difference;
    // The gain of soft / T², at least 0.
    Two divergence;
};

// Takes a difference of q - p and a divergence of p · φ(y), and makes the less accurate one from the other. If |y| < ½, the
// difference becomes the divergence plus p · y. Else the divergence becomes the difference less p · y.
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
    // y is infinite if one logit is masked, and may be NaN if both are. With any finite y, p · y is 0 if p is.
    y = fmaxf(fminf(y, LARGEST), -LARGEST);
    SoftElements soft = {fmaf(student_tempered, normalizer.student_tempered_factor, -p), p * phi(y)};
    settle(p.low, y.low, soft.difference.low, soft.divergence.low);
    settle(p.high, y.high, soft.difference.high, soft.divergence.high);
    return soft;
}
