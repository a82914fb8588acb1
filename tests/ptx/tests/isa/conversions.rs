//! Conversions: to fewer bits by rounding, to integers by saturating.

use crate::support::{INFINITY, MINUS, f, g, narrow, wide};

#[test]
fn f16_is_rounded_to_nearest_even() {
    let ulp = 2.0f32.powi(-10);
    narrow(
        "cvt.rn.f16.f32 %h0, %a; cvt.u32.u16 %d, %h0;",
        &[
            ([f(1.0)], 0x3c00),
            ([f(-2.0)], 0xc000),
            // Ties go to the even one, everything else to the nearer.
            ([f(1.0 + ulp / 2.0)], 0x3c00),
            ([f(1.0 + ulp * 1.5)], 0x3c02),
            ([f(1.0 + ulp / 2.0) + 1], 0x3c01),
            ([f(1.0 + ulp * 1.5) - 1], 0x3c01),
            // The largest, the tie that becomes infinite, and just below it.
            ([f(65504.0)], 0x7bff),
            ([f(65520.0) - 1], 0x7bff),
            ([f(65520.0)], 0x7c00),
            ([f(-1e9)], 0xfc00),
            ([INFINITY], 0x7c00),
            // Subnormal numbers: units of 2⁻²⁴.
            ([f(2.0f32.powi(-14))], 0x0400),
            ([f(2.0f32.powi(-24))], 0x0001),
            ([f(1.5 * 2.0f32.powi(-24))], 0x0002),
            ([f(2.5 * 2.0f32.powi(-24))], 0x0002),
            ([f(2.0f32.powi(-25))], 0x0000),
            ([f(2.0f32.powi(-25)) + 1], 0x0001),
            ([f(-2.0f32.powi(-26))], 0x8000),
            ([MINUS], 0x8000),
            // One NaN for all.
            ([0x7fc0_0000], 0x7fff),
            ([0xff80_0001], 0x7fff),
        ],
    );
}

#[test]
fn bf16_is_rounded_to_nearest_even() {
    narrow(
        "cvt.rn.bf16.f32 %h0, %a; cvt.u32.u16 %d, %h0;",
        &[
            ([f(1.0)], 0x3f80),
            ([0x3f80_8000], 0x3f80),
            ([0x3f81_8000], 0x3f82),
            ([0x3f80_8001], 0x3f81),
            ([0x3f81_7fff], 0x3f81),
            ([0xbf81_8000], 0xbf82),
            ([f(f32::MAX)], 0x7f80),
            ([0x7f7f_7fff], 0x7f7f),
            ([INFINITY | MINUS], 0xff80),
            // Subnormal numbers stay.
            ([0x0001_0000], 0x0001),
            ([0x0000_8000], 0x0000),
            ([0x0000_8001], 0x0001),
            ([0x8001_8000], 0x8002),
            ([0x7f80_0001], 0x7fff),
            ([0xffff_ffff], 0x7fff),
        ],
    );
}

#[test]
fn the_first_operand_of_a_pair_goes_to_the_upper_half() {
    narrow(
        "cvt.rn.bf16x2.f32 %d, %a, %b;",
        &[([f(1.0), f(-2.0)], 0x3f80_c000), ([0x3f81_8000, 0x7fc0_0000], 0x3f82_7fff)],
    );
    narrow("cvt.rn.f16x2.f32 %d, %a, %b;", &[([f(1.0), f(-2.0)], 0x3c00_c000), ([f(65520.0), f(0.0)], 0x7c00_0000)]);
}

#[test]
fn sixteen_bits_become_f32_exactly() {
    narrow(
        "cvt.u16.u32 %h0, %a; cvt.f32.f16 %d, %h0;",
        &[
            ([0x3c01], f(1.0 + 2.0f32.powi(-10))),
            ([0x0001], f(2.0f32.powi(-24))),
            ([0x83ff], f(-1023.0 * 2.0f32.powi(-24))),
            ([0x7bff], f(65504.0)),
            ([0xfc00], INFINITY | MINUS),
            ([0x8000], MINUS),
        ],
    );
    narrow("cvt.u16.u32 %h0, %a; cvt.f32.bf16 %d, %h0;", &[([0x3f81], 0x3f81_0000), ([0x8001], 0x8001_0000)]);
}

