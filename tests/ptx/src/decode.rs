//! From a statement to an instruction: one arm for each mnemonic that is known.

use crate::arithmetic::{
    Compute, add_towards_zero, approximate, compare, exp2_flushed, flush, fused, logic, map1, map2, map3, maximum,
    minimum, of_bf16, of_f16, on_halves, select, to_bf16, to_f16,
};
use crate::instruction::{Action, Atomic, ShuffleMode, Space, Transfer, VoteMode};
use crate::operands::Operands;
use crate::registers::Register;
use half::{bf16, f16};

type Result<T> = std::result::Result<T, String>;

/// Decodes an instruction, whose operands are looked up in its kernel.
pub(crate) fn decode(mnemonic: &str, operands: &mut Operands<'_>) -> Result<Action> {
    let parts: Vec<&str> = mnemonic.split('.').collect();
    let last = parts[parts.len() - 1];
    Ok(match parts[0] {
        "ld" => Action::Load(transfer(&parts[1..], operands, true)?),
        "st" => Action::Store(transfer(&parts[1..], operands, false)?),
        "atom" | "red" => Action::Atomic(atomic(&parts, operands)?),
        "bra" => Action::Branch { target: operands.label(0)? },
        "ret" | "exit" => Action::Exit,
        "trap" => Action::Trap,
        "bar" | "barrier" => barrier(&parts, operands)?,
        "membar" | "fence" => fence(&parts)?,
        "shfl" => shuffle(&parts, operands)?,
        "vote" => vote(&parts, operands)?,
        "mapa" => {
            Action::MapRank { d: operands.register(0)?, address: operands.register(1)?, rank: operands.narrow(2)? }
        }
        "setp" => Action::Compute(set_predicate(&parts, operands)?),
        "selp" => Action::Compute(select_of(last, operands)?),
        "cvt" => Action::Compute(convert(&parts, operands)?),
        "mov" | "cvta" => Action::Compute(copy(last, operands)?),
        _ => Action::Compute(arithmetic(mnemonic, operands)?),
    })
}

fn unknown(what: &str) -> String {
    format!("unknown instruction {what}")
}

