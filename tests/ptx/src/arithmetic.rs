//! Arithmetic as loops over the lanes of a warp, and the numbers that PTX defines more closely than Rust.

use half::{bf16, f16};

use crate::registers::{LANES, Number, Registers};

/// What an instruction does to the registers of a warp, in the lanes of a mask.
pub(crate) type Compute = Box<dyn Fn(&mut Registers, u32) + Send + Sync>;

pub(crate) fn map1<A: Number, D: Number>(d: usize, a: usize, f: impl Fn(A) -> D + Send + Sync + 'static) -> Compute {
    Box::new(move |registers, mask| {
        let a = registers.read::<A::Raw>(a, mask);
        registers.write(d, mask, std::array::from_fn(|lane| f(A::from_raw(a[lane])).to_raw()));
    })
}

pub(crate) fn map2<A: Number, B: Number, D: Number>(
    d: usize,
    [a, b]: [usize; 2],
    f: impl Fn(A, B) -> D + Send + Sync + 'static,
) -> Compute {
    Box::new(move |registers, mask| {
        let (a, b) = (registers.read::<A::Raw>(a, mask), registers.read::<B::Raw>(b, mask));
        let result = std::array::from_fn(|lane| f(A::from_raw(a[lane]), B::from_raw(b[lane])).to_raw());
        registers.write(d, mask, result);
    })
}

pub(crate) fn map3<A: Number, B: Number, C: Number, D: Number>(
    d: usize,
    [a, b, c]: [usize; 3],
    f: impl Fn(A, B, C) -> D + Send + Sync + 'static,
) -> Compute {
    Box::new(move |registers, mask| {
        let (a, b) = (registers.read::<A::Raw>(a, mask), registers.read::<B::Raw>(b, mask));
        let c = registers.read::<C::Raw>(c, mask);
        let result =
            std::array::from_fn(|lane| f(A::from_raw(a[lane]), B::from_raw(b[lane]), C::from_raw(c[lane])).to_raw());
        registers.write(d, mask, result);
    })
}

/// A comparison, whose result is a predicate.
pub(crate) fn compare<A: Number>(
    d: usize,
    [a, b]: [usize; 2],
    f: impl Fn(A, A) -> bool + Send + Sync + 'static,
) -> Compute {
    Box::new(move |registers, mask| {
        let (a, b) = (registers.read::<A::Raw>(a, mask), registers.read::<A::Raw>(b, mask));
        let bits =
            (0..LANES).fold(0, |bits, lane| bits | u32::from(f(A::from_raw(a[lane]), A::from_raw(b[lane]))) << lane);
        registers.write_predicate(d, mask, bits);
    })
}

/// `d = predicate ? a : b`.
pub(crate) fn select<N: Number>(d: usize, [a, b]: [usize; 2], predicate: usize) -> Compute {
    Box::new(move |registers, mask| {
        let chosen = registers.read_predicate(predicate, mask);
        // A lane that does not choose an operand does not need it either.
        let a = registers.read::<N::Raw>(a, mask & chosen);
        let b = registers.read::<N::Raw>(b, mask & !chosen);
        registers.write(d, mask, std::array::from_fn(|lane| if chosen >> lane & 1 != 0 { a[lane] } else { b[lane] }));
    })
}

/// Logic on whole predicates.
pub(crate) fn logic(d: usize, [a, b]: [usize; 2], f: impl Fn(u32, u32) -> u32 + Send + Sync + 'static) -> Compute {
    Box::new(move |registers, mask| {
        let (a, b) = (registers.read_predicate(a, mask), registers.read_predicate(b, mask));
        registers.write_predicate(d, mask, f(a, b));
    })
}

/// `a · b + c` with one rounding, by the processor's own instruction where it has one.
pub(crate) fn fused(d: usize, [a, b, c]: [usize; 3]) -> Compute {
    Box::new(move |registers, mask| {
        let a = registers.read::<u32>(a, mask).map(f32::from_bits);
        let b = registers.read::<u32>(b, mask).map(f32::from_bits);
        let c = registers.read::<u32>(c, mask).map(f32::from_bits);
        registers.write(d, mask, fused_lanes(&a, &b, &c).map(f32::to_bits));
    })
}

