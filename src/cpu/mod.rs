//! The loss on the processor's cores.
//!
//! # How it works
//!
//! A row as a textbook has it, of student logits `s` and teacher logits `t`:
//!
//! ```text
//! m_s = max(s)    m_t = max(t)
//! for each element j:
//!     h[j] = e^(s[j] - m_s)
//!     r[j] = e^((s[j] - m_s) / T)
//!     w[j] = e^((t[j] - m_t) / T)
//! Z1 = Σ h    Za = Σ r    Zb = Σ w
//!
//! D = 0
//! for each element j:
//!     q = r[j] / Za
//!     p = w[j] / Zb
//!     y = ((s[j] - m_s) - (t[j] - m_t)) / T + log(Zb / Za)       which is log q - log p
//!     if |y| < ½:                                                φ(y) = eʸ - 1 - y, by a polynomial
//!         difference = p · (y + φ(y))
//!         D += p · φ(y)
//!     else:
//!         difference = q - p
//!         D += difference - p · y
//!     gradient[j] = hard_weight · h[j] / Z1 + soft_weight · difference
//! gradient[label] -= hard_weight
//!
//! hard = log Z1 + m_s - s[label]
//! soft = T² · D
//! ```
//!
//! The code departs from it in ten ways.
//!
//! 1. **A row goes by tiles** of 4096 elements (`rows.rs`, `join.rs`). Each is summarised as if it were the row. Its sums are
//!    then carried to the reference of the row; by the chain rule, the row's divergence is that between the masses of its tiles, plus
//!    each tile's own, weighed by the teacher's mass. No term is negative, so nothing cancels. A tile is read from memory once, and what
//!    is read again comes from a cache; the loss alone takes one loop; and threads can share a row. With tiles of 1024 and strips of
//!    64, what a tile costs beside its elements was a quarter of the time.
//! 2. **No loop finds the largest logit** (`tile/logits.rs`, `tile/trust.rs`): it would mostly wait for memory. The exponentials of a
//!    tile are relative to the largest of its first 512 logits, and their loop finds the largest of all on its way. If that is so far
//!    above the first that digits are lost, the tile is taken again, relative to it: seldom where logits are spread like a normal
//!    distribution, often where their tails are heavy. In a prototype this took the loss alone from 2.0 to 1.2 times the floor, and the
//!    loss with its gradient from 2.1 to 1.45 times.
//! 3. **One loop takes the exponentials and compares them** (`tile/pairs.rs`), before their sums are known. So arithmetic fills the
//!    time in which memory answers, and no number is stored only to be loaded again. Where this costs a digit, and where the
//!    distributions nearly agree, a further loop compares them once more, normalised (`tile/compare.rs`).
//! 4. **The exponentials are kept** as `f32` until the sums of the row are known (`gradient/kept.rs`). The gradient is made of them by
//!    three multiplications; it reads no logit. Where the distributions of a tile nearly agree (`|y| < ½` throughout), `difference`
//!    is kept in the place of `w`, so it has all its digits. A prototype in C that took the exponentials again was slower by 1.65 to
//!    2.1 times.
//! 5. **At T = 1, 2 and 4, `h` is a power of `r`** (`recipe.rs`, `gradient/source.rs`), so it is neither taken nor kept. T = 3 takes
//!    1.2 times as long as T = 2.
//!
//!    | | exponentials per element | kept numbers per element |
//!    |---|---|---|
//!    | both terms at T = 1, 2 or 4 | 2 | 2 |
//!    | both terms at another T | 3 | 3 |
//!    | soft term alone | 2 | 2 |
//!    | hard term alone | 1 | 1 |
//! 6. **The gradient of a row is written while the next row is taken** (`gradient/stream.rs`): each strip of 128 elements just before
//!    the exponentials that overwrite what it is made of. Stores drain while arithmetic goes on. Only `f32` gains by this; 16-bit
//!    gradients are written by a loop of their own, tile by tile.
//! 7. **A large gradient is written past the caches** (`gradient/stream.rs`): one of more than 16 MiB, which a last-level cache cannot
//!    hold beside what is read. On x86-64 a non-temporal store of a whole cache line saves reading what it overwrites. Whatever the
//!    alignment of the matrix, whole lines are stored, from the first that begins in a tile's gradient: each is joined of two
//!    neighbouring vectors. [`GradientStores`] changes that, for a trainer whose backward pass reads the gradient at once and in pieces
//!    that fit.
//! 8. **Logits are asked for some cache lines ahead.** A processor's own prefetcher stops at the end of a page.
//! 9. **Sums are pairwise** (`tile/sums.rs`), so that no small exponential is lost behind a large one.
//! 10. **A class with more than half of the mass** (`peak.rs`, `tile/others.rs`) gets as its entry minus the sum of all others'. It
//!     would be the difference of two numbers near 1; the others' entries have all their digits, and a row's entries add up to 0. Only
//!     the tile that holds the class is added up again, from what was kept, and only where there is such a class.
//!
//! **Vectors** (`simd/`). The loops are written once, over a small trait of vectors. AVX-512, AVX2 (with FMA and F16C) and portable
//! loops differ in the type of vector, and AVX-512 has instructions of its own for both ends of an exponential. [`instructions`] says
//! which computes; the environment variable `KDLOSS_CPU` (`avx512`, `avx2`, `portable`) or [`Options`] change it, and what the
//! processor lacks is an error. The specification runs on each set that the machine has, and on AVX-512 anywhere by way of an
//! emulated processor (`cargo xtask avx512`).
//!
//! Crates of vectors lack the instructions that take an exponential apart and put it together, stores past the caches, prefetching
//! and 16-bit logits. On AVX-512, the loop over exponentials takes 1.5 times as long with `fearless_simd` 1.2, 2.3 times with `pulp`
//! 0.22 (which has AVX2 there) and 4.8 times with `wide` 1.7 (decided when the program is compiled): `cargo run --release -p
//! kdloss-peers -- vectors`, on two cores of a virtual Intel Xeon (Emerald Rapids).
//!
//! **Threads.** The threads of the current rayon pool share the rows (the global pool, unless the call is inside
//! [`rayon::ThreadPool::install`]). If there are few rows for each thread, threads share the tiles of a row too; they wait for one
//! another only there, between the two passes over a row.
//!
//! **Memory** sees each logit read once and each entry of the gradient written once. What is kept stays in the processor's caches: 1.2
//! MB for each thread, for two numbers at a vocabulary of 151 936. Beyond the caller's buffers a call uses that, at most five tiles of
//! 4096 for each thread and some words for each tile: nothing of the size of the batch. The loss alone keeps nothing.
//!
//! # What to rely on
//!
//! * The same input gives the same bits, on any number of threads. A row's loss depends on that row alone, and its gradient on the
//!   reduction's count too. Processors with different vector instructions may differ in the last bits.
//! * For `f32` logits, `0.5 ≤ T ≤ 20` and vocabularies up to 262 144, with `x = max(m_s - s, m_t - t)`, results differ from
//!   the [reference](crate::reference) by at most
//!   * hard term: `1e-6 · hard + 2⁻²¹`;
//!   * soft term: `2e-6 · soft + 1e-12 · T² + 2⁻²¹ · T · Σ |q - p| · x`;
//!   * entry of a row's own gradient: 1e-6 of the row's largest entry, plus
//!     `2⁻²⁰ · (α · softmax(s) · max(1, m_s - s) + (1 - α) · T · max(p, q) · max(1, x / T))`, plus `2⁻¹²⁵ · (α + (1 - α) · T)`,
//!     since probabilities below the smallest normal `f32` count as 0.
//!   * a row's gradient, where one class holds 0.9 to 0.9999 of the mass on both sides (for the hard term: of the student's, and it
//!     is the label) and the logits of student and teacher are 0.001 to 0.1 apart: 2e-3 of its L2 norm, 1e-2 where they are less
//!     than 0.01 apart.
//! * Temperatures from 20 to 10 000, and below 0.5 down to 0.0001, keep the loss to 1e-5 and the gradient to 1e-4 of its L2 norm, for
//!   logits between −20 and 20. Others are refused.
//! * 16-bit gradients are the nearest value to the `f32` result.
//! * After an error nothing has been written.