/// Everything that maps lanes of registers to lanes of a register.
fn arithmetic(mnemonic: &str, operands: &mut Operands<'_>) -> Result<Compute> {
    let count = operands.len();
    let d = operands.index(0)?;
    let a = operands.index(1)?;
    // The amount of a shift is narrow, whatever is shifted.
    let is_shift = mnemonic.starts_with("sh");
    let two = |operands: &mut Operands<'_>| -> Result<[usize; 2]> {
        Ok([a, if is_shift { operands.narrow(2)? } else { operands.index(2)? }])
    };
    if count == 2 {
        return Ok(match mnemonic {
            "neg.f32" => map1(d, a, |a: f32| -a),
            "neg.f64" => map1(d, a, |a: f64| -a),
            "neg.s32" => map1(d, a, |a: i32| a.wrapping_neg()),
            "abs.f32" => map1(d, a, f32::abs),
            "abs.f64" => map1(d, a, f64::abs),
            "abs.s32" => map1(d, a, |a: i32| a.wrapping_abs()),
            "not.b32" => map1(d, a, |a: u32| !a),
            "not.b64" => map1(d, a, |a: u64| !a),
            "not.b16" => map1(d, a, |a: u16| !a),
            "not.pred" => logic(d, [a, a], |a, _| !a),
            "popc.b32" => map1(d, a, u32::count_ones),
            "clz.b32" => map1(d, a, u32::leading_zeros),
            "brev.b32" => map1(d, a, u32::reverse_bits),
            "ex2.approx.ftz.f32" => approximate(d, a, exp2_flushed, |x| flush(x) == 0.0),
            "rcp.approx.ftz.f32" => approximate(d, a, |x| flush(flush(x).recip()), |x| flush(x) == 0.0),
            "rcp.rn.f32" => map1(d, a, f32::recip),
            "rcp.rn.f64" => map1(d, a, f64::recip),
            "sqrt.rn.f32" => map1(d, a, f32::sqrt),
            _ => return Err(unknown(mnemonic)),
        });
    }
    if count == 3 {
        let ab = two(operands)?;
        return Ok(match mnemonic {
            "add.f32" | "add.rn.f32" => map2(d, ab, |a: f32, b: f32| a + b),
            "add.rz.f32" => map2(d, ab, add_towards_zero),
            "sub.f32" | "sub.rn.f32" => map2(d, ab, |a: f32, b: f32| a - b),
            "mul.f32" | "mul.rn.f32" => map2(d, ab, |a: f32, b: f32| a * b),
            "add.ftz.f32" => map2(d, ab, |a: f32, b: f32| flush(flush(a) + flush(b))),
            "mul.ftz.f32" => map2(d, ab, |a: f32, b: f32| flush(flush(a) * flush(b))),
            "div.rn.f32" => map2(d, ab, |a: f32, b: f32| a / b),
            "add.rn.f32x2" => map2(d, ab, |a: u64, b: u64| on_two(|half| f32_of(a, half) + f32_of(b, half))),
            "mul.rn.f32x2" => map2(d, ab, |a: u64, b: u64| on_two(|half| f32_of(a, half) * f32_of(b, half))),
            "max.f32" => map2(d, ab, maximum),
            "min.f32" => map2(d, ab, minimum),
            "add.f64" | "add.rn.f64" => map2(d, ab, |a: f64, b: f64| a + b),
            "sub.f64" | "sub.rn.f64" => map2(d, ab, |a: f64, b: f64| a - b),
            "mul.f64" | "mul.rn.f64" => map2(d, ab, |a: f64, b: f64| a * b),
            "div.rn.f64" => map2(d, ab, |a: f64, b: f64| a / b),
            "max.f16x2" => map2(d, ab, |a: u32, b: u32| on_halves(a, b, of_f16(maximum))),
            "min.f16x2" => map2(d, ab, |a: u32, b: u32| on_halves(a, b, of_f16(minimum))),
            "max.bf16x2" => map2(d, ab, |a: u32, b: u32| on_halves(a, b, of_bf16(maximum))),
            "min.bf16x2" => map2(d, ab, |a: u32, b: u32| on_halves(a, b, of_bf16(minimum))),
            "add.s32" | "add.u32" => map2(d, ab, |a: u32, b: u32| a.wrapping_add(b)),
            "add.s64" | "add.u64" => map2(d, ab, |a: u64, b: u64| a.wrapping_add(b)),
            "add.s16" | "add.u16" => map2(d, ab, |a: u16, b: u16| a.wrapping_add(b)),
            "sub.s32" | "sub.u32" => map2(d, ab, |a: u32, b: u32| a.wrapping_sub(b)),
            "sub.s64" | "sub.u64" => map2(d, ab, |a: u64, b: u64| a.wrapping_sub(b)),
            "mul.lo.s32" | "mul.lo.u32" => map2(d, ab, |a: u32, b: u32| a.wrapping_mul(b)),
            "mul.lo.s64" | "mul.lo.u64" => map2(d, ab, |a: u64, b: u64| a.wrapping_mul(b)),
            "mul.lo.s16" | "mul.lo.u16" => map2(d, ab, |a: u16, b: u16| a.wrapping_mul(b)),
            "mul.hi.u32" => map2(d, ab, |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32),
            "mul.hi.s32" => map2(d, ab, |a: i32, b: i32| ((i64::from(a) * i64::from(b)) >> 32) as i32),
            "mul.wide.u32" => map2(d, ab, |a: u32, b: u32| u64::from(a) * u64::from(b)),
            "mul.wide.s32" => map2(d, ab, |a: i32, b: i32| i64::from(a) * i64::from(b)),
            "mul.wide.u16" => map2(d, ab, |a: u16, b: u16| u32::from(a) * u32::from(b)),
            "div.u32" => map2(d, ab, |a: u32, b: u32| a.checked_div(b).unwrap_or(u32::MAX)),
            "rem.u32" => map2(d, ab, |a: u32, b: u32| a.checked_rem(b).unwrap_or(a)),
            "div.u64" => map2(d, ab, |a: u64, b: u64| a.checked_div(b).unwrap_or(u64::MAX)),
            "rem.u64" => map2(d, ab, |a: u64, b: u64| a.checked_rem(b).unwrap_or(a)),
            "div.s32" => map2(d, ab, |a: i32, b: i32| if b == 0 { -1 } else { a.wrapping_div(b) }),
            "min.u32" => map2(d, ab, |a: u32, b: u32| a.min(b)),
            "max.u32" => map2(d, ab, |a: u32, b: u32| a.max(b)),
            "min.s32" => map2(d, ab, |a: i32, b: i32| a.min(b)),
            "max.s32" => map2(d, ab, |a: i32, b: i32| a.max(b)),
            "min.u64" => map2(d, ab, |a: u64, b: u64| a.min(b)),
            "max.u64" => map2(d, ab, |a: u64, b: u64| a.max(b)),
            "min.s64" => map2(d, ab, |a: i64, b: i64| a.min(b)),
            "max.s64" => map2(d, ab, |a: i64, b: i64| a.max(b)),
            "and.b32" => map2(d, ab, |a: u32, b: u32| a & b),
            "or.b32" => map2(d, ab, |a: u32, b: u32| a | b),
            "xor.b32" => map2(d, ab, |a: u32, b: u32| a ^ b),
            "and.b64" => map2(d, ab, |a: u64, b: u64| a & b),
            "or.b64" => map2(d, ab, |a: u64, b: u64| a | b),
            "xor.b64" => map2(d, ab, |a: u64, b: u64| a ^ b),
            "and.b16" => map2(d, ab, |a: u16, b: u16| a & b),
            "or.b16" => map2(d, ab, |a: u16, b: u16| a | b),
            "xor.b16" => map2(d, ab, |a: u16, b: u16| a ^ b),
            "and.pred" => logic(d, ab, |a, b| a & b),
            "or.pred" => logic(d, ab, |a, b| a | b),
            "xor.pred" => logic(d, ab, |a, b| a ^ b),
            // Shifts by the width or more leave nothing, or signs.
            "shl.b32" => map2(d, ab, |a: u32, b: u32| a.checked_shl(b).unwrap_or(0)),
            "shl.b64" => map2(d, ab, |a: u64, b: u32| a.checked_shl(b).unwrap_or(0)),
            "shl.b16" => map2(d, ab, |a: u16, b: u32| a.checked_shl(b).unwrap_or(0)),
            "shr.u32" | "shr.b32" => map2(d, ab, |a: u32, b: u32| a.checked_shr(b).unwrap_or(0)),
            "shr.u64" | "shr.b64" => map2(d, ab, |a: u64, b: u32| a.checked_shr(b).unwrap_or(0)),
            "shr.u16" | "shr.b16" => map2(d, ab, |a: u16, b: u32| a.checked_shr(b).unwrap_or(0)),
            "shr.s32" => map2(d, ab, |a: i32, b: u32| a >> b.min(31)),
            "shr.s64" => map2(d, ab, |a: i64, b: u32| a >> b.min(63)),
            "shr.s16" => map2(d, ab, |a: i16, b: u32| a >> b.min(15)),
            _ => return Err(unknown(mnemonic)),
        });
    }
    let is_widening = mnemonic.starts_with("mad.wide");
    let abc = [a, operands.index(2)?, if is_widening { operands.wide(3)? } else { operands.index(3)? }];
    Ok(match mnemonic {
        "fma.rn.f32" => fused(d, abc),
        "fma.rn.f32x2" => map3(d, abc, |a: u64, b: u64, c: u64| {
            on_two(|half| f32_of(a, half).mul_add(f32_of(b, half), f32_of(c, half)))
        }),
        "fma.rn.f64" => map3(d, abc, |a: f64, b: f64, c: f64| a.mul_add(b, c)),
        "mad.lo.s32" | "mad.lo.u32" => map3(d, abc, |a: u32, b: u32, c: u32| a.wrapping_mul(b).wrapping_add(c)),
        "mad.lo.s64" | "mad.lo.u64" => map3(d, abc, |a: u64, b: u64, c: u64| a.wrapping_mul(b).wrapping_add(c)),
        "mad.wide.u32" => map3(d, abc, |a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).wrapping_add(c)),
        "mad.wide.s32" => map3(d, abc, |a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).wrapping_add(c)),
        "shf.l.wrap.b32" => map3(d, abc, |low: u32, high: u32, by: u32| {
            ((u64::from(high) << 32 | u64::from(low)) << (by & 31) >> 32) as u32
        }),
        "shf.r.wrap.b32" => {
            map3(d, abc, |low: u32, high: u32, by: u32| ((u64::from(high) << 32 | u64::from(low)) >> (by & 31)) as u32)
        }
        "prmt.b32" => map3(d, abc, permute),
        _ => return Err(unknown(mnemonic)),
    })
}

