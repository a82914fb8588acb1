//! The shape of a matrix, and the one place where it is checked.

use crate::error::{Error, Result};

/// Rows, columns and layout of a matrix, and the elements its buffer holds.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub(crate) len: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
}

impl Shape {
    /// Checks a matrix against the number of rows and classes it must have.
    pub(crate) fn check(self, matrix: &'static str, rows: usize, vocab: usize) -> Result<()> {
        let Shape { len, rows: found, cols, row_stride } = self;
        if found != rows {
            return Err(Error::RowCountMismatch { part: matrix, expected: rows, found });
        }
        if vocab > cols {
            return Err(Error::VocabTooWide { matrix, vocab, cols });
        }
        if row_stride < cols {
            return Err(Error::RowStrideTooShort { matrix, row_stride, cols });
        }
        let needed = match rows.checked_sub(1) {
            None => 0,
            Some(gaps) => gaps.checked_mul(row_stride).and_then(|start| start.checked_add(cols)).unwrap_or(usize::MAX),
        };
        if len < needed {
            return Err(Error::BufferTooShort { matrix, len, needed, rows, cols, row_stride });
        }
        Ok(())
    }
}
