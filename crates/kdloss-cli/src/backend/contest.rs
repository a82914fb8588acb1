//! What takes turns: the loss, and the least that memory takes for it.

use crate::failure::Result;

/// One problem on one backend.
pub(crate) trait Contest {
    /// Seconds of reading and writing what the loss must, without computing anything.
    fn floor(&mut self) -> Result<f64>;

    /// Seconds of the loss.
    fn loss(&mut self) -> Result<f64>;

    /// Bytes of memory that the loss takes besides logits, labels and gradient, where they can be told.
    fn extra_bytes(&self) -> Option<u64>;
}