/// A half of a pair of `f32`.
fn f32_of(pair: u64, half: u32) -> f32 {
    f32::from_bits((pair >> (32 * half)) as u32)
}

/// A pair of `f32` of which each is made by itself.
fn on_two(f: impl Fn(u32) -> f32) -> u64 {
    u64::from(f(1).to_bits()) << 32 | u64::from(f(0).to_bits())
}

/// Each nibble of the selector chooses a byte of the pair, or its sign.
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |result, place| {
        let nibble = selector >> (4 * place) & 0xf;
        let byte = (bytes >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 };
        result | u32::from(byte) << (8 * place)
    })
}

/// `mov` between registers of one file, and packing of two halves.
fn copy(kind: &str, operands: &mut Operands<'_>) -> Result<Compute> {
    if let Some((low, high)) = operands.pair(1) {
        let (d, low, high) = (operands.register(0)?, operands.lookup(&low)?, operands.lookup(&high)?);
        return match (d, low, high) {
            (Register::Wide(d), Register::Narrow(low), Register::Narrow(high)) => {
                Ok(map2(d, [low, high], |low: u32, high: u32| u64::from(high) << 32 | u64::from(low)))
            }
            (Register::Narrow(d), Register::Narrow(low), Register::Narrow(high)) => {
                Ok(map2(d, [low, high], |low: u16, high: u16| u32::from(high) << 16 | u32::from(low)))
            }
            _ => Err(unknown("mov of a pair")),
        };
    }
    if let Some((low, high)) = operands.pair(0) {
        let (low, high, a) = (operands.lookup(&low)?, operands.lookup(&high)?, operands.register(1)?);
        let (Register::Narrow(low), Register::Narrow(high)) = (low, high) else {
            return Err(unknown("mov to a pair"));
        };
        let (low_part, high_part) = match a {
            Register::Wide(a) => (map1(low, a, |a: u64| a as u32), map1(high, a, |a: u64| (a >> 32) as u32)),
            Register::Narrow(a) => (map1(low, a, |a: u32| a as u16), map1(high, a, |a: u32| (a >> 16) as u16)),
            Register::Predicate(_) => return Err(unknown("mov of a predicate to a pair")),
        };
        return Ok(Box::new(move |registers, mask| {
            low_part(registers, mask);
            high_part(registers, mask);
        }));
    }
    let d = operands.register(0)?;
    if let (Register::Predicate(d), Some(value)) = (d, crate::operands::literal(operands.text(1))) {
        let bits = if value == 0 { 0 } else { u32::MAX };
        return Ok(Box::new(move |registers, mask| registers.write_predicate(d, mask, bits)));
    }
    let a = operands.register(1)?;
    match (d, a) {
        (Register::Narrow(d), Register::Narrow(a)) if kind.ends_with("16") => Ok(map1(d, a, |a: u16| a)),
        (Register::Narrow(d), Register::Narrow(a)) => Ok(map1(d, a, |a: u32| a)),
        (Register::Wide(d), Register::Wide(a)) => Ok(map1(d, a, |a: u64| a)),
        (Register::Predicate(d), Register::Predicate(a)) => Ok(logic(d, [a, a], |a, _| a)),
        _ => Err(format!("registers of different sizes in mov.{kind}")),
    }
}

