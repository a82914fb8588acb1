//! The storage types of an element. A loop reads and writes each type a vector at a time; arithmetic is `f32`.

use half::{bf16, f16};

use super::strips::STRIP;
use super::{Simd, Store, Vector};

/// A storage type of logits or of a gradient.
pub(crate) trait Element: Copy {
    const ZERO: Self;

    /// The value as `f32`, which every storage type fits.
    fn to_f32(self) -> f32;
    /// Loads vector number `index` of a strip, widened to `f32`.
    fn load<S: Simd>(simd: S, strip: &[Self; STRIP], index: usize) -> S::V;
    /// Stores vector number `index` of a strip, rounded to nearest, ties to even.
    fn store<V: Vector>(vector: V, strip: &mut [Self; STRIP], index: usize, how: Store);
}

macro_rules! element {
    ($type:ty, $zero:expr, $to_f32:expr, $load:ident, $store:ident) => {
        impl Element for $type {
            const ZERO: Self = $zero;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to_f32(self)
            }

            #[inline(always)]
            fn load<S: Simd>(simd: S, strip: &[Self; STRIP], index: usize) -> S::V {
                simd.$load(strip, index)
            }

            #[inline(always)]
            fn store<V: Vector>(vector: V, strip: &mut [Self; STRIP], index: usize, how: Store) {
                vector.$store(strip, index, how);
            }
        }
    };
}

element!(f32, 0.0, std::convert::identity, load, store);
element!(f16, f16::ZERO, f16::to_f32, load_f16, store_f16);
element!(bf16, bf16::ZERO, bf16::to_f32, load_bf16, store_bf16);
