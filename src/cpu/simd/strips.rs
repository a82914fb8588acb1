//! Strips: the step of every loop, and memory for them.
//!
//! A strip is [`STRIP`] consecutive elements of a row. The compiler knows that length, so a loop checks its bounds once for each
//! strip, and not inside.

/// Elements of a strip: eight vectors of AVX-512, sixteen of AVX2, eight cache lines of `f32`.
pub(crate) const STRIP: usize = 128;

/// One number for each element of a strip.
pub(crate) type Strip = [f32; STRIP];

/// Bytes of a cache line, and of the longest vector.
pub(crate) const CACHE_LINE: usize = 64;

/// Memory for strips. It begins at a cache line, so no vector of it lies across two lines.
#[derive(Debug, Default)]
pub(crate) struct StripBuffer {
    memory: Vec<f32>,
    /// Strips that there is room for.
    len: usize,
}

impl StripBuffer {
    /// Makes room for `len` strips and returns them. They hold what they held, or zeros if there was not room for so many.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [Strip] {
        if self.len < len {
            // The system hands out zeros without writing them: the thread that first writes a page fills it.
            *self = Self { memory: vec![0.0; len * STRIP + CACHE_LINE / size_of::<f32>()], len };
        }
        let start = self.memory.as_ptr().align_offset(CACHE_LINE).min(self.memory.len());
        &mut self.memory[start..].as_chunks_mut().0[..len]
    }
}