fn select_of(kind: &str, operands: &mut Operands<'_>) -> Result<Compute> {
    let (d, a, b, predicate) = (operands.index(0)?, operands.index(1)?, operands.index(2)?, operands.index(3)?);
    Ok(if kind.ends_with("64") { select::<u64>(d, [a, b], predicate) } else { select::<u32>(d, [a, b], predicate) })
}

fn set_predicate(parts: &[&str], operands: &mut Operands<'_>) -> Result<Compute> {
    let (d, ab) = (operands.index(0)?, [operands.index(1)?, operands.index(2)?]);
    let [_, comparison, kind] = parts else { return Err(unknown(&parts.join("."))) };
    macro_rules! of_integers {
        ($signed:ty, $unsigned:ty, $is_signed:expr) => {
            match (*comparison, $is_signed) {
                ("eq", _) => compare(d, ab, |a: $unsigned, b| a == b),
                ("ne", _) => compare(d, ab, |a: $unsigned, b| a != b),
                ("lt", true) => compare(d, ab, |a: $signed, b| a < b),
                ("le", true) => compare(d, ab, |a: $signed, b| a <= b),
                ("gt", true) => compare(d, ab, |a: $signed, b| a > b),
                ("ge", true) => compare(d, ab, |a: $signed, b| a >= b),
                ("lt" | "lo", false) => compare(d, ab, |a: $unsigned, b| a < b),
                ("le" | "ls", false) => compare(d, ab, |a: $unsigned, b| a <= b),
                ("gt" | "hi", false) => compare(d, ab, |a: $unsigned, b| a > b),
                ("ge" | "hs", false) => compare(d, ab, |a: $unsigned, b| a >= b),
                _ => return Err(unknown(&parts.join("."))),
            }
        };
    }
    macro_rules! of_floats {
        ($float:ty) => {
            match *comparison {
                "eq" => compare(d, ab, |a: $float, b| a == b),
                "ne" => compare(d, ab, |a: $float, b| a < b || a > b),
                "lt" => compare(d, ab, |a: $float, b| a < b),
                "le" => compare(d, ab, |a: $float, b| a <= b),
                "gt" => compare(d, ab, |a: $float, b| a > b),
                "ge" => compare(d, ab, |a: $float, b| a >= b),
                "num" => compare(d, ab, |a: $float, b| !a.is_nan() && !b.is_nan()),
                "nan" => compare(d, ab, |a: $float, b| a.is_nan() || b.is_nan()),
                // The unordered ones hold for NaN too.
                "equ" => compare(d, ab, |a: $float, b| !(a < b || a > b)),
                "neu" => compare(d, ab, |a: $float, b| a != b),
                "ltu" => compare(d, ab, |a: $float, b| !(a >= b)),
                "leu" => compare(d, ab, |a: $float, b| !(a > b)),
                "gtu" => compare(d, ab, |a: $float, b| !(a <= b)),
                "geu" => compare(d, ab, |a: $float, b| !(a < b)),
                _ => return Err(unknown(&parts.join("."))),
            }
        };
    }
    // With NaN, none of these is what clippy takes it for.
    #[allow(clippy::double_comparisons, clippy::neg_cmp_op_on_partial_ord)]
    Ok(match *kind {
        "f32" => of_floats!(f32),
        "f64" => of_floats!(f64),
        "s32" | "u32" | "b32" => of_integers!(i32, u32, *kind == "s32"),
        "s64" | "u64" | "b64" => of_integers!(i64, u64, *kind == "s64"),
        "s16" | "u16" | "b16" => of_integers!(i16, u16, *kind == "s16"),
        _ => return Err(unknown(&parts.join("."))),
    })
}

