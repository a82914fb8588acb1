//! The row statistics, a monoid, and the element formula of the second pass: all the mathematics of the kernels.
//!
//! A row of student logits `s` and teacher logits `t` at temperature `T` is summarised by its maxima and by three sums
//! of exponentials relative to them (online softmax: Milakov and Gimelshein, "Online normalizer calculation for
//! softmax", 2018, algorithm 3). Parts of a row are summarised apart and merged, whatever made them parts: SIMD lanes,
//! threads, tiles, shards of the vocabulary.
//!
//! With the statistics of the whole row, the second pass visits each pair `(s, t)` once more:
//!
//! ```text
//! δ = ((t - m_t) - (s - m_s)) / T      subtracted first, scaled after: common offsets cancel exactly
//! c = log(Zb / Za)
//! y = c - δ = log q - log p
//! φ(y) = e^y - 1 - y ≥ 0
//! |y| < ½:  q - p = p · (y + φ)        soft / T² gains p · φ
//! else:     q - p as it stands         soft / T² gains (q - p) - p · y, where p · y is 0 if p is
//! ```
//!
//! The gains add up to `Σ p (log p - log q) - p + q`, which is the divergence since `Σ p = Σ q`. Every gain is at least
//! 0, so nothing cancels: identical rows give exactly 0, rows that nearly agree keep their digits, and an error of `c`
//! enters only squared.

use crate::math::{LOG2_E, exp2, max_or_second, phi};

/// A logit at or below this counts as −∞: a masked entry. It stands for −∞ in the arithmetic, since not every backend's
/// arithmetic has infinities: every exponential relative to an unmasked maximum is 0, and no difference of two is NaN.
pub const MASKED: f32 = -1e30;

/// Whether a logit is masked: −∞, or so low that it is meant to be (`f32::MIN`, `bf16::MIN`).
#[inline(always)]
#[must_use]
pub fn is_masked(logit: f32) -> bool {
    logit <= MASKED
}

/// The temperature in the forms that the kernels multiply by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// `1 / T`.
    pub reciprocal: f32,
    /// `log2(e) / T`: `e^(x/T)` is 2 to the power of `x` times this.
    pub exponent_scale: f32,
}

impl Temperature {
    /// Prepares a temperature that [`DistillationLoss::validate`](crate::DistillationLoss::validate) accepts.
    #[must_use]
    pub fn new(temperature: f64) -> Self {
        Self { reciprocal: temperature.recip() as f32, exponent_scale: (std::f64::consts::LOG2_E / temperature) as f32 }
    }
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

/// Statistics of a row, or of a part of one. In DESIGN's letters: `m_s, Z1, Za, m_t, Zb`.
///
/// ```
/// use kdloss::row_stats::{RowStats, Temperature};
///
/// let temperature = Temperature::new(2.0);
/// let mut left = RowStats::IDENTITY;
/// left.push(1.0, Some(0.5), temperature);
/// let mut right = RowStats::IDENTITY;
/// right.push(3.0, Some(-1.0), temperature);
/// let row = left.merge(right, temperature);
/// assert_eq!((row.student_max, row.teacher_max), (3.0, 0.5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct RowStats {
    /// `m_s`: the largest student logit, [`MASKED`] if none is larger.
    pub student_max: f32,
    /// `Z1 = Σ e^(s - m_s)`.
    pub student_sum: f32,
    /// `Za = Σ e^((s - m_s) / T)`.
    pub student_tempered_sum: f32,
    /// `m_t`: the largest teacher logit, [`MASKED`] if none is larger.
    pub teacher_max: f32,
    /// `Zb = Σ e^((t - m_t) / T)`.
    pub teacher_tempered_sum: f32,
    /// What was met.
    pub flags: RowFlags,
}

impl RowStats {
    /// The statistics of no elements: merged with any others, it gives those others, bit for bit.
    pub const IDENTITY: Self = Self {
        student_max: MASKED,
        student_sum: 0.0,
        student_tempered_sum: 0.0,
        teacher_max: MASKED,
        teacher_tempered_sum: 0.0,
        flags: RowFlags(0),
    };

    /// The statistics of one element: a student logit and, where the teacher is read, the teacher's.
    #[must_use]
    pub fn of(student: f32, teacher: Option<f32>) -> Self {
        let infinite_soft = teacher.is_some_and(|teacher| is_masked(student) && !is_masked(teacher));
        Self {
            student_max: student.max(MASKED),
            student_sum: 1.0,
            student_tempered_sum: 1.0,
            teacher_max: teacher.unwrap_or(MASKED).max(MASKED),
            teacher_tempered_sum: f32::from(u8::from(teacher.is_some())),
            flags: flags_of(student)
                .or(teacher.map_or(RowFlags::default(), flags_of))
                .or(RowFlags::INFINITE_SOFT.when(infinite_soft)),
        }
    }

    /// Adds one element.
    pub fn push(&mut self, student: f32, teacher: Option<f32>, temperature: Temperature) {
        *self = self.merge(Self::of(student, teacher), temperature);
    }

