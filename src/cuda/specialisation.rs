//! The kernels' source, and what of it is chosen when it is compiled.

pub use crate::call::Terms;
use crate::divergence::Divergence;
use crate::elements::DType;

/// Where a pair of rows is between the two passes over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Residency {
    /// In the shared memory of one CTA.
    Block,
    /// In that of the 2 to 8 CTAs of a cluster, a slice each.
    Cluster,
    /// Nowhere: the second pass reads it again.
    Stream,
}

impl Residency {
    fn name(self) -> &'static str {
        match self {
            Self::Block => "BLOCK",
            Self::Cluster => "CLUSTER",
            Self::Stream => "STREAM",
        }
    }
}

/// What is chosen when the kernel is compiled: one kernel for each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Specialisation {
    /// Storage type of the student's logits.
    pub student: DType,
    /// Storage type of the teacher's logits; the student's where the teacher is not read.
    pub teacher: DType,
    /// Storage type of the gradient; `None` where the loss alone is wanted.
    pub gradient: Option<DType>,
    /// The terms that are computed.
    pub terms: Terms,
    /// What the soft term compares by.
    pub divergence: Divergence,
    /// Where rows are between the passes.
    pub residency: Residency,
    /// Whether all matrices are cut into 16-byte vectors at the same columns, in every row. Then they are moved in vectors.
    pub wide: bool,
}

/// The number by which the kernel knows that there are no squarings.
const NO_SQUARINGS: u32 = 3;

/// The name of the kernel.
pub const KERNEL: &str = "distill";

impl Specialisation {
    /// Elements of a row that a thread handles at a time: 16 bytes of the narrower of student and teacher.
    #[must_use]
    pub fn group(&self) -> usize {
        let teacher = if self.terms.has_soft() { self.teacher.size() } else { self.student.size() };
        16 / self.student.size().min(teacher)
    }

    /// Whether there is a second pass: not where cross-entropy alone is wanted, without its gradient.
    #[must_use]
    pub fn has_second_pass(&self) -> bool {
        self.terms.has_soft() || self.gradient.is_some()
    }

    /// The compiler's options, but for the architecture.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let define = |name: &str, value: &str| format!("--define-macro={name}={value}");
        let flag = |name: &str, value: bool| define(name, if value { "1" } else { "0" });
        vec![
            "--std=c++17".to_owned(),
            "--device-as-default-execution-space".to_owned(),
            define("STUDENT_TYPE", type_name(self.student)),
            define("TEACHER_TYPE", type_name(self.teacher)),
            define("GRADIENT_TYPE", type_name(self.gradient.unwrap_or(self.student))),
            flag("GRADIENT", self.gradient.is_some()),
            flag("HARD", self.terms.has_hard()),
            flag("SOFT", self.terms.has_soft()),
            define("DIVERGENCE", divergence_name(self.divergence)),
            define("SQUARINGS", &self.terms.squarings().unwrap_or(NO_SQUARINGS).to_string()),
            define("RESIDENCY", self.residency.name()),
            flag("WIDE", self.wide),
        ]
    }
}

fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::Bf16 => "Bf16",
    }
}

fn divergence_name(divergence: Divergence) -> &'static str {
    match divergence {
        Divergence::ForwardKl => "FORWARD_KL",
    }
}

/// The files of the kernels, the first of which includes the others.
const FILES: [(&str, &str); 12] = [
    ("distillation.cu", include_str!("../../kernels/cuda/distillation.cu")),
    ("two.cuh", include_str!("../../kernels/cuda/two.cuh")),
    ("math.cuh", include_str!("../../kernels/cuda/math.cuh")),
    ("storage.cuh", include_str!("../../kernels/cuda/storage.cuh")),
    ("groups.cuh", include_str!("../../kernels/cuda/groups.cuh")),
    ("params.cuh", include_str!("../../kernels/cuda/params.cuh")),
    ("row_part.cuh", include_str!("../../kernels/cuda/row_part.cuh")),
    ("divergence.cuh", include_str!("../../kernels/cuda/divergence.cuh")),
    ("labels.cuh", include_str!("../../kernels/cuda/labels.cuh")),
    ("join.cuh", include_str!("../../kernels/cuda/join.cuh")),
    ("rows.cuh", include_str!("../../kernels/cuda/rows.cuh")),
    ("fold.cuh", include_str!("../../kernels/cuda/fold.cuh")),
];

/// The kernel's source in one piece, with each file in the place where it is included, so that the compiler needs no
/// folder; its messages still name the files.
#[must_use]
pub fn source() -> String {
    let (main, text) = FILES[0];
    let mut source = String::new();
    for (index, line) in text.lines().enumerate() {
        let included = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
        match included.and_then(|name| FILES.iter().find(|(file, _)| *file == name)) {
            Some((name, text)) => {
                source += &format!("#line 1 \"{name}\"\n{text}#line {} \"{main}\"\n", index + 2);
            }
            None => source = source + line + "\n",
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_whole_and_includes_each_file_once() {
        let source = source();
        assert!(!source.contains("#include"));
        for (name, text) in &FILES[1..] {
            assert_eq!(source.matches(text).count(), 1, "{name}");
        }
    }
}
