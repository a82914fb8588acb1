//! What can be wrong with a call, each with the offending values and the remedy.

/// Result of the crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a loss could not be computed.
///
/// Every check runs before anything is written: after an error the gradient buffer is as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The temperature, or its square, is not a positive normal `f32`.
    #[error(
        "temperature {temperature} cannot be used: it and its square must be positive normal f32 numbers \
         (2 to 10 is usual, 4 is a good start)"
    )]
    InvalidTemperature {
        /// The temperature given.
        temperature: f64,
    },

    /// The weight of the hard term lies outside `0..=1`.
    #[error("alpha {alpha} lies outside 0..=1: it is the weight of the hard (cross-entropy) term")]
    InvalidAlpha {
        /// The weight given.
        alpha: f64,
    },

    /// The denominator of [`Reduction::DividedBy`](crate::Reduction::DividedBy) is not a finite positive number.
    #[error("denominator {denominator} cannot be used: it must be finite and greater than 0")]
    InvalidDenominator {
        /// The denominator given.
        denominator: f64,
    },

    /// The factor of the gradient is not finite in `f32`.
    #[error("grad_scale {grad_scale} cannot be used: it must be a finite f32 number")]
    InvalidGradScale {
        /// The factor given.
        grad_scale: f64,
    },

    /// The soft term is wanted (`alpha < 1`) but the batch holds no teacher logits.
    #[error(
        "alpha is {alpha}, so the soft term needs teacher logits, but the batch has none: add them, or set alpha to 1"
    )]
    MissingTeacher {
        /// The weight of the hard term.
        alpha: f64,
    },

    /// The hard term is wanted (`alpha > 0`) but the batch holds no labels.
    #[error("alpha is {alpha}, so the hard term needs labels, but the batch has none: add them, or set alpha to 0")]
    MissingLabels {
        /// The weight of the hard term.
        alpha: f64,
    },

    /// The batch has no classes.
    #[error("the vocabulary is empty: logits need at least one column")]
    EmptyVocab,

    /// The vocabulary is wider than a matrix.
    #[error("vocabulary {vocab} is wider than the {cols} columns of the {matrix} matrix")]
    VocabTooWide {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// The vocabulary asked for.
        vocab: usize,
        /// The columns the matrix has.
        cols: usize,
    },

    /// The row stride of a matrix is smaller than its width.
    #[error("the {matrix} matrix has row stride {row_stride}, less than its {cols} columns: rows would overlap")]
    RowStrideTooShort {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// Elements between the starts of two rows.
        row_stride: usize,
        /// Elements of a row.
        cols: usize,
    },

    /// A buffer ends before its last row does.
    #[error(
        "the {matrix} buffer holds {len} elements, but {rows} rows of {cols} columns at row stride {row_stride} need {needed}"
    )]
    BufferTooShort {
        /// Which matrix: `student`, `teacher` or `gradient`.
        matrix: &'static str,
        /// Elements in the buffer.
        len: usize,
        /// Elements needed; `usize::MAX` if the number does not fit.
        needed: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Elements between the starts of two rows.
        row_stride: usize,
    },

    /// Two parts of the batch disagree about the number of rows.
    #[error("the student has {expected} rows but the {part} has {found}")]
    RowCountMismatch {
        /// Which part: `teacher`, `labels`, `gradient` or `row_grad_scale`.
        part: &'static str,
        /// Rows of the student.
        expected: usize,
        /// Rows of that part.
        found: usize,
    },

    /// A label is neither a class nor the ignored value.
    #[error("row {row} has label {label}, which is neither in 0..{vocab} nor the ignore_index {ignore_index}")]
    LabelOutOfRange {
        /// The row, counted from 0.
        row: usize,
        /// Its label.
        label: i64,
        /// The vocabulary.
        vocab: usize,
        /// The label that marks a row without one.
        ignore_index: i64,
    },
}
