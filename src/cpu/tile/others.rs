//! The sums of what was kept of a tile, without one element.

use super::sums::PairwiseSums;
use crate::cpu::gradient::kept::Kept;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::Strip;
use crate::cpu::simd::{Simd, Task, Vector};

/// What was kept of an element, or the sums of that over several.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeptNumbers {
    /// `e^((s - m_s) / T)`.
    pub(crate) student: f32,
    /// What [`TeacherForm`](crate::cpu::gradient::kept::TeacherForm) says.
    pub(crate) teacher: f32,
    /// `e^(s - m_s)`, kept or not.
    pub(crate) hard: f32,
}

/// Takes an element out of what was kept of a tile, adds up the others, and puts it back. Few rows need it, so it is compiled once
/// for all recipes.
pub(crate) struct Others<'k> {
    pub(crate) recipe: Recipe,
    pub(crate) kept: Kept<'k>,
    /// The element's place in the tile.
    pub(crate) place: usize,
}

impl Task for Others<'_> {
    /// The element, and the sums over the others.
    type Output = (KeptNumbers, KeptNumbers);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let Self { recipe, kept, place } = self;
        let mut planes = [kept.student, kept.teacher, kept.hard];
        let mut element = [0.0; 3];
        for (plane, element) in planes.iter_mut().zip(&mut element) {
            if let Some(number) = plane.as_flattened_mut().get_mut(place) {
                *element = std::mem::take(number);
            }
        }
        let zero = simd.splat(0.0);
        let mut pairwise = PairwiseSums::new(zero);
        let [students, teachers, hards] = &planes;
        for index in 0..students.len().max(hards.len()) {
            let mut sums = [zero; 3];
            for vector in 0..S::V::IN_STRIP {
                let r = kept_vector(simd, students, index, vector);
                let w = kept_vector(simd, teachers, index, vector);
                let hard = kept_vector(simd, hards, index, vector);
                sums = [sums[0] + r, sums[1] + w, sums[2] + hard_exponential(recipe, r, hard)];
            }
            pairwise.add(index, sums);
        }
        for (plane, element) in planes.iter_mut().zip(element) {
            if let Some(number) = plane.as_flattened_mut().get_mut(place) {
                *number = element;
            }
        }
        let numbers = |[student, teacher, hard]: [f32; 3]| KeptNumbers { student, teacher, hard };
        let [r, w, hard] = element;
        (numbers([r, w, hard_exponential(recipe, r, hard)]), numbers(pairwise.total()))
    }
}

/// Vector number `vector` of strip number `index` of a plane; zeros if the plane is not kept.
#[inline(always)]
fn kept_vector<S: Simd>(simd: S, plane: &[Strip], index: usize, vector: usize) -> S::V {
    match plane.get(index) {
        Some(strip) => simd.load(strip, vector),
        None => simd.splat(0.0),
    }
}

/// `e^(s - m_s)`, where it is kept or a power of the student's number `r`.
#[inline(always)]
fn hard_exponential<T: Copy + std::ops::Mul<Output = T>>(recipe: Recipe, r: T, kept: T) -> T {
    match recipe {
        Recipe::Square => r * r,
        Recipe::FourthPower => (r * r) * (r * r),
        Recipe::SameExponential => r,
        Recipe::Hard | Recipe::OwnExponential | Recipe::Soft => kept,
    }
}
