//! What is known of a part of a row, a monoid: the mathematics that joins tiles, threads, lanes and shards of a vocabulary.
//!
//! A row has student logits `s`, teacher logits `t` and a temperature `T`. Three things summarise a part of it:
//!
//! * two references: the maxima of its logits, or numbers near them;
//! * three sums of exponentials relative to these references (online softmax: Milakov and Gimelshein, "Online normalizer
//!   calculation for softmax", 2018, algorithm 3);
//! * the divergence of its two distributions, each normalised within the part.
//!
//! Parts may be merged in any grouping, whatever made them parts. With the sums of the whole row, each pair `(s, t)` is compared:
//!
//! ```text
//! δ = ((t - m_t) - (s - m_s)) / T      subtracted first, scaled after: common offsets cancel exactly
//! c = log(Zb / Za)
//! y = c - δ = log q - log p
//! ```
//!
//! What follows from `y` is up to the [`Divergence`](crate::Divergence). The `row_part` files of the kernels are the twins of this
//! file: they say what a GPU does differently.

pub use crate::divergence::{Soft, Temperature};

use crate::math::LOG2_E;

/// A logit at or below this counts as −∞: a masked entry. It stands for −∞ in the arithmetic, since not every backend's
/// arithmetic has infinities: every exponential relative to an unmasked maximum is 0, and no difference of two is NaN.
pub const MASKED: f32 = -1e30;

/// Whether a logit is masked: −∞, or so low that it is meant to be (`f32::MIN`, `bf16::MIN`).
#[inline(always)]
#[must_use]
pub fn is_masked(logit: f32) -> bool {
    logit <= MASKED
}

/// What was met in a part of a row. Flags of parts are joined by or.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowFlags(u32);

impl RowFlags {
    /// A NaN or +∞ was met.
    pub const NONFINITE: Self = Self(1);
    /// The student is masked somewhere where the teacher is not: the divergence is infinite.
    pub const INFINITE_SOFT: Self = Self(2);

    /// Both sets of flags.
    #[inline(always)]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of `self` where `condition` holds, else none.
    #[inline(always)]
    pub(crate) fn when(self, condition: bool) -> Self {
        Self(self.0 * u32::from(condition))
    }
}

/// What is known of a part of a row. `m_s` and `m_t` are its references, `Z` its sums.
///
/// ```
/// use kdloss::Divergence;
/// use kdloss::row_part::{RowPart, Soft};
///
/// let soft = Soft::new(Divergence::ForwardKl, 2.0);
/// let (left, right) = (RowPart::of(1.0, Some(0.5)), RowPart::of(3.0, Some(0.5)));
/// let row = left.merge(right, &soft);
/// assert_eq!((row.student_max, row.teacher_max), (3.0, 0.5));
/// assert!(row.divergence > 0.0); // the teacher finds both likely, the student does not
/// assert!((row.hard(3.0) - (1.0 + (-2.0f64).exp()).ln()).abs() < 1e-7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct RowPart {
    /// `m_s`: the largest student logit, or one near it; [`MASKED`] if none is larger.
    pub student_max: f32,
    /// `m_t`: the same of the teacher; [`MASKED`] where it is not read.
    pub teacher_max: f32,
    /// `Z1 = Σ e^(s - m_s)`; 0 where there is no hard term.
    pub student_sum: f64,
    /// `Za = Σ e^((s - m_s) / T)`; 0 where there is no soft term.
    pub student_tempered_sum: f64,
    /// `Zb = Σ e^((t - m_t) / T)`; 0 where there is no soft term.
    pub teacher_tempered_sum: f64,
    /// `log(Zb / Za)`; 0 where there is no soft term.
    pub log_ratio: f64,
    /// The divergence over `T²` of the part's two distributions, each normalised within the part.
    pub divergence: f64,
    /// What was met.
    pub flags: RowFlags,
}

/// What relates the numbers of one part to the whole.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Place {
    /// Makes `e^(s - m_s)` relative to the whole's reference. At most 1.
    pub(crate) hard: f64,
    /// Makes `e^((s - m_s) / T)` the student's probability in the whole.
    pub(crate) student: f64,
    /// Makes `e^((t - m_t) / T)` the teacher's probability in the whole.
    pub(crate) teacher: f64,
    /// The teacher's mass in the part.
    pub(crate) teacher_mass: f64,
    /// The student's mass in the part less the teacher's, as the divergence's element has it.
    pub(crate) difference: f64,
}

impl RowPart {
    /// What is known of no elements: merged with any part, it gives that part.
    pub const IDENTITY: Self = Self {
        student_max: MASKED,
        teacher_max: MASKED,
        student_sum: 0.0,
        student_tempered_sum: 0.0,
        teacher_tempered_sum: 0.0,
        log_ratio: 0.0,
        divergence: 0.0,
        flags: RowFlags(0),
    };

