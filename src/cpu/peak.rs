//! The gradient's entry of a class that holds more than half of a row's mass.
//!
//! There `q - p` is the difference of two numbers near 1, and `softmax(s) - 1` is another at a confident label: few of their digits
//! are left. But the entries of either term add up to 0, and those of the other classes are small numbers with all their digits. So
//! the entry of such a class is minus the sum of all others. Late in training most rows are such.
//!
//! In a flat row this would do harm, because the errors that the others share would add up. At half of the mass both ways are off
//! by as much. Each term goes by its own mass.

use super::recipe::Recipe;
use super::tile::TILE;
use super::tile::others::KeptNumbers;
use super::tile::summarise::Summary;
use crate::call::GradientWeights;
use crate::elements::Elements;
use crate::math::LOG2_E;
use crate::row_part::{Place, RowPart, Soft};

/// A row whose tiles are joined: its terms are finite, and its gradient is wanted.
pub(super) struct WholeRow<'j> {
    pub(super) whole: &'j RowPart,
    pub(super) tiles: &'j [Summary],
    pub(super) places: &'j [Place],
    pub(super) recipe: Recipe,
    pub(super) label: Option<usize>,
}

/// The student's largest class, where it holds more than half of the mass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    /// The class.
    pub(super) class: usize,
    /// It is the label, and holds more than half of `softmax(s)`.
    is_confident_label: bool,
    /// It holds more than half of both tempered distributions.
    is_agreed: bool,
}

impl Peak {
    /// The peak of a row; `None` if no term needs it. Looks for it in its tile only if it may be one.
    pub(super) fn of(row: &WholeRow<'_>, soft: &Soft, student: Elements<'_>, teacher: Elements<'_>) -> Option<Self> {
        let WholeRow { whole, tiles, recipe, label, .. } = *row;
        let (index, tile) =
            tiles.iter().enumerate().reduce(|a, b| if b.1.largest[0] > a.1.largest[0] { b } else { a })?;
        let [largest_student, largest_teacher] = tile.largest;
        let holds_most = |logit: f32, max: f32, scale: f32, sum: f64| {
            ((f64::from(logit) - f64::from(max)) * f64::from(scale)).exp2() > 0.5 * sum
        };
        let holds_most_of_student = |scale, sum| holds_most(largest_student, whole.student_max, scale, sum);
        let label = label.filter(|&label| label / TILE == index && student.get(label) == largest_student);
        let is_confident_label =
            recipe.has_hard() && label.is_some() && holds_most_of_student(LOG2_E, whole.student_sum);
        let scale = soft.temperature.exponent_scale;
        let may_be_agreed = recipe.has_soft()
            && holds_most_of_student(scale, whole.student_tempered_sum)
            && holds_most(largest_teacher, whole.teacher_max, scale, whole.teacher_tempered_sum);
        if !is_confident_label && !may_be_agreed {
            return None;
        }
        let of_tile = || index * TILE..student.len().min((index + 1) * TILE);
        let class = label.or_else(|| of_tile().find(|&class| student.get(class) == largest_student))?;
        let is_agreed = may_be_agreed && teacher.get(class) == largest_teacher;
        (is_confident_label || is_agreed).then_some(Self { class, is_confident_label, is_agreed })
    }

    /// Number of the tile that holds the class.
    pub(super) fn tile(&self) -> usize {
        self.class / TILE
    }

    /// The entry, given what was kept of the class and the sums of what was kept of the others in its tile.
    pub(super) fn entry(
        &self,
        row: &WholeRow<'_>,
        weights: GradientWeights,
        of_class: KeptNumbers,
        of_others: KeptNumbers,
    ) -> f32 {
        let mut entry = 0.0;
        if row.recipe.has_hard() {
            entry += weights.hard * self.hard(row, of_class, of_others);
        }
        if row.recipe.has_soft() {
            entry += weights.soft * self.soft(row, of_class, of_others);
        }
        entry as f32
    }

    /// `softmax(s) - onehot(label)`.
    fn hard(&self, row: &WholeRow<'_>, of_class: KeptNumbers, of_others: KeptNumbers) -> f64 {
        let place = &row.places[self.tile()];
        if self.is_confident_label {
            let elsewhere = self.elsewhere(row, |tile, place| tile.part.student_sum * place.hard);
            return 0.0 - (elsewhere + f64::from(of_others.hard) * place.hard) / row.whole.student_sum;
        }
        let label = f64::from(u8::from(row.label == Some(self.class)));
        f64::from(of_class.hard) * place.hard / row.whole.student_sum - label
    }

    /// `q - p`.
    fn soft(&self, row: &WholeRow<'_>, of_class: KeptNumbers, of_others: KeptNumbers) -> f64 {
        let [student, teacher] = row.tiles[self.tile()].difference_factors(&row.places[self.tile()]);
        let difference = |kept: KeptNumbers| f64::from(kept.student) * student + f64::from(kept.teacher) * teacher;
        match self.is_agreed {
            true => 0.0 - (self.elsewhere(row, |_, place| place.difference) + difference(of_others)),
            false => difference(of_class),
        }
    }

    /// The sum over all tiles but that of the class.
    fn elsewhere(&self, row: &WholeRow<'_>, of: fn(&Summary, &Place) -> f64) -> f64 {
        let tiles = row.tiles.iter().zip(row.places).enumerate().filter(|&(index, _)| index != self.tile());
        tiles.map(|(_, (tile, place))| of(tile, place)).sum()
    }
}
