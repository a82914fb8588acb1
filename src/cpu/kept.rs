//! What is kept of a row until its sums are known.

use super::recipe::Recipe;
use super::tile::Strip;

/// Bytes between what was kept where a loop is, and what it asks for: a second-level cache holds it.
pub(super) const KEPT_AHEAD: usize = 2048;

/// What is kept of a tile: all that the gradient needs, each kind of number by itself.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    /// `e^((s - m_s) / T)`; without the soft term nothing.
    pub(super) student: &'a mut [Strip],
    /// What [`Form`](super::tile::Form) says; without the soft term nothing.
    pub(super) teacher: &'a mut [Strip],
    /// `e^(s - m_s)`, where it is no power of the first.
    pub(super) hard: &'a mut [Strip],
}

impl<'a> Kept<'a> {
    /// Divides memory for as many strips as a tile has, times [`Recipe::kept`].
    pub(super) fn new(recipe: Recipe, memory: &'a mut [Strip]) -> Self {
        let strips = memory.len() / recipe.kept();
        let (student, rest) = memory.split_at_mut(if recipe.has_soft() { strips } else { 0 });
        let (teacher, hard) = rest.split_at_mut(if recipe.has_soft() { strips } else { 0 });
        Self { student, teacher, hard }
    }

    /// Strips that there is room for.
    pub(super) fn strips(&self) -> usize {
        self.student.len().max(self.hard.len())
    }
}
