//! Arithmetic: where it rounds, what it flushes, and what it says where mathematics has no answer.

use crate::support::{INFINITY, MINUS, NAN, each, f, g, narrow, wide};
use ptx::Options;

/// The unit in the last place of 1.
const ULP: f32 = f32::EPSILON;
/// The smallest normal number, and the largest subnormal one.
const SMALLEST: u32 = 0x0080_0000;
const SUBNORMAL: u32 = 0x007f_ffff;

#[test]
fn a_fused_multiplication_rounds_once() {
    // (1 + u)² = 1 + 2u + u²: the product alone would lose its last term, which is what is left here.
    let x = 1.0 + ULP;
    narrow(
        "fma.rn.f32 %d, %a, %b, %c;",
        &[
            ([f(x), f(x), f(-(1.0 + 2.0 * ULP))], f(ULP * ULP)),
            ([f(3.0), f(4.0), f(5.0)], f(17.0)),
            // The tie of the product is broken by the addend.
            ([f(1.0 + ULP), f(1.0 + ULP / 1.0), f(0.0)], f(1.0 + 2.0 * ULP)),
            ([f(f32::MAX), f(2.0), f(-f32::MAX)], f(f32::MAX)),
            // Zeros of both signs add to +0, of one sign keep it.
            ([f(-0.0), f(1.0), f(0.0)], f(0.0)),
            ([f(-0.0), f(1.0), f(-0.0)], MINUS),
            // Subnormal results stay.
            ([SMALLEST, f(0.5), f(0.0)], 0x0040_0000),
        ],
    );
    narrow("mul.rn.f32 %d, %a, %b; sub.f32 %d, %d, %c;", &[([f(x), f(x), f(1.0 + 2.0 * ULP)], f(0.0))]);
    let x = 1.0 + f64::EPSILON;
    let rest = f64::EPSILON * f64::EPSILON;
    wide("fma.rn.f64 %wd, %wa, %wb, %wc;", &[([g(x), g(x), g(-(1.0 + 2.0 * f64::EPSILON))], g(rest))]);
}

#[test]
fn a_packed_instruction_does_each_half_by_itself() {
    let two = |low: f32, high: f32| u64::from(f(high)) << 32 | u64::from(f(low));
    let x = 1.0 + ULP;
    let abc = [two(x, 3.0), two(x, 4.0), two(-(1.0 + 2.0 * ULP), 5.0)];
    wide("fma.rn.f32x2 %wd, %wa, %wb, %wc;", &[(abc, two(ULP * ULP, 17.0))]);
    wide("add.rn.f32x2 %wd, %wa, %wb;", &[([abc[0], abc[1]], two(2.0 * x, 7.0))]);
    wide("mul.rn.f32x2 %wd, %wa, %wb;", &[([abc[0], abc[1]], two(x * x, 12.0))]);
}

#[test]
fn addition_rounds_to_nearest_even() {
    for add in ["add.f32 %d, %a, %b;", "add.rn.f32 %d, %a, %b;"] {
        narrow(
            add,
            &[
                ([f(1.0), f(ULP / 2.0)], f(1.0)),
                ([f(1.0 + ULP), f(ULP / 2.0)], f(1.0 + 2.0 * ULP)),
                ([f(1.0), f(ULP * 0.51)], f(1.0 + ULP)),
                ([f(f32::MAX), f(f32::MAX)], INFINITY),
                ([f(1.0), f(-1.0)], f(0.0)),
                ([1, 1], 2),
            ],
        );
    }
}

