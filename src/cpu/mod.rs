//! The loss on the processor's cores.
//!
//! # How it works
//!
//! Rows are shared among the threads of the current rayon pool (the global one, unless the call is inside
//! [`rayon::ThreadPool::install`]); where there are few rows for each thread, the tiles of a row are shared too, 4096 elements
//! each. Threads wait for one another only there, between the passes of a row.
//!
//! **One visit of each logit.** A tile is read from memory once, by one loop; what is read again comes from a cache. The
//! exponentials are taken relative to the largest of the tile's first 512 logits and added up, and the tile's two distributions
//! are compared as if the tile were the row. Tiles are joined by carrying their sums to one reference, and by the chain rule of
//! the divergence: the row's is that between the tiles' masses, plus each tile's own, weighed by the teacher's mass. No term is
//! negative, so nothing cancels, and the loss alone needs no second visit.
//!
//! **The gradient from what was kept.** `e^((s - m_s) / T)` and `e^((t - m_t) / T)` of one row are kept, as `f32`, until the
//! row's sums are known: the gradient is made of them by three multiplications, without reading a logit again. Where a
//! tile's distributions nearly agree (`|log q - log p| < ½` throughout), their difference by the polynomial is kept in the
//! second's place, so it keeps its digits. The gradient of a row is written while the next row is begun, a strip of 128 elements
//! just before the exponentials that overwrite what it is made of: stores drain while arithmetic goes on.
//!
//! **One loop for a tile.** It goes pair by pair: takes the exponentials, adds them up, compares the distributions, keeps what
//! the gradient needs, writes the last row's (if it is `f32`; 16-bit ones by a loop of their own), and asks for logits some cache
//! lines ahead: a processor's own prefetcher stops at the end of a page. No loop finds the largest logit first: it would mostly wait
//! for memory. The largest is found on the way, and where it is so far above the sample that digits are missed, the tile is taken
//! again relative to it (`near.rs`): seldom where logits are spread like a normal distribution, often where their tails are heavy.
//! The two distributions are compared before their sums are known; where that would cost a digit, or where they nearly agree, a
//! further loop compares them once more, normalised (`pairs.rs`).
//!
//! | | exponentials per element | kept numbers per element |
//! |---|---|---|
//! | both terms at T = 1, 2 or 4 (`e^(s - m_s)` is a power of the kept exponential) | 2 | 2 |
//! | both terms at another T | 3 | 3 |
//! | soft term alone | 2 | 2 |
//! | hard term alone | 1 | 1 |
//!
//! The first pass takes them all, twice where a tile is taken again; the second, and the loss alone, take none more. Memory sees
//! each logit read once and each gradient entry written once; what is kept (1.2 MB per thread for two numbers at a vocabulary of 151 936) stays in the
//! processor's caches. Beyond the caller's buffers a call uses that, at most five tiles of 4096 per thread and some words per tile:
//! nothing of the size of the batch. The loss alone keeps nothing.
//!
//! **Vectors.** The loops are written once, over a small trait of vectors; AVX-512, AVX2 (with FMA and F16C) and portable
//! loops differ in the type of vector, and AVX-512 has instructions of its own for both ends of an exponential. [`instructions`]
//! says which computes; the environment variable `KDLOSS_CPU` (`avx512`, `avx2`, `portable`) or [`Options`] change it, and what the
//! processor lacks is an error. The specification runs on each set that the machine has, and on AVX-512 anywhere by way of an
//! emulated processor (`cargo xtask avx512`).
//! The loop over exponentials by crates of vectors takes 1.5 times as long with `fearless_simd` 1.2 on AVX-512, 2.3 times with `pulp`
//! 0.22 (which has AVX2 there) and 4.8 times with `wide` 1.7 (decided when the program is compiled): `cargo run --release -p kdloss-peers
//! -- vectors`, on two cores of a virtual Intel Xeon (Emerald Rapids). Ours are
//! written by hand for what those lack: the instructions that take an exponential apart and put it together, stores past the
//! caches, prefetching, and 16-bit logits.
//!
//! **Stores past the caches.** A gradient larger than 16 MiB (a last-level cache holds that beside what is read) is written by
//! non-temporal stores on x86-64, which save reading what is overwritten: whole cache lines, from the first that begins in a tile's
//! gradient, whatever the alignment of the matrix: each is joined of two neighbouring vectors. [`GradientStores`] changes that, for
//! a trainer whose backward pass reads the gradient at once and in parts that fit.
//!
//! # What to rely on
//!
//! * The same input gives the same bits, on any number of threads; a row's bits depend on that row, and its gradient on
//!   the reduction's count. Processors with different vector instructions may differ in the last bits.
//! * For `f32` logits, `0.5 ≤ T ≤ 20` and vocabularies up to 262 144, with `x = max(m_s - s, m_t - t)`, results differ from
//!   the [reference](crate::reference) by at most
//!   * hard term: `1e-6 · hard + 2⁻²¹`;
//!   * soft term: `2e-6 · soft + 1e-12 · T² + 2⁻²¹ · T · Σ |q - p| · x`;
//!   * entry of a row's own gradient: 1e-6 of the row's largest entry, plus
//!     `2⁻²⁰ · (α · softmax(s) · max(1, m_s - s) + (1 - α) · T · max(p, q) · max(1, x / T))`, plus `2⁻¹²⁵ · (α + (1 - α) · T)`,
//!     since probabilities below the smallest normal `f32` count as 0.
//! * 16-bit gradients are the nearest value to the `f32` result.
//! * After an error nothing has been written.

