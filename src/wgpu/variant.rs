//! Which kernel a call needs, and its source: the pieces under `kernels/wgsl`, put together.
//!
//! A piece is a file. Constants choose between the terms that are computed; a matrix's piece says how it is stored, with
//! its name and binding filled in; one of two pieces joins the lanes of a workgroup. Nothing is copied between variants.

use std::fmt;

use super::batch::Placed;
use crate::divergence::Divergence;
use crate::elements::DType;

macro_rules! piece {
    ($name:literal) => {
        include_str!(concat!("../../kernels/wgsl/", $name, ".wgsl"))
    };
}

/// How a matrix lies in memory, as a kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Storage {
    /// The type of its elements.
    pub dtype: DType,
    /// Whether rows start at multiples of four elements, so that four are loaded at once.
    pub in_vectors: bool,
}

/// Where the gradient goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GradientStorage {
    /// Nowhere: the loss alone.
    None,
    /// To a buffer of its own.
    Separate(Storage),
    /// Over the student's logits.
    InPlace,
}

/// How the lanes of a workgroup are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// Through workgroup memory.
    Workgroup,
    /// Within subgroups by exchanging registers, and through workgroup memory between them.
    Subgroup {
        /// The fewest lanes that a subgroup has.
        size: u32,
    },
}

/// The workgroups of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Workgroup {
    /// Lanes: a power of two.
    pub size: u32,
    /// How they are joined.
    pub join: Join,
}

/// One kernel over the logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The student's logits.
    pub student: Storage,
    /// The teacher's logits, where the soft term is computed.
    pub teacher: Option<Storage>,
    /// The gradient.
    pub gradient: GradientStorage,
    /// Whether the hard term is computed.
    pub hard: bool,
    /// How many squarings make `e^(x/T)` into `e^x`, where some do and both terms are computed.
    pub squarings: Option<u32>,
    /// What the soft term compares by.
    pub divergence: Divergence,
}

/// The kernels that a call is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Counts the rows that count.
    CountLabels,
    /// The loss of rows of logits.
    Distill(Variant),
    /// Folds the rows' losses.
    FoldRows,
}

/// What is bound where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Binding {
    Params,
    Labels,
    Student,
    Teacher,
    Gradient,
    RowGradScale,
    Totals,
    Records,
}

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Uniform,
    Read,
    ReadWrite,
}

impl Variant {
    /// The kernel for a call.
    pub(super) fn new(placed: &Placed<'_>) -> Self {
        let terms = placed.call.terms;
        Self {
            student: placed.student.storage,
            teacher: placed.teacher.map(|teacher| teacher.storage),
            gradient: placed.gradient_storage,
            hard: terms.has_hard(),
            squarings: terms.squarings(),
            divergence: placed.call.loss.divergence,
        }
    }

