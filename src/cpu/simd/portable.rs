//! Any processor: 8 lanes as an array. The compiler turns loops over its lanes into the vector instructions that the program is
//! compiled for (SSE2 on x86-64, NEON on AArch64).

use std::array::from_fn;
use std::ops::{Add, Mul, Sub};

use half::{bf16, f16};

use super::strips::{STRIP, Strip};
use super::{Simd, Store, Task, Vector};

const LANES: usize = 8;

/// Whether the program is compiled for processors with fused multiply-add. If not, `f32::mul_add` is a call into the C library, many
/// times slower than a product and a sum.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// Needs nothing of the processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// Eight lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes([f32; LANES]);

/// All bits of a lane set, or none.
pub(crate) type Mask = [u32; LANES];

impl Simd for Portable {
    type V = Lanes;
    type Shift = usize;

    #[inline(never)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.run(self)
    }

    #[inline(always)]
    fn vector(self, lanes: &[f32; LANES]) -> Lanes {
        Lanes(*lanes)
    }

    #[inline(always)]
    fn shift(self, lanes: usize) -> usize {
        lanes % LANES
    }

    #[inline(always)]
    fn joined(self, first: Lanes, second: Lanes, shift: usize) -> Lanes {
        let mut both = [0.0; 2 * LANES];
        both[..LANES].copy_from_slice(&first.0);
        both[LANES..].copy_from_slice(&second.0);
        Lanes(from_fn(|lane| both[shift % LANES + lane]))
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        Lanes([value; LANES])
    }

    #[inline(always)]
    fn load_f16(self, strip: &[f16; STRIP], index: usize) -> Lanes {
        Lanes(strip.as_chunks::<LANES>().0[index].map(f16::to_f32))
    }

    #[inline(always)]
    fn load_bf16(self, strip: &[bf16; STRIP], index: usize) -> Lanes {
        // By its bits: the compiler makes vector instructions of these, and none of `bf16::to_f32`.
        Lanes(strip.as_chunks::<LANES>().0[index].map(|half| f32::from_bits(u32::from(half.to_bits()) << 16)))
    }

    #[inline(always)]
    fn prefetch<T>(self, _address: *const T) {}

    #[inline(always)]
    fn fence(self) {}
}

impl Lanes {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(from_fn(|lane| f(self.0[lane], other.0[lane])))
    }

    #[inline(always)]
    fn reduce(self, join: impl Fn(f32, f32) -> f32) -> f32 {
        let [a, b, c, d] = from_fn(|lane| join(self.0[lane], self.0[lane + 4]));
        join(join(a, c), join(b, d))
    }
}

impl Add for Lanes {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}

impl Mul for Lanes {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
}

impl Vector for Lanes {
    const LANES: usize = LANES;
    type Mask = Mask;
    type Lanes = [f32; LANES];

    #[inline(always)]
    fn vectors(strip: &Strip) -> &[[f32; LANES]] {
        strip.as_chunks().0
    }

    #[inline(always)]
    fn vectors_mut(strip: &mut Strip) -> &mut [[f32; LANES]] {
        strip.as_chunks_mut().0
    }

    #[inline(always)]
    fn store_lanes(self, lanes: &mut [f32; LANES]) {
        *lanes = self.0;
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(from_fn(|lane| {
            if FUSED { self.0[lane].mul_add(b.0[lane], c.0[lane]) } else { self.0[lane] * b.0[lane] + c.0[lane] }
        }))
    }

    #[inline(always)]
    fn mul_sub(self, b: Self, c: Self) -> Self {
        self.mul_add(b, Self(c.0.map(|lane| -lane)))
    }

    #[inline(always)]
    fn max_or_second(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min_or_second(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn less_than(self, other: Self) -> Mask {
        from_fn(|lane| if self.0[lane] < other.0[lane] { u32::MAX } else { 0 })
    }

    #[inline(always)]
    fn both(a: Mask, b: Mask) -> Mask {
        from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn all(mask: Mask) -> bool {
        mask.into_iter().fold(u32::MAX, |all, lane| all & lane) == u32::MAX
    }

    #[inline(always)]
    fn mul_where(self, mask: Mask, b: Self, otherwise: Self) -> Self {
        let product = self * b;
        let bits = |lane: usize| (product.0[lane].to_bits() & mask[lane]) | (otherwise.0[lane].to_bits() & !mask[lane]);
        Self(from_fn(|lane| f32::from_bits(bits(lane))))
    }

    #[inline(always)]
    fn scale_by_power(self, exponent: Self) -> Self {
        self.zip(exponent, |a, exponent| f32::from_bits(a.to_bits().wrapping_add(exponent.to_bits() << 23)))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        self.reduce(|a, b| a + b)
    }

    #[inline(always)]
    fn largest(self) -> f32 {
        self.reduce(|a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn smallest(self) -> f32 {
        self.reduce(|a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn store_f16(self, strip: &mut [f16; STRIP], index: usize, _how: Store) {
        strip.as_chunks_mut().0[index] = self.0.map(f16::from_f32);
    }

    #[inline(always)]
    fn store_bf16(self, strip: &mut [bf16; STRIP], index: usize, _how: Store) {
        strip.as_chunks_mut().0[index] = self.0.map(|value| {
            let bits = value.to_bits();
            let ties_to_even = 0x7fff + ((bits >> 16) & 1);
            bf16::from_bits((bits.wrapping_add(ties_to_even) >> 16) as u16)
        });
    }
}