mod bench;
mod gradient;
mod join;
mod recipe;
mod rows;
mod settings;
mod simd;
#[cfg(test)]
mod tests;
mod tile;

use rayon::prelude::*;

#[doc(hidden)]
pub use bench::{alone, bracket, floor};
pub use settings::{GradientStores, Options};
pub use simd::instructions::{Instructions, instructions};

use crate::batch::{Batch, Checked, Matrix, MatrixMut, StudentView};
use crate::elements::ElementsMut;
use crate::error::Result;
use crate::loss::DistillationLoss;
use crate::value::LossValue;
use join::RowOutcome;
use rows::{Columns, Row, Sweep};
use settings::{ELEMENTS_PER_THREAD, Settings};

/// Rows that are prepared at a time: what is prepared stays small even if rows are many and short.
const ROWS_AT_A_TIME: usize = 4096;

/// The loss of a batch, without its gradient.
///
/// # Errors
///
/// Any [`Error`](crate::Error): a parameter out of range, logits or labels that `alpha` needs and the batch lacks, shapes
/// that do not fit, a label that is no class.
///
/// # Examples
///
/// ```
/// use kdloss::{Batch, DistillationLoss, Matrix, cpu};
///
/// let (student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
/// let batch = Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
/// let value = cpu::forward(&DistillationLoss::new().with_temperature(2.0), &batch)?;
/// println!("hard {:?} + soft {:?} -> {}", value.hard, value.soft, value.loss);
/// # Ok::<(), kdloss::Error>(())
/// ```
pub fn forward(loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
    Options::default().forward(loss, batch)
}

/// The loss of a batch and, in `gradient`, its gradient with respect to the student's logits.
///
/// Reads the first `vocab` columns of student and teacher. Writes the first `vocab` columns of `gradient`, and 0 to its
/// other columns; what lies between its columns and its row stride is not touched. The gradient is that of
/// [`LossValue::loss`]: already divided by the reduction's count, and multiplied by
/// [`grad_scale`](DistillationLoss::grad_scale). Its storage type need not be the student's.
///
/// # Errors
///
/// As [`forward`]; also a gradient that does not fit.
///
/// # Examples
///
/// ```
/// use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut, cpu};
///
/// let (student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
/// let batch = Batch::new(Matrix::new(&student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
/// let mut gradient = [0.0f32; 3];
/// cpu::forward_backward(&DistillationLoss::new(), &batch, &mut MatrixMut::new(&mut gradient, 1, 3))?;
/// assert!(gradient[0] < 0.0 || gradient[1] < 0.0); // one of them should grow
/// # Ok::<(), kdloss::Error>(())
/// ```
pub fn forward_backward(loss: &DistillationLoss, batch: &Batch<'_>, gradient: &mut MatrixMut<'_>) -> Result<LossValue> {
    Options::default().forward_backward(loss, batch, gradient)
}

/// The loss of a batch, and its gradient over the student's logits: as [`forward_backward`], without a second buffer.
///
/// # Errors
///
/// As [`forward`].
///
/// # Examples
///
/// ```
/// use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut, cpu};
///
/// let (mut student, teacher) = ([2.0f32, 0.0, -1.0], [1.0f32, 1.0, -1.0]);
/// let mut batch =
///     Batch::new(MatrixMut::new(&mut student, 1, 3)).with_teacher(Matrix::new(&teacher, 1, 3)).with_labels(&[0i64]);
/// cpu::forward_backward_in_place(&DistillationLoss::new(), &mut batch)?;
/// assert!(student.iter().sum::<f32>().abs() < 1e-6); // no longer logits: a gradient
/// # Ok::<(), kdloss::Error>(())
/// ```
pub fn forward_backward_in_place(loss: &DistillationLoss, batch: &mut Batch<'_, MatrixMut<'_>>) -> Result<LossValue> {
    Options::default().forward_backward_in_place(loss, batch)
}

