//! One batch of logits and labels, borrowed.

use crate::call::{Call, Counts, RowRole, Shapes, Target};
use crate::elements::{Elements, ElementsMut, Labels};
use crate::error::{Error, Result};
use crate::loss::DistillationLoss;
use crate::shape::Shape;

/// A borrowed matrix of logits: `rows` rows of `cols` elements, whose starts lie `row_stride` elements apart.
///
/// Columns from the vocabulary on are padding and never read; elements between `cols` and `row_stride` are never
/// touched. The buffer need only reach the end of its last row.
///
/// ```
/// use kdloss::Matrix;
///
/// let logits = [0.5f32, 1.0, -1.0, 0.0, 9.0, 9.0, 2.0, 0.0, 1.0, -2.0];
/// let matrix = Matrix::new(&logits, 2, 4).with_row_stride(6);
/// assert_eq!((matrix.rows, matrix.cols, matrix.row_stride), (2, 4, 6));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// The elements.
    pub data: Elements<'a>,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

/// A mutably borrowed matrix, laid out as [`Matrix`]: where a gradient goes, or a student that it overwrites.
///
/// ```
/// use kdloss::MatrixMut;
///
/// let mut gradient = vec![0.0f32; 3 * 10];
/// let matrix = MatrixMut::new(&mut gradient, 3, 10);
/// assert_eq!(matrix.row_stride, 10);
/// ```
#[derive(Debug)]
pub struct MatrixMut<'a> {
    /// The elements.
    pub data: ElementsMut<'a>,
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Elements between the starts of two rows, at least `cols`.
    pub row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows follow one another. The shape is checked when a loss is computed, where the error can say
    /// which matrix it is.
    #[must_use]
    pub fn new(data: impl Into<Elements<'a>>, rows: usize, cols: usize) -> Self {
        Self { data: data.into(), rows, cols, row_stride: cols }
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }

    /// The first `vocab` elements of `row`; shape and vocabulary have been checked.
    pub(crate) fn row(&self, row: usize, vocab: usize) -> Elements<'a> {
        let start = row * self.row_stride;
        self.data.slice(start, start + vocab)
    }
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows follow one another. The shape is checked when a loss is computed.
    #[must_use]
    pub fn new(data: impl Into<ElementsMut<'a>>, rows: usize, cols: usize) -> Self {
        Self { data: data.into(), rows, cols, row_stride: cols }
    }

    /// Sets the number of elements between the starts of two rows.
    #[must_use]
    pub fn with_row_stride(mut self, row_stride: usize) -> Self {
        self.row_stride = row_stride;
        self
    }

    /// Its rows, each of `cols` elements; the shape has been checked.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = ElementsMut<'_>> {
        let (rows, cols, row_stride) = (self.rows, self.cols, self.row_stride);
        let mut rest = Some(self.data.reborrow());
        (0..rows).filter_map(move |row| {
            let (current, after) = rest.take()?.split_at(cols);
            // The last row ends the buffer; only between two rows is there a gap to skip.
            if row + 1 < rows {
                rest = Some(after.split_at(row_stride - cols).1);
            }
            Some(current)
        })
    }
}

/// One batch: the student's logits, and what they are compared with.
///
/// `Student` is [`Matrix`], or [`MatrixMut`] where the gradient overwrites the student's logits.
///
/// ```
/// use kdloss::{Batch, Matrix};
///
/// let (student, teacher) = ([0.1f32, 0.7, -0.3], [half::f16::ONE; 4]);
/// let batch = Batch::new(Matrix::new(&student, 1, 3))
///     .with_teacher(Matrix::new(&teacher, 1, 4)) // one column of padding
///     .with_labels(&[1i64]);
/// assert_eq!(batch.vocab(), 3);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, Student = Matrix<'a>> {
    pub(crate) student: Student,
    pub(crate) teacher: Option<Matrix<'a>>,
    pub(crate) labels: Option<Labels<'a>>,
    pub(crate) row_grad_scale: Option<&'a [f32]>,
    vocab: Option<usize>,
}

impl<'a, Student> Batch<'a, Student> {
    /// A batch of student logits, without teacher or labels yet.
    #[must_use]
    pub fn new(student: Student) -> Self {
        Self { student, teacher: None, labels: None, row_grad_scale: None, vocab: None }
    }

