//! Prefetching: the loop over one tile asks for the logits of the next, and for what was kept of it, a little at every strip.
//!
//! A core waits for a dozen cache lines at a time and no more: asked for in one burst, a tile's lines stop it.

use super::aligned::CACHE_LINE;
use super::recipe::Recipe;
use super::simd::Simd;
use super::tile::Strip;
use crate::logits::Logits;

/// What is still to be asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    logits: [Part; 2],
    kept: Part,
    /// Cache lines of what was kept that belong to a strip.
    kept_lines: usize,
}

/// Memory from `next` on.
#[derive(Debug, Clone, Copy)]
struct Part {
    next: *const u8,
    step: usize,
}

impl Ahead {
    /// Nothing to ask for.
    pub(super) const NOWHERE: Self = Self { logits: [Part::NOWHERE; 2], kept: Part::NOWHERE, kept_lines: 0 };

    /// What lies behind a tile of student and teacher: the next tile, which so many steps as a tile has strips ask for whole, or the
    /// next row's first. There may be no such memory.
    pub(super) fn behind(tile: [Logits<'_>; 2]) -> Self {
        Self { logits: tile.map(Part::behind), ..Self::NOWHERE }
    }

    /// And what was kept of the last row behind what was kept of this tile.
    pub(super) fn and_kept_behind(self, recipe: Recipe, kept: &[Strip]) -> Self {
        let kept = Part { next: kept.as_ptr_range().end.cast(), step: CACHE_LINE };
        Self { kept, kept_lines: recipe.kept() * size_of::<Strip>() / CACHE_LINE, ..self }
    }

    /// Asks for as much as a strip.
    #[inline(always)]
    pub(super) fn strip<S: Simd>(&mut self, simd: S) {
        for part in &mut self.logits {
            part.ask(simd, size_of::<Strip>() / CACHE_LINE);
        }
        self.kept.ask(simd, self.kept_lines);
    }
}

impl Part {
    const NOWHERE: Self = Self { next: std::ptr::null(), step: 0 };

    #[inline(always)]
    fn ask<S: Simd>(&mut self, simd: S, times: usize) {
        for _ in 0..times {
            simd.prefetch(self.next);
            self.next = self.next.wrapping_add(self.step);
        }
    }

    fn behind(tile: Logits<'_>) -> Self {
        let next: *const u8 = match tile {
            Logits::F32(slice) => slice.as_ptr_range().end.cast(),
            Logits::F16(slice) => slice.as_ptr_range().end.cast(),
            Logits::Bf16(slice) => slice.as_ptr_range().end.cast(),
        };
        Self { next, step: CACHE_LINE * tile.dtype().size() / 4 }
    }
}