impl Options {
    /// As [`forward`].
    ///
    /// # Errors
    ///
    /// As [`forward`].
    pub fn forward(&self, loss: &DistillationLoss, batch: &Batch<'_>) -> Result<LossValue> {
        let checked = batch.check(loss)?;
        let settings = Settings::new(self, loss, &checked, None)?;
        let student = batch.student;
        let columns = (0..checked.rows)
            .map(|row| (Columns::Apart { student: student.row(row, checked.vocab), gradient: None }, None));
        Ok(evaluate(&settings, batch, &checked, columns))
    }

    /// As [`forward_backward`].
    ///
    /// # Errors
    ///
    /// As [`forward_backward`].
    pub fn forward_backward(
        &self,
        loss: &DistillationLoss,
        batch: &Batch<'_>,
        gradient: &mut MatrixMut<'_>,
    ) -> Result<LossValue> {
        let checked = batch.check(loss)?;
        gradient.shape().check("gradient", checked.rows, checked.vocab)?;
        let settings = Settings::new(self, loss, &checked, Some(gradient))?;
        let student: Matrix<'_> = batch.student;
        let columns = gradient.rows_mut().enumerate().map(|(row, gradient)| {
            let (gradient, padding) = gradient.split_at(checked.vocab);
            (Columns::Apart { student: student.row(row, checked.vocab), gradient: Some(gradient) }, Some(padding))
        });
        Ok(evaluate(&settings, batch, &checked, columns))
    }

    /// As [`forward_backward_in_place`].
    ///
    /// # Errors
    ///
    /// As [`forward_backward_in_place`].
    pub fn forward_backward_in_place(
        &self,
        loss: &DistillationLoss,
        batch: &mut Batch<'_, MatrixMut<'_>>,
    ) -> Result<LossValue> {
        let checked = batch.check(loss)?;
        let (student, targets) = batch.split_student();
        let settings = Settings::new(self, loss, &checked, Some(student))?;
        let columns = student.rows_mut().map(|row| {
            let (classes, padding) = row.split_at(checked.vocab);
            (Columns::InPlace(classes), Some(padding))
        });
        Ok(evaluate(&settings, &targets, &checked, columns))
    }
}

/// Evaluates the rows of a checked batch. `columns` gives those of each row and its padding.
fn evaluate<'a, Student: Sync>(
    settings: &Settings,
    batch: &Batch<'a, Student>,
    checked: &Checked,
    columns: impl Iterator<Item = (Columns<'a>, Option<ElementsMut<'a>>)>,
) -> LossValue {
    let loss = &settings.loss;
    let teacher = batch.teacher.filter(|_| loss.has_soft_term());
    let mut rows = columns.enumerate().map(|(index, (columns, padding))| Row {
        columns,
        padding,
        teacher: teacher.map(|teacher| teacher.row(index, checked.vocab)),
        role: batch.role(loss, index),
        grad_scale: loss.grad_scale * batch.row_grad_scale.map_or(1.0, |scale| f64::from(scale[index])),
    });

    let mut outcomes: Vec<RowOutcome> = Vec::with_capacity(checked.rows);
    loop {
        let block: Vec<Row<'_>> = rows.by_ref().take(ROWS_AT_A_TIME).collect();
        if block.is_empty() {
            break;
        }
        outcomes.extend(evaluate_block(settings, block));
    }
    let nonfinite_rows = outcomes.iter().filter(|outcome| outcome.nonfinite).count();
    LossValue::reduce(loss, checked, outcomes.iter().map(|outcome| outcome.row).collect(), nonfinite_rows)
}

/// Evaluates consecutive rows. Threads share them if there are enough rows; else they are taken one after another, and threads share
/// the tiles of each.
fn evaluate_block(settings: &Settings, rows: Vec<Row<'_>>) -> Vec<RowOutcome> {
    if settings.tiles_of_a_thread < usize::MAX {
        return rows.into_iter().fold(Sweep::new(settings), Sweep::row).finish();
    }
    let min_rows = (ELEMENTS_PER_THREAD / settings.vocab).max(1);
    let outcomes: Vec<Vec<RowOutcome>> = rows
        .into_par_iter()
        .with_min_len(min_rows)
        .fold(|| Sweep::new(settings), Sweep::row)
        .map(Sweep::finish)
        .collect();
    outcomes.concat()
}
