//! kdloss
mod batch;
#[cfg(feature = "candle")]
pub mod candle;
pub mod cpu;
mod error;
mod logits;
mod loss;
mod math;
pub mod reference;
pub mod row_stats;
mod value;

pub use batch::{Batch, Matrix, MatrixMut, StudentView};
pub use error::{Error, Result};
pub use logits::{DType, Labels, Logits, LogitsMut};
pub use loss::{DistillationLoss, Divergence, IgnoredRows, Reduction};
pub use value::{LossValue, RowLoss};