#[test]
fn addition_towards_zero_never_grows() {
    narrow(
        "add.rz.f32 %d, %a, %b;",
        &[
            ([f(1.0), f(2.0)], f(3.0)),
            ([f(1.0), f(ULP * 0.99)], f(1.0)),
            ([f(-1.0), f(-ULP * 0.99)], f(-1.0)),
            ([f(1.0), f(ULP)], f(1.0 + ULP)),
            ([f(1.0 + ULP), f(ULP / 2.0)], f(1.0 + ULP)),
            // A little less than 1, however little.
            ([f(1.0), f(-f32::MIN_POSITIVE)], f(1.0 - ULP / 2.0)),
            ([f(-1.0), f(f32::MIN_POSITIVE)], f(-(1.0 - ULP / 2.0))),
            ([f(f32::MIN_POSITIVE), f(-1.0)], f(-(1.0 - ULP / 2.0))),
            ([f(1.0), f(f32::MIN_POSITIVE)], f(1.0)),
            ([f(-1.0), f(-1e-45)], f(-1.0)),
            ([f(1e30), f(-1e-30)], f(1e30) - 1),
            // Overflow ends at the largest number, unless an operand is infinite.
            ([f(f32::MAX), f(f32::MAX)], f(f32::MAX)),
            ([f(-f32::MAX), f(-f32::MAX)], f(-f32::MAX)),
            ([INFINITY, f(1.0)], INFINITY),
            ([f(1.5), f(-1.5)], f(0.0)),
            ([MINUS, MINUS], MINUS),
            ([SMALLEST, SUBNORMAL | MINUS], 1),
        ],
    );
}

#[test]
fn ftz_takes_subnormal_numbers_for_zeros() {
    narrow(
        "add.ftz.f32 %d, %a, %b;",
        &[
            ([SUBNORMAL, SUBNORMAL], f(0.0)),
            ([SUBNORMAL | MINUS, MINUS], MINUS),
            ([f(1.0), f(2.0)], f(3.0)),
            // The difference of two normal numbers that is subnormal.
            ([SMALLEST + 1, SMALLEST | MINUS], f(0.0)),
        ],
    );
    narrow(
        "mul.ftz.f32 %d, %a, %b;",
        &[
            ([SUBNORMAL, f(2.0)], f(0.0)),
            ([SMALLEST, f(0.5)], f(0.0)),
            ([SMALLEST, f(-0.5)], MINUS),
            ([f(3.0), f(-2.0)], f(-6.0)),
        ],
    );
    narrow("add.f32 %d, %a, %b;", &[([SUBNORMAL, 1], SMALLEST)]);
    narrow("mul.f32 %d, %a, %b;", &[([SMALLEST, f(0.5)], 0x0040_0000)]);
}

#[test]
fn maximum_and_minimum_prefer_numbers_and_know_the_sign_of_zero() {
    let other_nan = 0xffc0_1234;
    narrow(
        "max.f32 %d, %a, %b;",
        &[
            ([f(1.0), f(-2.0)], f(1.0)),
            ([f(-3.0), f(-2.0)], f(-2.0)),
            ([NAN, f(-2.0)], f(-2.0)),
            ([f(-2.0), other_nan], f(-2.0)),
            ([other_nan, other_nan], NAN),
            ([f(0.0), MINUS], f(0.0)),
            ([MINUS, f(0.0)], f(0.0)),
            ([MINUS, MINUS], MINUS),
            ([INFINITY | MINUS, NAN], INFINITY | MINUS),
        ],
    );
    narrow(
        "min.f32 %d, %a, %b;",
        &[
            ([f(1.0), f(-2.0)], f(-2.0)),
            ([f(-2.0), f(-3.0)], f(-3.0)),
            ([NAN, f(2.0)], f(2.0)),
            ([f(2.0), other_nan], f(2.0)),
            ([other_nan, other_nan], NAN),
            ([f(0.0), MINUS], MINUS),
            ([MINUS, f(0.0)], MINUS),
            ([f(0.0), f(0.0)], f(0.0)),
            ([INFINITY, NAN], INFINITY),
        ],
    );
}

