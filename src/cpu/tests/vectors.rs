//! Vectors: exponentials, polynomials, widening and narrowing.

use half::{bf16, f16};

use super::available;
use crate::cpu::simd::element::Element;
use crate::cpu::simd::strips::{STRIP, Strip};
use crate::cpu::simd::{Simd, Store, Task, Vector, phi_over_square};
use crate::row_part::MASKED;

/// Applies a function of vectors to each number of a strip.
struct Map<F>(Strip, F);

trait OfVectors {
    fn of<S: Simd>(&self, simd: S, x: S::V) -> S::V;
}

impl<F: OfVectors> Task for Map<F> {
    type Output = Strip;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Strip {
        let mut results = [0.0; STRIP];
        for index in 0..S::V::IN_STRIP {
            self.1.of(simd, simd.load(&self.0, index)).store(&mut results, index, Store::Cached);
        }
        results
    }
}

/// With exponents of any numbers, or of normal ones only.
struct Exp2 {
    subnormals: bool,
}

impl OfVectors for Exp2 {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, x: S::V) -> S::V {
        let [power] = simd.exp2([x], self.subnormals);
        power
    }
}

struct PhiOverSquare;

impl OfVectors for PhiOverSquare {
    #[inline(always)]
    fn of<S: Simd>(&self, simd: S, x: S::V) -> S::V {
        let [phi] = phi_over_square(simd, [x]);
        phi
    }
}

#[test]
fn exp2_is_accurate_and_0_where_it_would_be_subnormal() {
    for set in available() {
        for start in 0..4096 {
            let x: Strip = std::array::from_fn(|index| 0.5 - ((start * STRIP + index) as f32) / 1024.0);
            for (x, got) in x.into_iter().zip(set.run(Map(x, Exp2 { subnormals: true }))) {
                let exact = f64::from(x).exp2();
                if x >= -126.0 {
                    assert!((f64::from(got) / exact - 1.0).abs() < 2e-7, "{set:?}: {x} {got:e}");
                } else {
                    assert!((0.0..f32::MIN_POSITIVE).contains(&got), "{set:?}: {x} {got:e}");
                }
            }
            if x[STRIP - 1] >= -126.0 {
                assert_eq!(
                    set.run(Map(x, Exp2 { subnormals: false })),
                    set.run(Map(x, Exp2 { subnormals: true })),
                    "{set:?}: {x:?}"
                );
            }
        }
        for (x, want) in [(0.0, 1.0), (-0.0, 1.0), (-127.0, 0.0), (MASKED, 0.0), (f32::MIN, 0.0)] {
            assert_eq!(set.run(Map([x; STRIP], Exp2 { subnormals: true })), [want; STRIP], "{set:?}: {x}");
        }
        assert!(set.run(Map([f32::NAN; STRIP], Exp2 { subnormals: false }))[0].is_nan(), "{set:?}");
    }
}

#[test]
fn phi_over_square_is_accurate() {
    for set in available() {
        let y: Strip = std::array::from_fn(|index| ((index as f32 + 0.5) / STRIP as f32) - 0.5);
        for (y, got) in y.into_iter().zip(set.run(Map(y, PhiOverSquare))) {
            let exact = (f64::from(y).exp_m1() - f64::from(y)) / f64::from(y * y);
            assert!((f64::from(got) / exact - 1.0).abs() < 3e-7, "{set:?}: {y} {got:e} {exact:e}");
        }
    }
}

/// At the beginning of a cache line, for stores past the caches.
#[repr(align(64))]
struct Aligned<T>(T);

/// Widens a strip of any type, and stores it as that type again.
struct ThereAndBack<T>([T; STRIP], Store);

impl<T: Element> Task for ThereAndBack<T> {
    type Output = (Strip, [T; STRIP]);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let (mut wide, mut narrow) = (Aligned([0.0; STRIP]), Aligned([T::ZERO; STRIP]));
        for index in 0..S::V::IN_STRIP {
            let vector = T::load(simd, &self.0, index);
            vector.store(&mut wide.0, index, self.1);
            T::store(vector, &mut narrow.0, index, self.1);
        }
        simd.fence();
        (wide.0, narrow.0)
    }
}

/// Stores a strip of `f32` as another type.
struct Narrow<T>(Strip, std::marker::PhantomData<T>);

impl<T: Element> Task for Narrow<T> {
    type Output = [T; STRIP];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> [T; STRIP] {
        let mut narrow = [T::ZERO; STRIP];
        for index in 0..S::V::IN_STRIP {
            T::store(simd.load(&self.0, index), &mut narrow, index, Store::Cached);
        }
        narrow
    }
}

#[test]
fn every_16_bit_number_widens_as_the_half_crate_widens_it() {
    for set in available() {
        for first in (0..=u16::MAX).step_by(STRIP) {
            let bits: [u16; STRIP] = std::array::from_fn(|index| first + index as u16);
            let (wide, back) = set.run(ThereAndBack(bits.map(bf16::from_bits), Store::Streaming));
            for ((bits, wide), back) in bits.into_iter().zip(wide).zip(back) {
                let want = bf16::from_bits(bits);
                assert!(wide.to_bits() == want.to_f32().to_bits() || (wide.is_nan() && want.is_nan()));
                assert!(back.to_bits() == bits, "{set:?}: {bits:x}");
            }
            let (wide, back) = set.run(ThereAndBack(bits.map(f16::from_bits), Store::Cached));
            for ((bits, wide), back) in bits.into_iter().zip(wide).zip(back) {
                let want = f16::from_bits(bits);
                assert!(wide.to_bits() == want.to_f32().to_bits() || (wide.is_nan() && want.is_nan()));
                assert!(back.to_bits() == bits || (back.is_nan() && want.is_nan()), "{set:?}: {bits:x}");
            }
        }
    }
}

#[test]
fn narrowing_rounds_as_the_half_crate_rounds() {
    for set in available() {
        let mut bits = 0u32;
        while let Some(next) = bits.checked_add(STRIP as u32 * 4099) {
            let wide: Strip = std::array::from_fn(|index| f32::from_bits(bits + index as u32 * 4099));
            let narrow = set.run(Narrow::<bf16>(wide, std::marker::PhantomData));
            for (wide, narrow) in wide.into_iter().zip(narrow) {
                assert!(wide.is_nan() || narrow.to_bits() == bf16::from_f32(wide).to_bits(), "{set:?}: {wide}");
            }
            let narrow = set.run(Narrow::<f16>(wide, std::marker::PhantomData));
            for (wide, narrow) in wide.into_iter().zip(narrow) {
                assert!(narrow.to_bits() == f16::from_f32(wide).to_bits() || wide.is_nan(), "{set:?}: {wide}");
            }
            bits = next;
        }
        // What x86-64 and AArch64 make of 0/0.
        for nan in [0xffc0_0000, 0x7fc0_0000].map(f32::from_bits) {
            assert!(set.run(Narrow::<bf16>([nan; STRIP], std::marker::PhantomData))[0].is_nan(), "{set:?}");
        }
    }
}
