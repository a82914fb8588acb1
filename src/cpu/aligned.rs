//! Memory that begins at a cache line, so that no vector of it lies across two.

use super::simd::STRIP;
use super::tile::Strip;

/// Bytes of a cache line, and of the longest vector.
pub(super) const CACHE_LINE: usize = 64;

/// Strips that begin at a cache line.
#[derive(Debug, Default)]
pub(super) struct Strips {
    memory: Vec<f32>,
    len: usize,
}

impl Strips {
    /// So many strips: those that are there, or zeros.
    pub(super) fn resize(&mut self, len: usize) -> &mut [Strip] {
        if self.len != len {
            // Zeros that the system has at hand: its pages are filled by the threads that first write them.
            *self = Self { memory: vec![0.0; len * STRIP + CACHE_LINE / size_of::<f32>()], len };
        }
        let start = self.memory.as_ptr().align_offset(CACHE_LINE).min(self.memory.len());
        &mut self.memory[start..].as_chunks_mut().0[..len]
    }
}