    /// Every variant there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let storages = || {
            let dtypes = [DType::F32, DType::F16, DType::Bf16];
            dtypes.into_iter().flat_map(|dtype| [true, false].map(|in_vectors| Storage { dtype, in_vectors }))
        };
        let terms = move || {
            let both = [None, Some(0), Some(1), Some(2)].map(|squarings| (true, squarings));
            let soft = both.into_iter().chain([(false, None)]);
            let with_teacher = storages()
                .flat_map(move |teacher| soft.clone().map(move |(hard, squarings)| (Some(teacher), hard, squarings)));
            with_teacher.chain([(None, true, None)])
        };
        let gradients =
            move || storages().map(GradientStorage::Separate).chain([GradientStorage::None, GradientStorage::InPlace]);
        storages().flat_map(move |student| {
            gradients().flat_map(move |gradient| {
                terms().map(move |(teacher, hard, squarings)| {
                    let divergence = Divergence::ForwardKl;
                    Self { student, teacher, gradient, hard, squarings, divergence }
                })
            })
        })
    }

    fn source(&self, workgroup: Workgroup) -> String {
        let join = match workgroup.join {
            Join::Workgroup => piece!("join_workgroup"),
            Join::Subgroup { .. } => piece!("join_subgroup"),
        };
        let in_place = self.gradient == GradientStorage::InPlace;
        let mut pieces = vec![
            self.constants(workgroup.join),
            piece!("params").to_owned(),
            piece!("labels").to_owned(),
            piece!("math").to_owned(),
            piece!("row_part").to_owned(),
            self.divergence().to_owned(),
            piece!("reduction").to_owned(),
            levels(workgroup.size),
            join.to_owned(),
            piece!("tree").to_owned(),
            self.student.source("student", Binding::Student.index(), in_place),
        ];
        pieces.push(match self.teacher {
            Some(teacher) => teacher.source("teacher", Binding::Teacher.index(), false),
            None => "fn load_teacher(start: u32, count: u32) -> vec4<u32> {\n    return vec4(MASKED_BITS);\n}\n".into(),
        });
        let store = |body| format!("fn store_gradient(start: u32, count: u32, bits: vec4<u32>) {{\n{body}}}\n");
        pieces.push(match self.gradient {
            GradientStorage::Separate(gradient) => gradient.source("gradient", Binding::Gradient.index(), true),
            GradientStorage::InPlace => store("    store_student(start, count, bits);\n"),
            GradientStorage::None => store(""),
        });
        pieces.extend(self.conversions().map(str::to_owned));
        pieces.push(piece!("distillation").to_owned());
        pieces.join("\n")
    }

    fn constants(&self, join: Join) -> String {
        let gradient = self.gradient != GradientStorage::None;
        let squarings = self.squarings.map_or("NO_SQUARINGS".into(), |squarings| format!("{squarings}u"));
        let subgroup = match join {
            Join::Workgroup => String::new(),
            Join::Subgroup { size } => format!("const SUBGROUP_SIZE: u32 = {size}u;\n"),
        };
        format!(
            "{subgroup}const HARD: bool = {};\nconst SOFT: bool = {};\nconst GRADIENT: bool = {gradient};\n\
             const SQUARINGS: u32 = {squarings};\n",
            self.hard,
            self.teacher.is_some(),
        )
    }

    fn divergence(&self) -> &'static str {
        match self.divergence {
            Divergence::ForwardKl => piece!("divergence_forward_kl"),
        }
    }

    /// The conversions of the 16-bit types that occur.
    fn conversions(&self) -> impl Iterator<Item = &'static str> {
        let gradient = match self.gradient {
            GradientStorage::Separate(gradient) => Some(gradient),
            GradientStorage::None | GradientStorage::InPlace => None,
        };
        let stored = [Some(self.student), self.teacher, gradient];
        let occurs = move |dtype| stored.iter().flatten().any(|storage| storage.dtype == dtype);
        let pieces = [(DType::F16, piece!("f16")), (DType::Bf16, piece!("bf16"))];
        pieces.into_iter().filter(move |&(dtype, _)| occurs(dtype)).map(|(_, piece)| piece)
    }

    fn bindings(&self) -> Vec<(Binding, Access)> {
        let in_place = self.gradient == GradientStorage::InPlace;
        let mut bindings = vec![
            (Binding::Params, Access::Uniform),
            (Binding::Labels, Access::Read),
            (Binding::Student, if in_place { Access::ReadWrite } else { Access::Read }),
            (Binding::RowGradScale, Access::Read),
            (Binding::Totals, Access::Read),
            (Binding::Records, Access::ReadWrite),
        ];
        if self.teacher.is_some() {
            bindings.push((Binding::Teacher, Access::Read));
        }
        if matches!(self.gradient, GradientStorage::Separate(_)) {
            bindings.push((Binding::Gradient, Access::ReadWrite));
        }
        bindings
    }
}

/// The classes of rows whose sums are trees throughout. What is beyond is a chain of such trees.
const TREES_TO: u32 = 1 << 18;

