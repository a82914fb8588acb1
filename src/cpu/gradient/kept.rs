//! What is kept of a row between its two passes: all that its gradient needs.

use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::Strip;

/// How far ahead of a loop what was kept is asked for, in bytes. A second-level cache holds it, so it comes soon.
pub(crate) const KEPT_AHEAD: usize = 2048;

/// What is kept of a tile. Each plane holds one number for each element; `m_s` and `m_t` are the tile's references.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    /// `e^((s - m_s) / T)`; empty without a soft term.
    pub(crate) student: &'a mut [Strip],
    /// What [`TeacherForm`] says; empty without a soft term.
    pub(crate) teacher: &'a mut [Strip],
    /// `e^(s - m_s)`; empty where that is a power of the student's number, and without a hard term.
    pub(crate) hard: &'a mut [Strip],
}

/// What the teacher's plane holds of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TeacherForm {
    /// `e^((t - m_t) / T)`.
    Exponential,
    /// `q - p` within the tile. For a tile whose distributions nearly agree: the polynomial gives this difference with all its
    /// digits, where the gradient would have to subtract two numbers that are nearly the same.
    Difference,
}

impl<'a> Kept<'a> {
    /// Divides memory into planes. It has room for the strips of a tile times [`Recipe::kept`].
    pub(crate) fn new(recipe: Recipe, memory: &'a mut [Strip]) -> Self {
        let plane = memory.len() / recipe.kept();
        let soft_plane = if recipe.has_soft() { plane } else { 0 };
        let (student, rest) = memory.split_at_mut(soft_plane);
        let (teacher, hard) = rest.split_at_mut(soft_plane);
        Self { student, teacher, hard }
    }

    /// Strips that each plane has room for.
    pub(crate) fn strip_count(&self) -> usize {
        self.student.len().max(self.hard.len())
    }
}