#[test]
fn quotients_and_roots_are_rounded_correctly() {
    narrow(
        "div.rn.f32 %d, %a, %b;",
        &[
            ([f(1.0), f(3.0)], 0x3eaa_aaab),
            ([f(1.0), f(0.0)], INFINITY),
            ([f(-1.0), f(0.0)], INFINITY | MINUS),
            ([f(7.0), INFINITY], f(0.0)),
        ],
    );
    narrow("rcp.rn.f32 %d, %a;", &[([f(3.0)], 0x3eaa_aaab), ([MINUS], INFINITY | MINUS), ([f(4.0)], f(0.25))]);
    narrow("sqrt.rn.f32 %d, %a;", &[([f(2.0)], 0x3fb5_04f3), ([MINUS], MINUS), ([INFINITY], INFINITY)]);
    wide("div.rn.f64 %wd, %wa, %wb;", &[([g(1.0), g(3.0)], 0x3fd5_5555_5555_5555)]);
    wide("rcp.rn.f64 %wd, %wa;", &[([g(8.0)], g(0.125))]);
    wide("add.rn.f64 %wd, %wa, %wb;", &[([g(1.0), g(f64::EPSILON / 2.0)], g(1.0))]);
    wide("sub.f64 %wd, %wa, %wb;", &[([g(1.0), g(3.0)], g(-2.0))]);
    wide("mul.rn.f64 %wd, %wa, %wb;", &[([g(1.5), g(3.0)], g(4.5))]);
}

#[test]
fn invalid_operations_make_nan() {
    let (inf, zero) = (u64::from(INFINITY), 0);
    let minus_inf = inf | u64::from(MINUS);
    for (snippet, operands) in [
        ("add.f32 %d, %a, %b;", [inf, minus_inf]),
        ("add.rz.f32 %d, %a, %b;", [inf, minus_inf]),
        ("sub.f32 %d, %a, %b;", [inf, inf]),
        ("mul.f32 %d, %a, %b;", [inf, zero]),
        ("div.rn.f32 %d, %a, %b;", [zero, zero]),
        ("fma.rn.f32 %d, %a, %b, %a;", [inf, zero]),
        ("sqrt.rn.f32 %d, %a;", [u64::from(f(-1.0)), zero]),
    ] {
        let result = each(&format!("{snippet} cvt.u64.u32 %wd, %d;"), &[operands], Options::default())[0];
        assert!(f32::from_bits(result as u32).is_nan(), "{snippet}: {result:#x}");
    }
}

#[test]
fn signs_are_changed_and_dropped() {
    narrow("neg.f32 %d, %a;", &[([f(0.0)], MINUS), ([f(-1.5)], f(1.5))]);
    narrow("abs.f32 %d, %a;", &[([MINUS], f(0.0)), ([f(-1.5)], f(1.5)), ([INFINITY | MINUS], INFINITY)]);
    wide("neg.f64 %wd, %wa;", &[([g(2.0)], g(-2.0))]);
    wide("abs.f64 %wd, %wa;", &[([g(-2.0)], g(2.0))]);
    // The smallest integer has no counterpart.
    narrow("neg.s32 %d, %a;", &[([5], 5u32.wrapping_neg()), ([0x8000_0000], 0x8000_0000)]);
    narrow("abs.s32 %d, %a;", &[([5u32.wrapping_neg()], 5), ([0x8000_0000], 0x8000_0000)]);
}

#[test]
fn integers_wrap() {
    narrow("add.u32 %d, %a, %b;", &[([u32::MAX, 2], 1)]);
    narrow("sub.s32 %d, %a, %b;", &[([0, 1], u32::MAX)]);
    narrow("mul.lo.u32 %d, %a, %b;", &[([0x1_0001, 0x1_0001], 0x0002_0001)]);
    narrow("mad.lo.s32 %d, %a, %b, %c;", &[([u32::MAX, 3, 1], 2u32.wrapping_neg())]);
    wide("add.s64 %wd, %wa, %wb;", &[([u64::MAX, 2], 1)]);
    wide("sub.u64 %wd, %wa, %wb;", &[([0, 1], u64::MAX)]);
    wide("mul.lo.u64 %wd, %wa, %wb;", &[([1 << 40, 1 << 30], 0), ([u64::MAX, 3], 3u64.wrapping_neg())]);
    wide("mad.lo.s64 %wd, %wa, %wb, %wc;", &[([1 << 33, 3, 5], (3 << 33) + 5)]);
    // 16 bits leave their upper neighbours out.
    let half = "cvt.u16.u32 %h0, %a; cvt.u16.u32 %h1, %b;";
    narrow(&format!("{half} add.s16 %h2, %h0, %h1; cvt.u32.u16 %d, %h2;"), &[([0xffff, 2], 1)]);
    narrow(&format!("{half} mul.lo.s16 %h2, %h0, %h1; cvt.u32.u16 %d, %h2;"), &[([0x101, 0x101], 0x201)]);
}

