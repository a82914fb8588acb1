//! The loss as an operation on candle's tensors.
