//! What the tiles of a row come to: the terms of the row, and the factors that make its gradient of what was kept of each tile.
//!
//! The chain rule of the divergence: that of the row is a sum over its tiles. Each tile adds what an element would that has the tile's
//! masses for probabilities, and the tile's own divergence, weighed by the teacher's mass. No term is negative.

use super::gradient::kept::TeacherForm;
use super::gradient::source::Factors;
use super::recipe::Recipe;
use super::settings::Settings;
use super::tile::summarise::Summary;
use crate::math::LOG2_E;
use crate::row_stats::{RowFlags, RowStats, SoftElement, Temperature, is_masked};
use crate::value::RowLoss;

/// The terms of a row, and whether they are NaN for what the row holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowOutcome {
    pub(super) row: RowLoss,
    pub(super) nonfinite: bool,
}

/// Weight, reduction and scale of a row's gradient in one.
pub(super) struct Weights {
    /// Multiplies `softmax(s) - onehot(y)`.
    pub(super) hard: f64,
    /// Multiplies `q - p`.
    pub(super) soft: f64,
}

/// What the tiles of a row come to.
pub(super) struct Joined {
    pub(super) outcome: RowOutcome,
    /// The factors of each tile; `None` if the row's gradient is NaN.
    pub(super) factors: Option<Vec<Factors>>,
}

impl Joined {
    /// Joins all tiles of a row. `label_logit` is the student's logit of the label, if the row has a hard term.
    pub(super) fn new(
        tiles: &[Summary],
        recipe: Recipe,
        settings: &Settings,
        weights: Weights,
        label_logit: Option<f32>,
    ) -> Self {
        let loss = &settings.loss;
        let total = Total::new(tiles, settings.temperature);
        if total.is_nonfinite(recipe) {
            let nan_if = |counts: bool| if counts { f64::NAN } else { 0.0 };
            let row = RowLoss::new(loss, nan_if(recipe.has_hard()), nan_if(recipe.has_soft()));
            return Self { outcome: RowOutcome { row, nonfinite: true }, factors: None };
        }
        let mut divergence = 0.0;
        let factors = tiles.iter().zip(&total.shares).map(|(tile, &shares)| {
            let mut factors = Factors { hard: (weights.hard * shares.hard / total.hard) as f32, ..Factors::default() };
            if recipe.has_soft() {
                let soft = total.soft_share(tile, shares);
                divergence += soft.divergence;
                factors.student = (weights.soft * soft.student_factor) as f32;
                factors.teacher = (weights.soft * soft.teacher_factor) as f32;
            }
            factors
        });
        let factors = Some(factors.collect());
        let hard = label_logit.map_or(0.0, |logit| total.hard_term(logit));
        let soft = if total.flags.contains(RowFlags::INFINITE_SOFT) {
            f64::INFINITY
        } else {
            loss.temperature * loss.temperature * divergence
        };
        Self { outcome: RowOutcome { row: RowLoss::new(loss, hard, soft), nonfinite: false }, factors }
    }
}

/// The statistics of a whole row, in `f64`.
struct Total {
    /// The largest reference of the student's tiles, to which the sums are relative. A logit may be above it.
    student_max: f32,
    /// The largest reference of the teacher's tiles.
    teacher_max: f32,
    hard: f64,
    student: f64,
    teacher: f64,
    /// `log(Zb / Za)`.
    log_ratio: f64,
    flags: RowFlags,
    temperature: Temperature,
    /// The shares of each tile.
    shares: Vec<Shares>,
}

/// Multiplies a tile's exponentials, which are relative to its own references, to make them relative to the row's. At most 1.
#[derive(Debug, Clone, Copy)]
struct Shares {
    hard: f64,
    student: f64,
    teacher: f64,
}

