//! What the tiles of a row come to: its terms, and what makes each tile's kept numbers the row's gradient.

use super::gradient::Factors;
use super::recipe::Recipe;
use super::row::{Row, RowOutcome, Settings};
use super::tile::{Form, Summary};
use crate::call::GradientWeights;
use crate::row_part::{Place, RowPart};
use crate::value::RowLoss;

/// What the tiles of a row come to.
pub(super) struct Joined {
    pub(super) outcome: RowOutcome,
    /// What makes the gradient of each tile; `None` if it is NaN.
    pub(super) factors: Option<Vec<Factors>>,
}

impl Joined {
    pub(super) fn new(tiles: &[Summary], row: &Row<'_>, recipe: Recipe, settings: &Settings) -> Self {
        let loss = &settings.call.loss;
        let (whole, places) = RowPart::merge_all(tiles.iter().map(|tile| &tile.part), &settings.call.soft);
        if whole.is_nonfinite(recipe.has_soft()) {
            let nan_if = |counts: bool| if counts { f64::NAN } else { 0.0 };
            let row = RowLoss::new(loss, nan_if(recipe.has_hard()), nan_if(recipe.has_soft()));
            return Self { outcome: RowOutcome { row, nonfinite: true }, factors: None };
        }
        let weights = row.weights(settings);
        let factors =
            tiles.iter().zip(&places).map(|(tile, place)| tile.factors(place, &whole, weights, recipe)).collect();
        // Read before the gradient overwrites it.
        let hard = row.role.hard_label.map_or(0.0, |label| whole.hard(row.columns.student().get(label)));
        let soft = loss.temperature * loss.temperature * whole.soft();
        let outcome = RowOutcome { row: RowLoss::new(loss, hard, soft), nonfinite: false };
        Self { outcome, factors: Some(factors) }
    }
}

impl Summary {
    /// What makes the tile's kept numbers the row's gradient.
    fn factors(&self, place: &Place, whole: &RowPart, weights: GradientWeights, recipe: Recipe) -> Factors {
        let hard = (weights.hard * place.hard / whole.student_sum) as f32;
        if !recipe.has_soft() {
            return Factors { hard, ..Factors::default() };
        }
        let (student, teacher) = match self.form {
            Form::Exponential => (place.student, -place.teacher),
            Form::Difference => (place.difference / self.part.student_tempered_sum, place.teacher_mass),
        };
        Factors { student: (weights.soft * student) as f32, teacher: (weights.soft * teacher) as f32, hard }
    }
}
