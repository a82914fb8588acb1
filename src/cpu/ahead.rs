//! Prefetching: the loops over one tile ask for the logits of the next, a little at every step.
//!
//! A core waits for a dozen cache lines at a time and no more: asked for in a burst, they stop it. So every loop takes its part.

use super::aligned::CACHE_LINE;
use super::simd::Simd;
use crate::logits::Logits;

/// What is still to be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    parts: [Part; 2],
}

/// Memory from `next` on.
#[derive(Debug, Clone, Copy)]
struct Part {
    next: *const u8,
    step: usize,
}

impl Ahead {
    /// Nothing to ask for.
    pub(super) const NOWHERE: Self = Self { parts: [Part { next: std::ptr::null(), step: 0 }; 2] };

    /// What lies behind a tile of student and teacher: the next tile, which so many steps as a tile has ask for whole, or the next
    /// row's first. There may be no such memory.
    pub(super) fn behind(tile: [Logits<'_>; 2]) -> Self {
        Self { parts: tile.map(Part::behind) }
    }

    /// Asks for a little.
    #[inline(always)]
    pub(super) fn step<S: Simd>(&mut self, simd: S) {
        for part in &mut self.parts {
            simd.prefetch(part.next);
            part.next = part.next.wrapping_add(part.step);
        }
    }
}

impl Part {
    fn behind(tile: Logits<'_>) -> Self {
        let next: *const u8 = match tile {
            Logits::F32(slice) => slice.as_ptr_range().end.cast(),
            Logits::F16(slice) => slice.as_ptr_range().end.cast(),
            Logits::Bf16(slice) => slice.as_ptr_range().end.cast(),
        };
        Self { next, step: CACHE_LINE * tile.dtype().size() / 4 }
    }
}