fn convert(parts: &[&str], operands: &mut Operands<'_>) -> Result<Compute> {
    let (d, a) = (operands.index(0)?, operands.index(1)?);
    let kind = parts[1..].join(".");
    Ok(match kind.as_str() {
        "u32.u16" => map1(d, a, |a: u16| u32::from(a)),
        "s32.s16" => map1(d, a, |a: i16| i32::from(a)),
        "u16.u32" => map1(d, a, |a: u32| a as u16),
        "u64.u32" => map1(d, a, |a: u32| u64::from(a)),
        "s64.s32" => map1(d, a, |a: i32| i64::from(a)),
        "u64.u16" => map1(d, a, |a: u16| u64::from(a)),
        "u16.u64" => map1(d, a, |a: u64| a as u16),
        "u32.u64" | "s32.s64" => map1(d, a, |a: u64| a as u32),
        "f64.f32" => map1(d, a, |a: f32| f64::from(a)),
        "rn.f32.f64" => map1(d, a, |a: f64| a as f32),
        "rn.f32.u32" => map1(d, a, |a: u32| a as f32),
        "rn.f32.s32" => map1(d, a, |a: i32| a as f32),
        "rn.f64.u32" => map1(d, a, |a: u32| f64::from(a)),
        "rn.f64.s32" => map1(d, a, |a: i32| f64::from(a)),
        "rni.f32.f32" => map1(d, a, f32::round_ties_even),
        // Out of range, a conversion to an integer gives the nearest there is, as it does in Rust; NaN gives 0.
        "rzi.s32.f32" => map1(d, a, |a: f32| a as i32),
        "rzi.u32.f32" => map1(d, a, |a: f32| a as u32),
        "rni.s32.f32" => map1(d, a, |a: f32| a.round_ties_even() as i32),
        "f32.f16" => map1(d, a, |a: u16| f16::from_bits(a).to_f32()),
        "f32.bf16" => map1(d, a, |a: u16| bf16::from_bits(a).to_f32()),
        "rn.f16.f32" => map1(d, a, to_f16),
        "rn.bf16.f32" => map1(d, a, to_bf16),
        // The first operand goes to the upper half.
        "rn.f16x2.f32" => {
            let b = operands.index(2)?;
            map2(d, [a, b], |high: f32, low: f32| u32::from(to_f16(high)) << 16 | u32::from(to_f16(low)))
        }
        "rn.bf16x2.f32" => {
            let b = operands.index(2)?;
            map2(d, [a, b], |high: f32, low: f32| u32::from(to_bf16(high)) << 16 | u32::from(to_bf16(low)))
        }
        _ => return Err(unknown(&format!("cvt.{kind}"))),
    })
}

