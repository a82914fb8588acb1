//! The contract on the worst GPU there may be. Lavapipe's exponentials and logarithms are good to a bit or two; WGSL lets
//! a GPU's be off by more, and some are. Here they are off by as much as they may, in every way that could add up.

use std::sync::Arc;

use kdloss::DistillationLoss;
use kdloss::wgpu::Options;

use super::device::{implementation, open, run};
use crate::case::Case;
use crate::contract::check;
use crate::generate::{self, Rows};

/// What WGSL promises (its section on the accuracy of expressions) of `exp2`: 3 + 2|x| units in the last place, of which
/// one is left to the error that the built-in has here; of `log`: 2⁻²¹ between ½ and 2, else 3 units; of a quotient: 2.5.
/// Beyond the promise, 2⁰ is 1, as hardware has it: if all exponentials, that one too, erred in the same direction, their
/// fourth powers (T = 4) would take the hard term 1 % past the contract.
const ROUGH: &str = "
fn unit_of(value: vec4<f32>) -> vec4<f32> {
    let exponent = bitcast<vec4<u32>>(value) & vec4(0x7f800000u);
    return bitcast<vec4<f32>>(max(exponent, vec4(24u << 23u)) - vec4(23u << 23u));
}
fn rough_exp2(x: vec4<f32>) -> vec4<f32> {
    let error = floor(2.0 + 2.0 * min(abs(x), vec4(126.0))) * direction(x);
    let rough = select(exp2(x) + error * unit_of(exp2(x)), vec4(0.0), x < vec4(-126.0));
    return select(rough, vec4(1.0), x == vec4(0.0));
}
fn rough_log(x: f32) -> f32 {
    return log(x) + select(3.0 * unit_of(vec4(log(x))).x, 4.7683716e-7, x >= 0.5 && x <= 2.0);
}
fn rough_quotient(x: f32, y: f32) -> f32 {
    return x / y + select(0.0, 2.0 * unit_of(vec4(x / y)).x, abs(x) > 1e-30);
}
";

/// In which direction an exponential is off.
const DIRECTIONS: [(&str, &str); 4] = [
    ("all too large", "return vec4(1.0);"),
    ("all too small", "return vec4(-1.0);"),
    ("large ones too small, small ones too large", "return select(vec4(-1.0), vec4(1.0), x < vec4(-2.0));"),
    (
        "this way and that",
        "return select(vec4(-1.0), vec4(1.0), ((bitcast<vec4<u32>>(x) * 2654435769u) >> vec4(31u)) == vec4(0u));",
    ),
];

const EDITS: [(&str, &str); 9] = [
    ("= exp2(", "= rough_exp2("),
    ("exp2(student_shift * LOG2_E)),", "rough_exp2((student_shift * LOG2_E).xyxy).xy),"),
    ("exp2(student_shift * scale)),", "rough_exp2((student_shift * scale).xyxy).xy),"),
    ("exp2(teacher_shift * scale)),", "rough_exp2((teacher_shift * scale).xyxy).xy),"),
    ("return log(1.0 + u);", "return rough_log(1.0 + u);"),
    ("u / (2.0 + u)", "rough_quotient(u, 2.0 + u)"),
    ("1.0 / part.student_sum,", "rough_quotient(1.0, part.student_sum),"),
    ("1.0 / student,\n        1.0 / teacher,", "rough_quotient(1.0, student),\n        rough_quotient(1.0, teacher),"),
    ("(teacher - student) / student", "rough_quotient(teacher - student, student)"),
];

fn roughened(source: &str, direction: &str) -> String {
    let edited = EDITS.iter().fold(source.to_owned(), |source, (from, to)| {
        assert!(source.contains(from), "no kernel contains `{from}`");
        source.replace(from, to)
    });
    format!("{edited}{ROUGH}fn direction(x: vec4<f32>) -> vec4<f32> {{\n    {direction}\n}}\n")
}

#[test]
fn built_in_functions_as_wrong_as_they_may_be_keep_the_contract() {
    for (name, direction) in DIRECTIONS {
        let options = Options::new().with_source_edit(|kernel, source| match kernel.entry_point() {
            "distill" => roughened(&source, direction),
            _ => source,
        });
        let Some(gpu) = open(None, options).map(Arc::new) else { return };
        let rough = implementation(name, move |case| run(&gpu, case));
        for (vocab, spread) in [(8, 10.0), (1000, 3.0), (32_000, 1.0), (151_936, 3.0)] {
            let Rows { student, teacher, labels } = generate::rows(91, 2, vocab, spread);
            let near: Vec<Vec<f32>> = student
                .iter()
                .zip(&teacher)
                .map(|(student, teacher)| student.iter().zip(teacher).map(|(s, t)| t + 1e-3 * s).collect())
                .collect();
            for student in [&student, &near] {
                for temperature in [0.5, 1.0, 2.0, 3.0, 4.0, 20.0] {
                    for alpha in [0.0, 0.5, 1.0] {
                        let loss = DistillationLoss::new().with_temperature(temperature).with_alpha(alpha);
                        check(&rough, &Case::new(loss, student, &teacher, &labels));
                    }
                }
            }
        }
    }
}
