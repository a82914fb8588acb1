//! Which vector instructions the loops of [`tile`] run with: the seam for explicit SIMD.
//!
//! The loops are compiled once for each set, as functions with `#[target_feature]`, and chosen by what the processor has.

use super::tile::{self, GradientWeights, Terms, Tile};
use crate::row_stats::{Normalizer, RowStats, Temperature};

/// The instruction sets that the loops are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    /// 16 lanes and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the program is compiled for.
    Baseline,
}

/// Whether code compiled for the baseline may use fused multiply-add.
const BASELINE_FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Instructions {
    /// The best set of this processor.
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }

    /// First pass: see [`tile::stats`].
    pub(super) fn stats(self, terms: Terms, logits: Tile<'_>, temperature: Temperature) -> RowStats {
        match self {
            // SAFETY: a value of a set is made only where the processor was found to have it: in `detect`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { stats_avx512(terms, logits, temperature) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { stats_avx2(terms, logits, temperature) },
            Self::Baseline => tile::stats::<BASELINE_FUSED>(terms, logits, temperature),
        }
    }

    /// Second pass: see [`tile::gradient`].
    pub(super) fn gradient(
        self,
        terms: Terms,
        logits: Tile<'_>,
        normalizer: &Normalizer,
        weights: GradientWeights,
        gradient: &mut [f32],
    ) -> f32 {
        match self {
            // SAFETY: a value of a set is made only where the processor was found to have it: in `detect`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { gradient_avx512(terms, logits, normalizer, weights, gradient) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { gradient_avx2(terms, logits, normalizer, weights, gradient) },
            Self::Baseline => tile::gradient::<BASELINE_FUSED>(terms, logits, normalizer, weights, gradient),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn stats_avx512(terms: Terms, logits: Tile<'_>, temperature: Temperature) -> RowStats {
    tile::stats::<true>(terms, logits, temperature)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn stats_avx2(terms: Terms, logits: Tile<'_>, temperature: Temperature) -> RowStats {
    tile::stats::<true>(terms, logits, temperature)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl")]
fn gradient_avx512(
    terms: Terms,
    logits: Tile<'_>,
    normalizer: &Normalizer,
    weights: GradientWeights,
    gradient: &mut [f32],
) -> f32 {
    tile::gradient::<true>(terms, logits, normalizer, weights, gradient)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gradient_avx2(
    terms: Terms,
    logits: Tile<'_>,
    normalizer: &Normalizer,
    weights: GradientWeights,
    gradient: &mut [f32],
) -> f32 {
    tile::gradient::<true>(terms, logits, normalizer, weights, gradient)
}

#[cfg(test)]
mod tests {
    use super::super::tile::{LANES, TILE};
    use super::*;
    use crate::row_stats::{MASKED, RowFlags};

    /// Every set that this processor has.
    fn available() -> Vec<Instructions> {
        let mut sets = vec![Instructions::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(
                (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Instructions::Avx2),
            );
            sets.extend((Instructions::detect() == Instructions::Avx512).then_some(Instructions::Avx512));
        }
        sets
    }

    /// Two rows of a tile's length, masked entries among them.
    fn rows() -> (Vec<f32>, Vec<f32>) {
        let logit = |j: usize, step: usize| ((j * step) % 1009) as f32 / 61.0 - 9.0;
        let student = (0..TILE).map(|j| if j % 91 == 0 { f32::NEG_INFINITY } else { logit(j, 37) });
        let teacher = (0..TILE).map(|j| if j % 91 == 0 { f32::MIN } else { logit(j, 53) });
        (student.collect(), teacher.collect())
    }

    fn near(got: f32, want: f32) -> bool {
        (got - want).abs() <= 1e-5 * want.abs()
    }

    #[test]
    fn the_statistics_of_a_tile_are_those_of_its_elements_pushed_one_by_one() {
        let (student, teacher) = rows();
        let temperature = Temperature::new(3.0);
        let mut want = RowStats::IDENTITY;
        student.iter().zip(&teacher).for_each(|(&s, &t)| want.push(s, Some(t), temperature));
        for set in available() {
            let got = set.stats(Terms::Both, Tile { student: &student, teacher: &teacher }, temperature);
            assert_eq!((got.student_max, got.teacher_max, got.flags), (want.student_max, want.teacher_max, want.flags));
            assert!(near(got.student_sum, want.student_sum), "{set:?}: {got:?} {want:?}");
            assert!(near(got.student_tempered_sum, want.student_tempered_sum), "{set:?}: {got:?} {want:?}");
            assert!(near(got.teacher_tempered_sum, want.teacher_tempered_sum), "{set:?}: {got:?} {want:?}");
        }
    }

    #[test]
    fn every_instruction_set_flags_what_it_meets() {
        let (good, temperature) = (vec![0.5; LANES], Temperature::new(2.0));
        for set in available() {
            let flags = |bad: f32, good: &[f32]| {
                let mut row = good.to_vec();
                row[LANES - 1] = bad;
                let stats =
                    |student: &[f32], teacher: &[f32]| set.stats(Terms::Both, Tile { student, teacher }, temperature);
                (stats(&row, good).flags, stats(good, &row).flags)
            };
            for poison in [f32::NAN, -f32::NAN, f32::INFINITY] {
                assert_eq!(flags(poison, &good), (RowFlags::NONFINITE, RowFlags::NONFINITE), "{set:?}: {poison}");
            }
            for mask in [f32::NEG_INFINITY, f32::MIN, MASKED] {
                assert_eq!(flags(mask, &good), (RowFlags::INFINITE_SOFT, RowFlags::default()), "{set:?}: {mask}");
            }
        }
    }

    #[test]
    fn the_gradient_of_a_tile_is_the_element_formula() {
        let (student, teacher) = rows();
        let temperature = Temperature::new(3.0);
        let tile = Tile { student: &student, teacher: &teacher };
        let normalizer = Instructions::Baseline.stats(Terms::Both, tile, temperature).finish(temperature);
        let weights = GradientWeights { hard: 0.25, soft: 1.5 };
        for set in available() {
            for (terms, hard, soft) in [(Terms::Hard, 0.25, 0.0), (Terms::Soft, 0.0, 1.5), (Terms::Both, 0.25, 1.5)] {
                let mut gradient = vec![f32::NAN; TILE];
                let divergence = set.gradient(terms, tile, &normalizer, weights, &mut gradient);
                let mut want_divergence = 0.0;
                for j in 0..TILE {
                    let element = normalizer.soft_element(student[j], teacher[j]);
                    let want = hard * normalizer.hard_element(student[j]) + soft * element.difference;
                    assert!((gradient[j] - want).abs() < 1e-8, "{set:?} {terms:?} {j}: {} {want}", gradient[j]);
                    want_divergence += f64::from(element.divergence) * f64::from(u8::from(terms != Terms::Hard));
                }
                assert!(near(divergence, want_divergence as f32), "{set:?} {terms:?}: {divergence} {want_divergence}");
            }
        }
    }
}