fn fused_lanes(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        #[target_feature(enable = "avx2,fma")]
        fn with_instruction(a: &[f32; LANES], b: &[f32; LANES], c: &[f32; LANES]) -> [f32; LANES] {
            std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
        }
        // SAFETY: the processor has just been asked for these features.
        return unsafe { with_instruction(a, b, c) };
    }
    std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
}

/// Approximations, each with the special cases of the PTX ISA; `noise` moves every other result.
pub(crate) fn approximate(d: usize, a: usize, f: fn(f32) -> f32, is_exact: fn(f32) -> bool) -> Compute {
    Box::new(move |registers, mask| {
        let noise = registers.noise;
        let a = registers.read::<u32>(a, mask).map(f32::from_bits);
        let result = a.map(|a| {
            let value = f(a);
            match noise {
                Some(seed) if !is_exact(a) && value.is_normal() => moved(value, ulps(seed, a)),
                _ => value,
            }
        });
        registers.write(d, mask, result.map(f32::to_bits));
    })
}

/// From -2 to 2 units in the last place, the same for the same operand.
fn ulps(seed: u64, operand: f32) -> i32 {
    let mut hash = (u64::from(operand.to_bits()) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    (hash.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as i32 % 5 - 2
}

fn moved(value: f32, ulps: i32) -> f32 {
    let moved = f32::from_bits(value.to_bits().wrapping_add_signed(ulps));
    if moved.is_normal() { moved } else { value }
}

/// Subnormal numbers become zeros of their sign.
pub(crate) fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0f32.copysign(x) } else { x }
}

/// `2^x`, subnormal operands and results flushed.
pub(crate) fn exp2_flushed(x: f32) -> f32 {
    flush(f64::from(flush(x)).exp2() as f32)
}

/// The larger; the number if one is NaN; +0 above -0.
pub(crate) fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        return if b.is_nan() { f32::from_bits(0x7fff_ffff) } else { b };
    }
    if b.is_nan() || a > b || (a == b && a.is_sign_positive()) { a } else { b }
}

/// The smaller; the number if one is NaN; -0 below +0.
pub(crate) fn minimum(a: f32, b: f32) -> f32 {
    let negated = maximum(-a, -b);
    if negated.is_nan() { negated } else { -negated }
}

/// The same operation on both halves.
pub(crate) fn on_halves(a: u32, b: u32, f: impl Fn(u16, u16) -> u16) -> u32 {
    u32::from(f(a as u16, b as u16)) | u32::from(f((a >> 16) as u16, (b >> 16) as u16)) << 16
}

/// Which of two 16-bit numbers an instruction takes: the larger or the smaller, as `f32` arithmetic says.
pub(crate) fn of_f16(f: fn(f32, f32) -> f32) -> impl Fn(u16, u16) -> u16 {
    move |a, b| f16::from_f32(f(f16::from_bits(a).to_f32(), f16::from_bits(b).to_f32())).to_bits()
}

pub(crate) fn of_bf16(f: fn(f32, f32) -> f32) -> impl Fn(u16, u16) -> u16 {
    move |a, b| bf16::from_f32(f(bf16::from_bits(a).to_f32(), bf16::from_bits(b).to_f32())).to_bits()
}

/// The nearest 16-bit number, ties to even; NaN is the one NaN that PTX makes.
pub(crate) fn to_f16(x: f32) -> u16 {
    if x.is_nan() { 0x7fff } else { f16::from_f32(x).to_bits() }
}

pub(crate) fn to_bf16(x: f32) -> u16 {
    if x.is_nan() { 0x7fff } else { bf16::from_f32(x).to_bits() }
}

/// The sum of two numbers, rounded towards zero.
pub(crate) fn add_towards_zero(a: f32, b: f32) -> f32 {
    // The sum of two f32 is exact in f64 unless one drowns in the other: then the sign of the rest decides.
    let (a, b) = (f64::from(a), f64::from(b));
    let sum = a + b;
    let rest = if a.abs() >= b.abs() { b - (sum - a) } else { a - (sum - b) };
    let nearest = sum as f32;
    if nearest.is_infinite() && sum.is_finite() {
        return f32::MAX.copysign(nearest);
    }
    let beyond = f64::from(nearest).abs() > sum.abs()
        || (f64::from(nearest) == sum && rest != 0.0 && rest.is_sign_negative() == sum.is_sign_positive());
    if nearest.is_finite() && nearest != 0.0 && beyond { f32::from_bits(nearest.to_bits() - 1) } else { nearest }
}