/// Loads and stores: the space, the vector and the element; everything else is a hint to caches.
fn transfer(parts: &[&str], operands: &mut Operands<'_>, is_load: bool) -> Result<Transfer> {
    let space = match parts[0] {
        "param" => Space::Parameters,
        "global" => Space::Global,
        "shared" => Space::Shared,
        "shared::cluster" if is_load => Space::Cluster,
        _ => return Err(unknown(&format!("ld or st .{}", parts.join(".")))),
    };
    let hints = ["cs", "cg", "ca", "lu", "nc", "cv", "wb", "wt", "L1::no_allocate", "L1::evict_first", "v2", "v4"];
    let last = parts.len() - 1;
    if let Some(odd) = parts[1..last].iter().find(|part| !hints.contains(part)) {
        return Err(unknown(&format!("ld or st with .{odd}")));
    }
    let element = match parts[last] {
        "u8" | "b8" | "s8" => 1,
        "u16" | "b16" | "s16" => 2,
        "u32" | "b32" | "s32" | "f32" => 4,
        "u64" | "b64" | "s64" | "f64" => 8,
        other => return Err(unknown(&format!("ld or st .{other}"))),
    };
    let (value, place) = if is_load { (0, 1) } else { (1, 0) };
    let (address, offset) = operands.address(place)?;
    let registers = operands.vector(value)?;
    Ok(Transfer { space, address, offset, element, signed: parts[last].starts_with('s'), registers })
}

