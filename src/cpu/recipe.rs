//! What the loops differ in from row to row: the terms of a row, and which exponentials they take.

use crate::call::Terms;

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
    /// The recipe of a row's terms.
    pub(super) fn new(terms: Terms) -> Self {
        match terms {
            Terms::Hard => Self::Hard,
            Terms::Soft => Self::Soft,
            Terms::BothBySquaring(0) => Self::SameExponential,
            Terms::BothBySquaring(1) => Self::Square,
            Terms::BothBySquaring(2) => Self::FourthPower,
            Terms::BothBySquaring(_) | Terms::Both => Self::OwnExponential,
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
