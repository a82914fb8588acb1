//! Which terms a row has, and how its exponentials are had: what the loops are specialised for when the crate is compiled.

use super::simd::STRIP;
use super::tile::Strip;
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
    /// Both, at any temperature: an exponential of its own.
    OwnExponential,
}

impl Recipe {
    /// The recipe of a row that counts; `None` for one that does not.
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

    pub(super) fn has_hard(self) -> bool {
        self != Self::Soft
    }

    pub(super) fn has_soft(self) -> bool {
        self != Self::Hard
    }

    /// Strips kept for each strip of logits: the length of [`Rule::Kept`].
    pub(super) fn kept(self) -> usize {
        match self {
            Self::Hard => 1,
            Self::OwnExponential => 3,
            _ => 2,
        }
    }
}

/// A [`Recipe`] as a type.
pub(super) trait Rule {
    const HARD: bool;
    const SOFT: bool;
    /// Which power of `e^((s - m_s) / T)` is `e^(s - m_s)`: 1, 2 or 4; 0 if it has an exponential of its own.
    const POWER: u32;
    /// What is kept of a strip: without the soft term `e^(s - m_s)`; else `e^((s - m_s) / T)`, what
    /// [`Form`](super::tile::Form) says, and `e^(s - m_s)` where it is no power of the first.
    type Kept: AsRef<[Strip]> + AsMut<[Strip]>;

    /// Scratch memory as what is kept of strips.
    fn kept(scratch: &mut [Strip]) -> &mut [Self::Kept];
}

macro_rules! rule {
    ($name:ident, $hard:expr, $soft:expr, $power:expr, $kept:expr) => {
        pub(super) struct $name;

        impl Rule for $name {
            const HARD: bool = $hard;
            const SOFT: bool = $soft;
            const POWER: u32 = $power;
            type Kept = [[f32; STRIP]; $kept];

            #[inline(always)]
            fn kept(scratch: &mut [Strip]) -> &mut [Self::Kept] {
                scratch.as_chunks_mut().0
            }
        }
    };
}

rule!(Hard, true, false, 0, 1);
rule!(Soft, false, true, 0, 2);
rule!(SameExponential, true, true, 1, 2);
rule!(Square, true, true, 2, 2);
rule!(FourthPower, true, true, 4, 2);
rule!(OwnExponential, true, true, 0, 3);

/// Calls a function that is generic over a [`Rule`] with the rule of a recipe.
macro_rules! with_rule {
    ($recipe:expr, $Rule:ident => $call:expr) => {
        match $recipe {
            $crate::cpu::rule::Recipe::Hard => {
                type $Rule = $crate::cpu::rule::Hard;
                $call
            }
            $crate::cpu::rule::Recipe::Soft => {
                type $Rule = $crate::cpu::rule::Soft;
                $call
            }
            $crate::cpu::rule::Recipe::SameExponential => {
                type $Rule = $crate::cpu::rule::SameExponential;
                $call
            }
            $crate::cpu::rule::Recipe::Square => {
                type $Rule = $crate::cpu::rule::Square;
                $call
            }
            $crate::cpu::rule::Recipe::FourthPower => {
                type $Rule = $crate::cpu::rule::FourthPower;
                $call
            }
            $crate::cpu::rule::Recipe::OwnExponential => {
                type $Rule = $crate::cpu::rule::OwnExponential;
                $call
            }
        }
    };
}
pub(super) use with_rule;