    /// One element: a student logit and, where the teacher is read, the teacher's.
    #[must_use]
    pub fn of(student: f32, teacher: Option<f32>) -> Self {
        let nonfinite = |logit: f32| RowFlags::NONFINITE.when(logit.is_nan() | (logit == f32::INFINITY));
        let infinite_soft = teacher.is_some_and(|teacher| is_masked(student) && !is_masked(teacher));
        let soft_sum = f64::from(u8::from(teacher.is_some()));
        Self {
            student_max: student.max(MASKED),
            teacher_max: teacher.unwrap_or(MASKED).max(MASKED),
            student_sum: 1.0,
            student_tempered_sum: soft_sum,
            teacher_tempered_sum: soft_sum,
            flags: nonfinite(student)
                .or(teacher.map_or(RowFlags::default(), nonfinite))
                .or(RowFlags::INFINITE_SOFT.when(infinite_soft)),
            ..Self::IDENTITY
        }
    }

    /// Two parts together. Commutative and associative, up to rounding.
    #[must_use]
    pub fn merge(self, other: Self, soft: &Soft) -> Self {
        Self::merge_all([&self, &other].into_iter(), soft, &mut Vec::with_capacity(2))
    }

    /// Many parts together, each moved to the largest references once. Replaces `places` by the place of each, in their order.
    pub(crate) fn merge_all<'p>(
        parts: impl Iterator<Item = &'p Self> + Clone,
        soft: &Soft,
        places: &mut Vec<Place>,
    ) -> Self {
        let largest = |of: fn(&Self) -> f32| parts.clone().map(of).fold(MASKED, f32::max);
        let (student_max, teacher_max) = (largest(|part| part.student_max), largest(|part| part.teacher_max));
        places.clear();
        places.extend(parts.clone().map(|part| part.rebased(student_max, teacher_max, soft)));
        let total =
            |of: fn(&Self, &Place) -> f64| parts.clone().zip(&*places).map(|(part, place)| of(part, place)).sum();
        let (student, teacher): (f64, f64) = (
            total(|part, place| part.student_tempered_sum * place.student),
            total(|part, place| part.teacher_tempered_sum * place.teacher),
        );
        let has_soft = teacher > 0.0;
        let mut whole = Self {
            student_max,
            teacher_max,
            student_sum: total(|part, place| part.student_sum * place.hard),
            student_tempered_sum: student,
            teacher_tempered_sum: teacher,
            log_ratio: if has_soft { (teacher / student).ln() } else { 0.0 },
            divergence: 0.0,
            flags: parts.clone().fold(RowFlags::default(), |flags, part| flags.or(part.flags)),
        };
        if has_soft {
            parts.zip(places).for_each(|(part, place)| whole.receive(part, place, soft));
        }
        whole
    }

    /// What makes the part's sums relative to other references, of which none is smaller: each factor is at most 1.
    fn rebased(&self, student_max: f32, teacher_max: f32, soft: &Soft) -> Place {
        let student = f64::from(self.student_max) - f64::from(student_max);
        let teacher = f64::from(self.teacher_max) - f64::from(teacher_max);
        let power = |depth: f64, scale: f32| (depth * f64::from(scale)).exp2();
        let scale = soft.temperature.exponent_scale;
        Place {
            hard: power(student, LOG2_E),
            student: power(student, scale),
            teacher: power(teacher, scale),
            ..Place::default()
        }
    }

    /// Adds a part's divergence to that of the whole, whose sums are known, and completes its place, which says only how its sums
    /// are [`rebased`](Self::rebased).
    fn receive(&mut self, part: &Self, place: &mut Place, soft: &Soft) {
        let (student, teacher) = (place.student / self.student_tempered_sum, place.teacher / self.teacher_tempered_sum);
        let (q, p) = (part.student_tempered_sum * student, part.teacher_tempered_sum * teacher);
        let depth = |of_part: f32, of_whole: f32| f64::from(of_part) - f64::from(of_whole);
        let student_depth = depth(part.student_max, self.student_max);
        let distance = student_depth - depth(part.teacher_max, self.teacher_max);
        let y = distance * f64::from(soft.temperature.reciprocal) + (self.log_ratio - part.log_ratio);
        let (gain, difference) = soft.divergence.of_part(q, p, y, part.divergence);
        self.divergence += gain;
        *place = Place { hard: place.hard, student, teacher, teacher_mass: p, difference };
    }

    /// Whether the row's loss is NaN: it holds NaN or +∞, or a matrix that was read is masked throughout.
    #[must_use]
    pub fn is_nonfinite(&self, teacher_was_read: bool) -> bool {
        self.flags.contains(RowFlags::NONFINITE)
            || is_masked(self.student_max)
            || (teacher_was_read && is_masked(self.teacher_max))
    }

    /// The hard term `logsumexp(s) - s[y]` of a whole row, given the student logit of the label; +∞ if that logit is masked.
    #[must_use]
    pub fn hard(&self, label_logit: f32) -> f64 {
        if is_masked(label_logit) {
            return f64::INFINITY;
        }
        self.student_sum.ln() + (f64::from(self.student_max) - f64::from(label_logit))
    }

    /// The divergence over `T²` of a whole row; +∞ where the student is masked and the teacher is not.
    #[must_use]
    pub fn soft(&self) -> f64 {
        if self.flags.contains(RowFlags::INFINITE_SOFT) { f64::INFINITY } else { self.divergence }
    }
}