/// What a tile is to its row's soft term. `q - p` of an element is the sum of its kept numbers, each multiplied by its factor.
struct SoftShare {
    /// What the tile adds to the divergence over `T²`.
    divergence: f64,
    /// Multiplies the student's kept number.
    student_factor: f64,
    /// Multiplies the teacher's kept number.
    teacher_factor: f64,
}

impl Total {
    fn new(tiles: &[Summary], temperature: Temperature) -> Self {
        let largest =
            |of: fn(&RowStats) -> f32| tiles.iter().map(|tile| of(&tile.stats)).fold(f32::NEG_INFINITY, f32::max);
        let (student_max, teacher_max) = (largest(|stats| stats.student_max), largest(|stats| stats.teacher_max));
        let shares = tiles.iter().map(|Summary { stats, .. }| {
            let student = f64::from(stats.student_max) - f64::from(student_max);
            let teacher = f64::from(stats.teacher_max) - f64::from(teacher_max);
            let share = |depth: f64, scale: f32| (depth * f64::from(scale)).exp2();
            let scale = temperature.exponent_scale;
            Shares { hard: share(student, LOG2_E), student: share(student, scale), teacher: share(teacher, scale) }
        });
        let shares: Vec<Shares> = shares.collect();
        let total = |of: fn(&RowStats, Shares) -> (f32, f64)| {
            let pairs = tiles.iter().zip(&shares).map(|(tile, &shares)| of(&tile.stats, shares));
            pairs.map(|(sum, share)| f64::from(sum) * share).sum::<f64>()
        };
        let student = total(|stats, shares| (stats.student_tempered_sum, shares.student));
        let teacher = total(|stats, shares| (stats.teacher_tempered_sum, shares.teacher));
        Self {
            student_max,
            teacher_max,
            hard: total(|stats, shares| (stats.student_sum, shares.hard)),
            student,
            teacher,
            log_ratio: (teacher / student).ln(),
            flags: tiles.iter().fold(RowFlags::default(), |flags, tile| flags.or(tile.stats.flags)),
            temperature,
            shares,
        }
    }

    /// Whether the row's loss is NaN: it holds NaN or +∞, or a matrix that was read is masked throughout.
    fn is_nonfinite(&self, recipe: Recipe) -> bool {
        self.flags.contains(RowFlags::NONFINITE)
            || is_masked(self.student_max)
            || (recipe.has_soft() && is_masked(self.teacher_max))
    }

    /// `logsumexp(s) - s[y]`, given the student logit of the label; +∞ if that logit is masked.
    fn hard_term(&self, label_logit: f32) -> f64 {
        if is_masked(label_logit) {
            return f64::INFINITY;
        }
        self.hard.ln() + (f64::from(self.student_max) - f64::from(label_logit))
    }

    fn soft_share(&self, tile: &Summary, shares: Shares) -> SoftShare {
        let Summary { stats, .. } = tile;
        let (student_factor, teacher_factor) = (shares.student / self.student, shares.teacher / self.teacher);
        let student_sum = f64::from(stats.student_tempered_sum);
        let (q, p) = (student_sum * student_factor, f64::from(stats.teacher_tempered_sum) * teacher_factor);
        let depth = |of_tile: f32, of_row: f32| f64::from(of_tile) - f64::from(of_row);
        let student_depth = depth(stats.student_max, self.student_max);
        let distance = student_depth - depth(stats.teacher_max, self.teacher_max);
        let y = distance * f64::from(self.temperature.reciprocal) + (self.log_ratio - tile.log_ratio);
        let element = SoftElement::new::<false>(q as f32, p as f32, y as f32);
        let within = if p > 0.0 { p * tile.divergence } else { 0.0 };
        let divergence = f64::from(element.divergence) + within;
        match tile.form {
            TeacherForm::Exponential => SoftShare { divergence, student_factor, teacher_factor: -teacher_factor },
            TeacherForm::Difference => {
                SoftShare { divergence, student_factor: f64::from(element.difference) / student_sum, teacher_factor: p }
            }
        }
    }
}
