// What a class adds to forward KL: the twin of src/divergence.rs. Elements come as vectors of four.

// What four pairs of logits add to the soft term: q - p, and their part of soft / T².
struct SoftElement {
    difference: vec4<f32>,
    divergence: vec4<f32>,
}

// `student` and `teacher` are relative to their maxima; `student_tempered` is e^(student / T).
fn soft_element(
    normalizer: Normalizer,
    student: vec4<f32>,
    student_tempered: vec4<f32>,
    teacher: vec4<f32>,
) -> SoftElement {
    let q = student_tempered * normalizer.student_tempered_factor;
    let p = exp2(teacher * params.temperature_exponent_scale) * normalizer.teacher_tempered_factor;
    let limit = vec4(params.largest_distance);
    let distance = clamp(teacher - student, -limit, limit);
    // A finite y, however large, makes p · y 0 where p is.
    let y = normalizer.log_ratio - distance * params.temperature_reciprocal;

    let phi = phi(y);
    let near = abs(y) < vec4(0.5);
    return SoftElement(
        select(q - p, p * (y + phi), near),
        select((q - p) - p * y, p * phi, near),
    );
}
