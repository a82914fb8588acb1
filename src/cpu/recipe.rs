//! What the loops differ in from row to row: the terms of a row, and which exponentials they take.

use crate::batch::RowRole;

/// The terms of a row, and where `e^(s - m_s)` of the hard term comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// The hard term alone.
    Hard,
    /// The soft term alone.
    Soft,
    /// Both, at T = 1, where their exponentials are the same.
    SameExponential,
    /// Both, at T = 2: the square of `e^((s - m_s) / 2)`.
    Square,
    /// Both, at T = 4: a square's square.
    FourthPower,
    /// Both, at any other temperature: an exponential of its own.
    OwnExponential,
}

impl Recipe {
    /// The recipe of a row; `None` if no term of it counts.
    pub(super) fn new(role: RowRole, temperature: f64) -> Option<Self> {
        match (role.hard_label.is_some(), role.soft) {
            (true, true) if temperature == 1.0 => Some(Self::SameExponential),
            (true, true) if temperature == 2.0 => Some(Self::Square),
            (true, true) if temperature == 4.0 => Some(Self::FourthPower),
            (true, true) => Some(Self::OwnExponential),
            (true, false) => Some(Self::Hard),
            (false, true) => Some(Self::Soft),
            (false, false) => None,
        }
    }

    #[inline(always)]
    pub(super) fn has_hard(self) -> bool {
        self != Self::Soft
    }

    #[inline(always)]
    pub(super) fn has_soft(self) -> bool {
        self != Self::Hard
    }

    /// Whether the loops take `e^(s - m_s)` itself.
    #[inline(always)]
    pub(super) fn has_own_exponential(self) -> bool {
        matches!(self, Self::Hard | Self::OwnExponential)
    }

    /// Numbers kept of each element: see [`Kept`](super::gradient::kept::Kept).
    pub(super) fn kept(self) -> usize {
        match self {
            Self::Hard => 1,
            Self::OwnExponential => 3,
            _ => 2,
        }
    }
}

/// Evaluates an expression with the recipe as a constant: its loops are compiled once for each recipe.
macro_rules! by_recipe {
    ($recipe:expr, $constant:ident => $expression:expr) => {
        by_recipe!($recipe, $constant => $expression; Hard, Soft, SameExponential, Square, FourthPower, OwnExponential)
    };
    ($recipe:expr, $constant:ident => $expression:expr; $($name:ident),*) => {
        match $recipe {
            $($crate::cpu::recipe::Recipe::$name => {
                let $constant = $crate::cpu::recipe::Recipe::$name;
                $expression
            })*
        }
    };
}
pub(super) use by_recipe;