#[test]
fn the_upper_half_of_a_product_depends_on_the_signs() {
    let minus = |x: u32| x.wrapping_neg();
    narrow("mul.hi.u32 %d, %a, %b;", &[([u32::MAX, u32::MAX], u32::MAX - 1), ([1 << 16, 1 << 16], 1), ([5, 7], 0)]);
    narrow(
        "mul.hi.s32 %d, %a, %b;",
        &[([minus(1), minus(1)], 0), ([minus(1), 7], minus(1)), ([MINUS, MINUS], 1 << 30)],
    );
    let max = u64::from(u32::MAX);
    wide("mul.wide.u32 %wd, %a, %b;", &[([max, max], 0xffff_fffe_0000_0001), ([3, 4], 12)]);
    wide("mul.wide.s32 %wd, %a, %b;", &[([max, max], 1), ([max, 5], 5u64.wrapping_neg())]);
    wide("mul.wide.u32 %wd, %a, 4;", &[([max], 4 * max)]);
    wide("mad.wide.u32 %wd, %a, %b, %wc;", &[([max, 2, 1 << 60], (1 << 60) + 2 * max)]);
    wide("mad.wide.s32 %wd, %a, %b, %wc;", &[([max, 2, 1 << 60], (1 << 60) - 2)]);
    wide("mad.wide.u32 %wd, %a, %b, 16;", &[([3, 4], 28)]);
    wide("mad.wide.s32 %wd, %a, %b, -16;", &[([3, 4], 4u64.wrapping_neg())]);
    narrow("cvt.u16.u32 %h0, %a; mul.wide.u16 %d, %h0, %h0;", &[([0xffff], 0xfffe_0001)]);
}

#[test]
fn quotients_of_integers_are_truncated() {
    let minus = |x: u32| x.wrapping_neg();
    narrow("div.u32 %d, %a, %b;", &[([7, 2], 3), ([minus(7), 2], 0x7fff_fffc)]);
    narrow("rem.u32 %d, %a, %b;", &[([7, 2], 1), ([minus(1), 10], 5)]);
    narrow("div.s32 %d, %a, %b;", &[([minus(7), 2], minus(3)), ([7, minus(2)], minus(3)), ([minus(8), minus(2)], 4)]);
    wide("div.u64 %wd, %wa, %wb;", &[([1 << 40, 3], (1 << 40) / 3)]);
    wide("rem.u64 %wd, %wa, %wb;", &[([1 << 40, 7], (1 << 40) % 7)]);
    // The ISA leaves these open: they are no faults, and always the same.
    narrow("div.u32 %d, %a, %b;", &[([7, 0], u32::MAX)]);
    narrow("div.s32 %d, %a, %b;", &[([7, 0], u32::MAX), ([MINUS, minus(1)], MINUS)]);
    narrow("rem.u32 %d, %a, %b;", &[([7, 0], 7)]);
    wide("div.u64 %wd, %wa, %wb;", &[([7, 0], u64::MAX)]);
    wide("rem.u64 %wd, %wa, %wb;", &[([7, 0], 7)]);
}

#[test]
fn integers_are_compared_by_their_type() {
    let minus_one = u32::MAX;
    narrow("min.u32 %d, %a, %b;", &[([minus_one, 1], 1)]);
    narrow("max.u32 %d, %a, %b;", &[([minus_one, 1], minus_one)]);
    narrow("min.s32 %d, %a, %b;", &[([minus_one, 1], minus_one)]);
    narrow("max.s32 %d, %a, %b;", &[([minus_one, 1], 1)]);
    wide("min.u64 %wd, %wa, %wb;", &[([u64::MAX, 1], 1)]);
    wide("max.u64 %wd, %wa, %wb;", &[([u64::MAX, 1], u64::MAX)]);
    wide("min.s64 %wd, %wa, %wb;", &[([u64::MAX, 1], u64::MAX)]);
    wide("max.s64 %wd, %wa, %wb;", &[([u64::MAX, 1], 1)]);
}