    /// The statistics of two parts together. Commutative bit for bit, associative up to rounding.
    #[must_use]
    pub fn merge(self, other: Self, temperature: Temperature) -> Self {
        let student_max = self.student_max.max(other.student_max);
        let teacher_max = self.teacher_max.max(other.teacher_max);
        let sum = |ours: f32, our_shift: f32, theirs: f32, their_shift: f32, scale: f32| {
            ours * exp2::<false>(our_shift * scale) + theirs * exp2::<false>(their_shift * scale)
        };
        let (our_student, their_student) = (self.student_max - student_max, other.student_max - student_max);
        let (our_teacher, their_teacher) = (self.teacher_max - teacher_max, other.teacher_max - teacher_max);
        let scale = temperature.exponent_scale;
        Self {
            student_max,
            student_sum: sum(self.student_sum, our_student, other.student_sum, their_student, LOG2_E),
            student_tempered_sum: sum(
                self.student_tempered_sum,
                our_student,
                other.student_tempered_sum,
                their_student,
                scale,
            ),
            teacher_max,
            teacher_tempered_sum: sum(
                self.teacher_tempered_sum,
                our_teacher,
                other.teacher_tempered_sum,
                their_teacher,
                scale,
            ),
            flags: self.flags.or(other.flags),
        }
    }

    /// Whether the row's loss is NaN: it holds NaN or +∞, or a matrix that was read is masked throughout.
    #[must_use]
    pub fn is_nonfinite(&self, teacher_was_read: bool) -> bool {
        self.flags.contains(RowFlags::NONFINITE)
            || is_masked(self.student_max)
            || (teacher_was_read && is_masked(self.teacher_max))
    }

    /// The hard term `logsumexp(s) - s[y]`, given the student logit of the label; +∞ if that logit is masked.
    #[must_use]
    pub fn hard(&self, label_logit: f32) -> f64 {
        if is_masked(label_logit) {
            return f64::INFINITY;
        }
        f64::from(self.student_sum).ln() + (f64::from(self.student_max) - f64::from(label_logit))
    }

    /// What the second pass needs of the whole row's statistics.
    #[must_use]
    pub fn finish(&self, temperature: Temperature) -> Normalizer {
        let (student, teacher) = (f64::from(self.student_tempered_sum), f64::from(self.teacher_tempered_sum));
        Normalizer {
            student_max: self.student_max,
            teacher_max: self.teacher_max,
            student_factor: self.student_sum.recip(),
            student_tempered_factor: self.student_tempered_sum.recip(),
            teacher_tempered_factor: self.teacher_tempered_sum.recip(),
            // In f64 a plain logarithm would do; this form keeps its digits in f32 too, where a backend has nothing wider.
            log_ratio: ((teacher - student) / student).ln_1p() as f32,
            temperature,
        }
    }
}

fn flags_of(logit: f32) -> RowFlags {
    RowFlags::NONFINITE.when(logit.is_nan() | (logit == f32::INFINITY))
}

/// What turns a pair of logits into probabilities, once the statistics of the row are known.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Normalizer {
    /// `m_s`.
    pub student_max: f32,
    /// `m_t`.
    pub teacher_max: f32,
    /// `1 / Z1`.
    pub student_factor: f32,
    /// `1 / Za`.
    pub student_tempered_factor: f32,
    /// `1 / Zb`.
    pub teacher_tempered_factor: f32,
    /// `c = log(Zb / Za)`.
    pub log_ratio: f32,
    /// The temperature.
    pub temperature: Temperature,
}

/// What one element adds to the soft term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftElement {
    /// `q - p`: the gradient of `soft / T` with respect to the student logit.
    pub difference: f32,
    /// The gain of `soft / T²`, at least 0.
    pub divergence: f32,
}

impl SoftElement {
    /// An element of probabilities `q` and `p`, where `y = log q - log p`.
    #[inline(always)]
    pub(crate) fn new<const FUSED: bool>(q: f32, p: f32, y: f32) -> Self {
        let phi = phi::<FUSED>(y);
        let product = if p == 0.0 { 0.0 } else { p * y };
        let near = y.abs() < 0.5;
        Self {
            difference: if near { p * (y + phi) } else { q - p },
            divergence: if near { p * phi } else { (q - p) - product },
        }
    }
}

impl Normalizer {
    /// `softmax(s)` of one student logit, at temperature 1.
    #[must_use]
    pub fn hard_element(&self, student: f32) -> f32 {
        self.hard_element_with::<false>(student)
    }

    /// What one pair of logits adds to the soft term.
    #[must_use]
    pub fn soft_element(&self, student: f32, teacher: f32) -> SoftElement {
        self.soft_element_with::<false>(student, teacher)
    }

    #[inline(always)]
    pub(crate) fn hard_element_with<const FUSED: bool>(&self, student: f32) -> f32 {
        exp2::<FUSED>((max_or_second(MASKED, student) - self.student_max) * LOG2_E) * self.student_factor
    }

    #[inline(always)]
    pub(crate) fn soft_element_with<const FUSED: bool>(&self, student: f32, teacher: f32) -> SoftElement {
        let Temperature { reciprocal, exponent_scale } = self.temperature;
        let student = max_or_second(MASKED, student) - self.student_max;
        let teacher = max_or_second(MASKED, teacher) - self.teacher_max;
        let q = exp2::<FUSED>(student * exponent_scale) * self.student_tempered_factor;
        let p = exp2::<FUSED>(teacher * exponent_scale) * self.teacher_tempered_factor;
        let y = self.log_ratio - (teacher - student) * reciprocal;

        SoftElement::new::<FUSED>(q, p, y)
    }
}
