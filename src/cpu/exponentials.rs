//! The loop over exponentials.

use super::load::Loaded;
use super::recipe::Recipe;
use super::simd::{SIDE_BY_SIDE, Simd, Vector};
use super::tile::Work;

/// Which exponentials are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The student's, tempered: their logits less the largest are noted.
    Student,
    /// The teacher's, tempered: the same is subtracted from the student's.
    Teacher,
    /// The hard term's.
    Hard,
}

impl Role {
    /// Whether no other exponentials of a tile are taken before these.
    #[inline(always)]
    fn is_first(self, recipe: Recipe) -> bool {
        match self {
            Self::Student => true,
            Self::Teacher => false,
            Self::Hard => !recipe.has_soft(),
        }
    }
}

/// The exponentials of the logits of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exponentials<'a> {
    pub(super) logits: Loaded<'a>,
    /// What makes exponents of the logits, less the largest of them.
    pub(super) scale: f32,
    /// Whether some exponents may be below those of normal numbers.
    pub(super) low: bool,
    pub(super) role: Role,
}

impl Exponentials<'_> {
    /// Takes and keeps them; the first of a tile write the last row's gradient as they go. Returns their sum, and that of a power of
    /// each: 1, 2 or 4.
    #[inline(always)]
    pub(super) fn take<S: Simd, const POWER: u32>(self, simd: S, recipe: Recipe, work: &mut Work<'_, '_>) -> [f32; 2] {
        let Self { logits, role, .. } = self;
        let (largest, scale) = (simd.splat(logits.largest), simd.splat(self.scale));
        let mut sums = [simd.splat(0.0); SIDE_BY_SIDE];
        let mut power_sums = sums;
        for (index, strip) in logits.strips.iter().enumerate() {
            work.ahead.step(simd);
            if let Some(previous) = work.previous.as_mut().filter(|_| role.is_first(recipe)) {
                previous.write_strip(simd, recipe, &work.kept, index);
            }
            let kept = &mut work.kept.plane(role)[index];
            let kept = S::vectors_mut(kept).as_chunks_mut::<SIDE_BY_SIDE>().0;
            let distances = S::vectors_mut(&mut work.distances[index]).as_chunks_mut::<SIDE_BY_SIDE>().0;
            let logits = S::vectors(strip).as_chunks::<SIDE_BY_SIDE>().0;
            for ((logits, kept), distances) in logits.iter().zip(kept).zip(distances) {
                let mut exponents = sums;
                for side in 0..SIDE_BY_SIDE {
                    let depth = simd.vector(&logits[side]) - largest;
                    let distance = &mut distances[side];
                    match role {
                        Role::Student => depth.store_lanes(distance),
                        Role::Teacher => (simd.vector(distance) - depth).store_lanes(distance),
                        Role::Hard => (),
                    }
                    exponents[side] = depth * scale;
                }
                let exponentials = simd.exp2(exponents, self.low);
                for side in 0..SIDE_BY_SIDE {
                    let exponential = exponentials[side];
                    exponential.store_lanes(&mut kept[side]);
                    sums[side] = sums[side] + exponential;
                    let square = exponential * exponential;
                    power_sums[side] = match POWER {
                        2 => exponential.mul_add(exponential, power_sums[side]),
                        4 => square.mul_add(square, power_sums[side]),
                        _ => power_sums[side],
                    };
                }
            }
        }
        let sum = total(sums);
        [sum, if POWER == 1 { sum } else { total(power_sums) }]
    }
}

/// All lanes of all vectors.
#[inline(always)]
pub(super) fn total<V: Vector>([a, b, c, d]: [V; SIDE_BY_SIDE]) -> f32 {
    ((a + b) + (c + d)).sum()
}