mod bench;
mod gradient;
mod join;
mod peak;
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

use crate::batch::{Batch, Matrix, MatrixMut, StudentView};
use crate::call::{Counts, Target};
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
        let (call, counts) = batch.check(loss, Target::None)?;
        let settings = Settings::new(self, call, counts, None)?;
        let student = batch.student;
        let columns =
            (0..call.rows).map(|row| (Columns::Apart { student: student.row(row, call.vocab), gradient: None }, None));
        Ok(evaluate(&settings, batch, counts, columns))
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
        let (call, counts) = batch.check(loss, Target::Separate(gradient.shape()))?;
        let settings = Settings::new(self, call, counts, Some(gradient))?;
        let student: Matrix<'_> = batch.student;
        let columns = gradient.rows_mut().enumerate().map(|(row, gradient)| {
            let (gradient, padding) = gradient.split_at(call.vocab);
            (Columns::Apart { student: student.row(row, call.vocab), gradient: Some(gradient) }, Some(padding))
        });
        Ok(evaluate(&settings, batch, counts, columns))
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
        let (call, counts) = batch.check(loss, Target::InPlace)?;
        let (student, targets) = batch.split_student();
        let settings = Settings::new(self, call, counts, Some(student))?;
        let columns = student.rows_mut().map(|row| {
            let (classes, padding) = row.split_at(call.vocab);
            (Columns::InPlace(classes), Some(padding))
        });
        Ok(evaluate(&settings, &targets, counts, columns))
    }
}