    /// Adds the teacher's logits, needed unless `alpha` is 1. Type, width and row stride may differ from the student's.
    #[must_use]
    pub fn with_teacher(mut self, teacher: Matrix<'a>) -> Self {
        self.teacher = Some(teacher);
        self
    }

    /// Adds the labels, one per row, needed unless `alpha` is 0: a class in `0..vocab`, or the loss's `ignore_index`.
    #[must_use]
    pub fn with_labels(mut self, labels: impl Into<Labels<'a>>) -> Self {
        self.labels = Some(labels.into());
        self
    }

    /// Sets the vocabulary: how many columns are classes. Default: the narrower of student and teacher.
    #[must_use]
    pub fn with_vocab(mut self, vocab: usize) -> Self {
        self.vocab = Some(vocab);
        self
    }

    /// Adds a factor for the gradient of each row, beside the loss's `grad_scale`: the gradient that arrives from above
    /// when the rows' losses are used one by one. Rows that do not count keep a gradient of 0.
    #[must_use]
    pub fn with_row_grad_scale(mut self, row_grad_scale: &'a [f32]) -> Self {
        self.row_grad_scale = Some(row_grad_scale);
        self
    }
}

impl<Student> Batch<'_, Student> {
    /// What `row` contributes to a checked call.
    pub(crate) fn role(&self, call: &Call, row: usize) -> RowRole {
        call.role(self.labels.map(|labels| labels.get(row)))
    }
}

impl<Student: StudentView> Batch<'_, Student> {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.student.shape().rows
    }

    /// The vocabulary: what [`Batch::with_vocab`] set, else the narrower of student and teacher.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.shapes().vocab()
    }

    fn shapes(&self) -> Shapes {
        Shapes {
            student: self.student.shape(),
            teacher: self.teacher.map(|teacher| teacher.shape()),
            labels: self.labels.map(|labels| labels.len()),
            row_grad_scale: self.row_grad_scale.map(<[f32]>::len),
            vocab: self.vocab,
        }
    }

    /// Checks everything about the batch that a loss relies on, and counts the rows that count.
    pub(crate) fn check(&self, loss: &DistillationLoss, target: Target<Shape>) -> Result<(Call, Counts)> {
        let call = Call::new(loss, &self.shapes(), target)?;
        let counts = call.counts(self.labelled_rows(&call)?);
        Ok((call, counts))
    }

    /// Checks the labels and counts the rows that have one: all rows where there are no labels.
    fn labelled_rows(&self, call: &Call) -> Result<usize> {
        let Some(labels) = self.labels else { return Ok(call.rows) };
        let classes = 0..i64::try_from(call.vocab).unwrap_or(i64::MAX);
        let ignore_index = call.loss.ignore_index;
        let mut labelled_rows = 0;
        for row in 0..call.rows {
            let label = labels.get(row);
            if label == ignore_index {
                continue;
            }
            if !classes.contains(&label) {
                return Err(Error::LabelOutOfRange { row, label, vocab: call.vocab, ignore_index });
            }
            labelled_rows += 1;
        }
        Ok(labelled_rows)
    }
}

impl<'a, 'm> Batch<'a, MatrixMut<'m>> {
    /// The student's logits, to overwrite, and apart from them what they are compared with.
    pub(crate) fn split_student(&mut self) -> (&mut MatrixMut<'m>, Batch<'a, ()>) {
        let Batch { student, teacher, labels, row_grad_scale, vocab } = self;
        let targets =
            Batch { student: (), teacher: *teacher, labels: *labels, row_grad_scale: *row_grad_scale, vocab: *vocab };
        (student, targets)
    }
}

/// A view of logits that has a shape: [`Matrix`] or [`MatrixMut`].
pub trait StudentView: sealed::Sealed {
    #[doc(hidden)]
    fn shape(&self) -> Shape;
}

impl StudentView for Matrix<'_> {
    fn shape(&self) -> Shape {
        Shape { len: self.data.len(), rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }
}

impl StudentView for MatrixMut<'_> {
    fn shape(&self) -> Shape {
        Shape { len: self.data.len(), rows: self.rows, cols: self.cols, row_stride: self.row_stride }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Matrix<'_> {}
    impl Sealed for super::MatrixMut<'_> {}
}
