//! Elements as the library takes them, out of bytes as they lie in a file.
//!
//! Bytes are borrowed where they already are such elements. Where they lie unaligned, which the format allows, or are of
//! another type, the elements that are asked for are copied, and no others.

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::ops::Range;

use bytemuck::Pod;

/// The same `range` of elements out of each of `count` runs of `stride` elements.
#[derive(Clone)]
pub(crate) struct Runs {
    pub(crate) count: usize,
    pub(crate) stride: usize,
    pub(crate) range: Range<usize>,
}

/// What memory has no room for, or the elements.
pub(crate) type Elements<'a, T> = std::result::Result<Cow<'a, [T]>, TryReserveError>;

impl Runs {
    /// One range of elements.
    pub(crate) fn one(range: Range<usize>) -> Self {
        Self { count: 1, stride: 0, range }
    }

    fn is_empty(&self) -> bool {
        self.count == 0 || self.range.is_empty()
    }

    /// The bytes of one run.
    fn bytes<'a, T>(&self, bytes: &'a [u8], run: usize) -> &'a [u8] {
        let start = run * self.stride;
        &bytes[(start + self.range.start) * size_of::<T>()..(start + self.range.end) * size_of::<T>()]
    }
}

/// The elements of `runs`, which must exist.
pub(crate) fn stored<T: Pod>(bytes: &[u8], runs: Runs) -> Elements<'_, T> {
    if runs.is_empty() {
        return Ok(Cow::Borrowed(&[]));
    }
    if runs.count == 1
        && let Ok(elements) = bytemuck::try_cast_slice(runs.bytes::<T>(bytes, 0))
    {
        return Ok(Cow::Borrowed(elements));
    }
    converted(bytes, runs, |element: T| element)
}

/// The elements of `runs`, which must exist, each converted.
pub(crate) fn converted<S: Pod, T: Clone>(bytes: &[u8], runs: Runs, convert: impl Fn(S) -> T) -> Elements<'_, T> {
    let mut elements = Vec::new();
    if runs.is_empty() {
        return Ok(Cow::Owned(elements));
    }
    elements.try_reserve_exact(runs.count.saturating_mul(runs.range.len()))?;
    for run in 0..runs.count {
        let stored = runs.bytes::<S>(bytes, run).chunks_exact(size_of::<S>());
        elements.extend(stored.map(|bytes| convert(bytemuck::pod_read_unaligned(bytes))));
    }
    Ok(Cow::Owned(elements))
}