#[test]
fn floats_become_integers_by_saturating() {
    narrow(
        "cvt.rzi.s32.f32 %d, %a;",
        &[
            ([f(1.99)], 1),
            ([f(-1.99)], 1u32.wrapping_neg()),
            ([f(3e9)], i32::MAX as u32),
            ([f(-3e9)], i32::MIN as u32),
            ([INFINITY], i32::MAX as u32),
            ([INFINITY | MINUS], i32::MIN as u32),
            ([0x7fc0_0000], 0),
            ([f(-2147483648.0)], i32::MIN as u32),
        ],
    );
    narrow(
        "cvt.rzi.u32.f32 %d, %a;",
        &[
            ([f(1.99)], 1),
            ([f(-0.5)], 0),
            ([f(-7.0)], 0),
            ([f(3e9)], 3_000_000_000),
            ([f(5e9)], u32::MAX),
            ([0xffc0_0000], 0),
        ],
    );
    // To the nearest, ties to even.
    narrow(
        "cvt.rni.s32.f32 %d, %a;",
        &[
            ([f(0.5)], 0),
            ([f(1.5)], 2),
            ([f(2.5)], 2),
            ([f(-1.5)], 2u32.wrapping_neg()),
            ([f(2.51)], 3),
            ([f(1e10)], i32::MAX as u32),
        ],
    );
    narrow(
        "cvt.rni.f32.f32 %d, %a;",
        &[([f(2.5)], f(2.0)), ([f(-0.4)], MINUS), ([f(3.5)], f(4.0)), ([f(1e20)], f(1e20))],
    );
}

#[test]
fn integers_become_floats_by_rounding() {
    let tie = (1 << 24) + 1;
    narrow(
        "cvt.rn.f32.u32 %d, %a;",
        &[([tie], f(16_777_216.0)), ([tie + 2], f(16_777_220.0)), ([u32::MAX], f(4_294_967_296.0))],
    );
    narrow("cvt.rn.f32.s32 %d, %a;", &[([tie.wrapping_neg()], f(-16_777_216.0)), ([u32::MAX], f(-1.0))]);
    wide("cvt.rn.f64.u32 %wd, %a;", &[([u64::from(u32::MAX)], g(4_294_967_295.0))]);
    wide("cvt.rn.f64.s32 %wd, %a;", &[([u64::from(u32::MAX)], g(-1.0))]);
}

#[test]
fn doubles_are_rounded_to_singles() {
    wide("cvt.f64.f32 %wd, %a;", &[([u64::from(f(0.1))], g(f64::from(0.1f32))), ([1], g(2.0f64.powi(-149)))]);
    wide(
        "cvt.rn.f32.f64 %d, %wa; cvt.u64.u32 %wd, %d;",
        &[
            ([g(1.0 + 2.0f64.powi(-24))], u64::from(f(1.0))),
            ([g(1.0 + 2.0f64.powi(-24)) + 1], u64::from(f(1.0 + f32::EPSILON))),
            ([g(1e300)], u64::from(INFINITY)),
        ],
    );
}

#[test]
fn integers_are_extended_and_truncated() {
    wide("cvt.u64.u32 %wd, %a;", &[([0xffff_ffff], 0xffff_ffff)]);
    wide("cvt.s64.s32 %wd, %a;", &[([0xffff_fffe], u64::MAX - 1), ([7], 7)]);
    wide("cvt.u32.u64 %d, %wa; cvt.u64.u32 %wd, %d;", &[([0x1_0000_0002], 2)]);
    wide("cvt.u16.u64 %h0, %wa; cvt.u64.u16 %wd, %h0;", &[([0x1_2345_6789], 0x6789)]);
    narrow("cvt.u16.u32 %h0, %a; cvt.u32.u16 %d, %h0;", &[([0x1234_8765], 0x8765)]);
    narrow("cvt.u16.u32 %h0, %a; cvt.s32.s16 %d, %h0;", &[([0x1234_8765], 0xffff_8765), ([0x7fff], 0x7fff)]);
}
