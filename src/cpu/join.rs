//! What the tiles of a row come to: the terms of the row, and the factors that make its gradient of what was kept of each tile.

use super::gradient::kept::TeacherForm;
use super::gradient::source::Factors;
use super::recipe::Recipe;
use super::tile::summarise::Summary;
use crate::call::{Call, GradientWeights};
use crate::row_part::{Place, RowPart};
use crate::value::RowLoss;

/// The terms of a row, and whether they are NaN for what the row holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOutcome {
    pub(super) row: RowLoss,
    pub(super) nonfinite: bool,
}

/// What the tiles of a row come to.
pub(super) struct JoinedRow {
    pub(super) outcome: RowOutcome,
    pub(super) whole: RowPart,
}

impl JoinedRow {
    /// Joins all tiles of a row, and replaces `places` by what each is to the row. `label_logit` is the student's logit of the label,
    /// if the row has a hard term.
    pub(super) fn new(
        tiles: &[Summary],
        places: &mut Vec<Place>,
        recipe: Recipe,
        call: &Call,
        label_logit: Option<f32>,
    ) -> Self {
        let loss = &call.loss;
        let whole = RowPart::merge_all(tiles.iter().map(|tile| &tile.part), &call.soft, places);
        if whole.is_nonfinite(recipe.has_soft()) {
            let nan_if = |counts: bool| if counts { f64::NAN } else { 0.0 };
            let row = RowLoss::new(loss, nan_if(recipe.has_hard()), nan_if(recipe.has_soft()));
            return Self { outcome: RowOutcome { row, nonfinite: true }, whole };
        }
        let hard = label_logit.map_or(0.0, |logit| whole.hard(logit));
        let soft = loss.temperature * loss.temperature * whole.soft();
        let outcome = RowOutcome { row: RowLoss::new(loss, hard, soft), nonfinite: false };
        Self { outcome, whole }
    }
}

impl Summary {
    /// What the numbers kept of the tile are multiplied by. `whole` is the row, and `place` says what the tile is to it.
    pub(super) fn factors(&self, place: &Place, whole: &RowPart, weights: GradientWeights, recipe: Recipe) -> Factors {
        let hard = (weights.hard * place.hard / whole.student_sum) as f32;
        if !recipe.has_soft() {
            return Factors { hard, ..Factors::default() };
        }
        let [student, teacher] = self.difference_factors(place);
        Factors { student: (weights.soft * student) as f32, teacher: (weights.soft * teacher) as f32, hard }
    }

    /// What makes the numbers kept of student and teacher `q - p` of the row.
    pub(super) fn difference_factors(&self, place: &Place) -> [f64; 2] {
        match self.form {
            TeacherForm::Exponential => [place.student, -place.teacher],
            TeacherForm::Difference => [place.difference / self.part.student_tempered_sum, place.teacher_mass],
        }
    }
}