/// Evaluates the rows of a checked batch. `columns` gives those of each row and its padding.
fn evaluate<'a, Student: Sync>(
    settings: &Settings,
    batch: &Batch<'a, Student>,
    counts: Counts,
    columns: impl Iterator<Item = (Columns<'a>, Option<ElementsMut<'a>>)>,
) -> LossValue {
    let Settings { call, .. } = settings;
    let loss = &call.loss;
    let teacher = batch.teacher.filter(|_| loss.has_soft_term());
    let mut rows = columns.enumerate().map(|(index, (columns, padding))| Row {
        columns,
        padding,
        teacher: teacher.map(|teacher| teacher.row(index, call.vocab)),
        role: batch.role(call, index),
        grad_scale: loss.grad_scale * batch.row_grad_scale.map_or(1.0, |scale| f64::from(scale[index])),
    });

    let mut outcomes: Vec<RowOutcome> = Vec::with_capacity(call.rows);
    loop {
        let block: Vec<Row<'_>> = rows.by_ref().take(ROWS_AT_A_TIME).collect();
        if block.is_empty() {
            break;
        }
        outcomes.extend(evaluate_block(settings, block));
    }
    let nonfinite_rows = outcomes.iter().filter(|outcome| outcome.nonfinite).count();
    LossValue::reduce(call, counts, outcomes.iter().map(|outcome| outcome.row).collect(), nonfinite_rows)
}

/// Evaluates consecutive rows. Threads share them if there are enough rows; else they are taken one after another, and threads share
/// the tiles of each.
fn evaluate_block(settings: &Settings, rows: Vec<Row<'_>>) -> Vec<RowOutcome> {
    if settings.tiles_of_a_thread < usize::MAX {
        return rows.into_iter().fold(Sweep::new(settings), Sweep::row).finish();
    }
    let min_rows = (ELEMENTS_PER_THREAD / settings.call.vocab).max(1);
    let outcomes: Vec<Vec<RowOutcome>> = rows
        .into_par_iter()
        .with_min_len(min_rows)
        .fold(|| Sweep::new(settings), Sweep::row)
        .map(Sweep::finish)
        .collect();
    outcomes.concat()
}
