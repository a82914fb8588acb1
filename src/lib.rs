//! The knowledge-distillation loss and its gradient, fused: each row of logits is read from memory once, and nothing of the
//! logits' size is allocated.
//!
//! ```text
//! loss = α · cross-entropy(student, label) + (1 − α) · T² · KL(softmax(teacher / T) ‖ softmax(student / T))
//! ```
//!
//! # Example
//!
//! ```
//! use kdloss::{Batch, DistillationLoss, Matrix, MatrixMut, cpu};
//!
//! // Two rows, a vocabulary of three.
//! let student = [2.0f32, 0.5, -1.0, 0.1, 0.2, 0.3];
//! let teacher = [1.5f32, 1.0, -2.0, 0.0, 3.0, 0.0];
//! let mut gradient = [0.0f32; 6];
//!
//! let loss = DistillationLoss::new().with_temperature(2.0).with_alpha(0.5);
//! let batch = Batch::new(Matrix::new(&student, 2, 3))
//!     .with_teacher(Matrix::new(&teacher, 2, 3))
//!     .with_labels(&[0i64, -100]); // the second row has no label: it is skipped
//! let value = cpu::forward_backward(&loss, &batch, &mut MatrixMut::new(&mut gradient, 2, 3))?;
//!
//! println!("loss {:.4}, of which hard {:.4?} and soft {:.4?}", value.loss, value.hard, value.soft);
//! assert_eq!(gradient[3..], [0.0; 3]);
//! # Ok::<(), kdloss::Error>(())
//! ```
//!
//! # Where things are
//!
//! * [`DistillationLoss`] says what to compute: weights, temperature, reduction, what to ignore.
//! * [`Batch`] borrows the logits ([`Matrix`]: `f32`, `f16` or `bf16`, any row stride) and the [`Labels`].
//! * [`cpu`] computes it. [`mod@reference`] is the scalar `f64` oracle that every implementation is tested against.
#![cfg_attr(feature = "wgpu", doc = "* [`wgpu`] computes it on any GPU, by WGSL kernels.")]
#![cfg_attr(not(feature = "wgpu"), doc = "* `wgpu` (a feature) computes it on any GPU, by WGSL kernels.")]
#![cfg_attr(feature = "cuda", doc = "* [`cuda`] computes it on NVIDIA's GPUs, by CUDA kernels.")]
#![cfg_attr(not(feature = "cuda"), doc = "* `cuda` (a feature) computes it on NVIDIA's GPUs, by CUDA kernels.")]
//! * [`row_part`] and [`Divergence`] are the mathematics: what is known of a part of a row (a monoid), and the formula of one class.
//!
//! # What happens at the edges
//!
//! | case | what happens |
//! |---|---|
//! | `alpha = 1` | the teacher is not read and need not be there; `soft` is `None` |
//! | `alpha = 0` | labels only decide which rows count (no labels: all do); `hard` is `None` |
//! | label is `ignore_index` (−100) | [`IgnoredRows::Skip`]: both terms and the gradient row are 0, whatever the row holds. [`IgnoredRows::SoftOnly`]: only the hard term is 0 |
//! | no row counts for a term | the term is 0 (PyTorch: NaN) |
//! | teacher logit −∞ | its probability is 0; the loss is finite |
//! | student logit −∞ where the teacher's is not | `soft` is +∞ (and `hard`, if it is the label's); the gradient is finite |
//! | both −∞ | adds 0; the gradient there is 0, `−alpha` at the label |
//! | a logit ≤ −1e30 (`f32::MIN`, `bf16::MIN`) | counts as −∞ |
//! | a row that counts holds NaN or +∞, or is −∞ throughout | its loss and gradient are NaN, as are the totals it enters; other rows are untouched; `nonfinite_rows` counts it |
//! | a label that is no class | an error that names row and label, before anything is written; where the labels are on a device, the row becomes NaN and the error comes when the result is read |
//! | vocabularies padded to different widths | columns from `vocab` on are never read; the gradient there is 0; between `cols` and `row_stride` nothing is touched |
//! | a common offset on a row | changes nothing beyond rounding |
//! | no rows; a vocabulary of 1 | the loss is 0 |
//! | a temperature outside 0.0001..=10 000 ([`DistillationLoss::TEMPERATURES`]), or NaN | an [`Error`]: beyond, `f32` sums do not keep the digits of the soft term |
//! | parameters out of range, shapes that do not fit | an [`Error`] with the offending values, before anything is written |
//! | the same input again | the same bits, on any number of threads, in any chunks |
//!
//! # Features
//!
//! None is on by default; the CPU path and the reference are always there. `wgpu` adds the WGSL kernels on Vulkan, Metal and
//! Direct3D 12, `wgpu-gles` OpenGL beside them, and `cuda` the CUDA kernels.
//!
//! The loss as an operation on candle's tensors is the package `kdloss-candle`; the program `kdloss` is the package `kdloss-cli`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod batch;
mod call;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod divergence;
mod elements;
mod error;
mod loss;
mod math;
pub mod reference;
pub mod row_part;
mod shape;
mod value;
#[cfg(feature = "wgpu")]
pub mod wgpu;

/// The crates whose types the GPU backends take, in the versions that they take.
///
/// ```
/// # #[cfg(feature = "wgpu")]
/// use kdloss::external::wgpu; // wgpu's own Device, Queue, Buffer; `kdloss::wgpu` is the backend
/// ```
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub mod external {
    #[cfg(feature = "cuda")]
    pub use ::cudarc;
    #[cfg(feature = "wgpu")]
    pub use ::wgpu;
}

pub use batch::{Batch, Matrix, MatrixMut, StudentView};
pub use call::Target;
pub use divergence::Divergence;
pub use elements::{DType, Elements, ElementsMut, Labels};
pub use error::{Error, Result};
pub use loss::{DistillationLoss, IgnoredRows, Reduction};
pub use value::{LossValue, RowLoss};