fn atomic(parts: &[&str], operands: &mut Operands<'_>) -> Result<Atomic> {
    let space = match parts[1] {
        "global" => Space::Global,
        "shared" => Space::Shared,
        other => return Err(unknown(&format!("atom.{other}"))),
    };
    let [.., name, kind] = parts else { return Err(unknown("atom")) };
    let operation: fn(u32, u32) -> u32 = match (*name, *kind) {
        ("add", "u32" | "s32") => u32::wrapping_add,
        ("min", "u32") => u32::min,
        ("max", "u32") => u32::max,
        ("or", "b32") => |a, b| a | b,
        ("and", "b32") => |a, b| a & b,
        ("exch", "b32") => |_, b| b,
        ("inc", "u32") => |a, b| if a >= b { 0 } else { a + 1 },
        _ => return Err(unknown(&parts.join("."))),
    };
    let first = usize::from(parts[0] == "atom");
    let (address, offset) = operands.address(first)?;
    let result = if first == 1 { Some(operands.narrow(0)?) } else { None };
    Ok(Atomic { space, address, offset, result, operand: operands.narrow(first + 1)?, operation })
}

fn barrier(parts: &[&str], operands: &mut Operands<'_>) -> Result<Action> {
    match parts {
        ["bar", "sync"] | ["barrier", "sync"] | ["barrier", "sync", "aligned"] if operands.len() == 1 => {
            if operands.text(0) == "0" { Ok(Action::Barrier) } else { Err(unknown("a barrier other than 0")) }
        }
        ["bar", "red", "popc", "u32"] if operands.len() == 3 => {
            let (predicate, negated) = operands.predicate(2)?;
            Ok(Action::CountingBarrier { result: operands.narrow(0)?, predicate, negated })
        }
        ["barrier", "cluster", "arrive", "release", "aligned"] => Ok(Action::ClusterArrive),
        ["barrier", "cluster", "wait", "acquire", "aligned"] => Ok(Action::ClusterWait),
        _ => Err(unknown(&parts.join("."))),
    }
}

/// Fences order towards other CTAs if their scope is the GPU or more; within a CTA or a cluster, barriers are looked at.
fn fence(parts: &[&str]) -> Result<Action> {
    match parts {
        ["membar", "gl" | "sys"] | ["fence", "acq_rel" | "sc", "gpu" | "sys"] => Ok(Action::Fence),
        ["membar", "cta"] | ["fence", "acq_rel" | "sc", "cta" | "cluster"] => Ok(Action::Compute(Box::new(|_, _| {}))),
        _ => Err(unknown(&parts.join("."))),
    }
}

fn shuffle(parts: &[&str], operands: &mut Operands<'_>) -> Result<Action> {
    let mode = match parts {
        ["shfl", "sync", "bfly", "b32"] => ShuffleMode::Butterfly,
        ["shfl", "sync", "up", "b32"] => ShuffleMode::Up,
        ["shfl", "sync", "down", "b32"] => ShuffleMode::Down,
        ["shfl", "sync", "idx", "b32"] => ShuffleMode::Index,
        _ => return Err(unknown(&parts.join("."))),
    };
    // The second destination, a predicate, says whether the source lane exists.
    let d = operands.first_of_pipe(0)?;
    let [a, lane, clamp, mask] = [1, 2, 3, 4].map(|index| operands.narrow(index));
    Ok(Action::Shuffle { d, a: a?, lane: lane?, clamp: clamp?, mask: mask?, mode })
}

fn vote(parts: &[&str], operands: &mut Operands<'_>) -> Result<Action> {
    let mode = match parts {
        ["vote", "sync", "any", "pred"] => VoteMode::Any,
        ["vote", "sync", "all", "pred"] => VoteMode::All,
        ["vote", "sync", "ballot", "b32"] => VoteMode::Ballot,
        _ => return Err(unknown(&parts.join("."))),
    };
    let (predicate, negated) = operands.predicate(1)?;
    Ok(Action::Vote { result: operands.register(0)?, predicate, negated, mask: operands.narrow(2)?, mode })
}