/// Classes of a block: eight strips of four groups in each lane.
const BLOCK_OF_A_LANE: u32 = 8 * 4 * 4;

/// The piece of the levels of a long sum, as many as a lane of this many needs.
fn levels(lanes: u32) -> String {
    let count = (TREES_TO / (BLOCK_OF_A_LANE * lanes)).max(2).ilog2();
    let mut text = format!("const LEVELS: u32 = {count}u;\n");
    // What stands between the markers is there once for each level.
    let mut rest = piece!("levels");
    while let Some((before, (each, after))) =
        rest.split_once("// $each level\n").and_then(|(before, rest)| Some((before, rest.split_once("// $end\n")?)))
    {
        text.push_str(before);
        text.extend((0..count).map(|level| each.replace("$level", &level.to_string())));
        rest = after;
    }
    text + rest
}

impl Storage {
    /// The piece for a matrix of this name at this binding.
    #[must_use]
    pub fn source(self, matrix: &str, binding: u32, writes: bool) -> String {
        let piece = match (self.dtype, self.in_vectors) {
            (DType::F32, false) => piece!("storage_f32"),
            (DType::F32, true) => piece!("storage_f32_vec4"),
            (DType::F16 | DType::Bf16, false) => piece!("storage_16bit"),
            (DType::F16 | DType::Bf16, true) => piece!("storage_16bit_vec4"),
        };
        // What stands between the markers is for matrices that are written.
        let (before, rest) = piece.split_once("// $if writes\n").unwrap_or((piece, ""));
        let (stores, after) = rest.split_once("// $end\n").unwrap_or((rest, ""));
        let text = [before, if writes { stores } else { "" }, after].concat();
        text.replace("$matrix", matrix)
            .replace("$binding", &binding.to_string())
            .replace("$access", if writes { "read_write" } else { "read" })
            .replace("$type", &self.dtype.to_string())
    }
}

impl Binding {
    /// Its number in the kernels.
    pub(crate) fn index(self) -> u32 {
        self as u32
    }
}

impl Kernel {
    /// The name of its entry point.
    #[must_use]
    pub fn entry_point(&self) -> &'static str {
        match self {
            Self::CountLabels => "count_labels",
            Self::Distill(_) => "distill",
            Self::FoldRows => "fold_rows",
        }
    }

    /// Its source.
    #[must_use]
    pub fn source(&self, workgroup: Workgroup) -> String {
        let body = match self {
            Self::CountLabels => [piece!("params"), piece!("labels"), piece!("count_labels")].join("\n"),
            Self::Distill(variant) => variant.source(workgroup),
            Self::FoldRows => [piece!("params"), piece!("reduction"), piece!("fold_rows")].join("\n"),
        };
        format!("const WORKGROUP_SIZE: u32 = {}u;\n{body}", workgroup.size)
    }

    pub(crate) fn bindings(&self) -> Vec<(Binding, Access)> {
        match self {
            Self::CountLabels => vec![
                (Binding::Params, Access::Uniform),
                (Binding::Labels, Access::Read),
                (Binding::Totals, Access::ReadWrite),
            ],
            Self::Distill(variant) => variant.bindings(),
            Self::FoldRows => vec![
                (Binding::Params, Access::Uniform),
                (Binding::Totals, Access::ReadWrite),
                (Binding::Records, Access::Read),
            ],
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Distill(variant) = self else { return f.write_str(self.entry_point()) };
        let storage = |storage: Storage| format!("{}{}", storage.dtype, if storage.in_vectors { "x4" } else { "" });
        let gradient = match variant.gradient {
            GradientStorage::None => "none".into(),
            GradientStorage::InPlace => "in place".into(),
            GradientStorage::Separate(gradient) => storage(gradient),
        };
        write!(
            f,
            "distill (student {}, teacher {}, gradient {gradient}, hard {}, squarings {:?})",
            storage(variant.student),
            variant.teacher.map_or("none".into(), storage),
            variant.hard,
            variant.squarings,
        )
    }
}
