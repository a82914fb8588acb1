//! Bits: logic, shifts, permutations of bytes, and pairs of 16-bit numbers.

use crate::support::{lanes, narrow, wide};

#[test]
fn logic_goes_bit_by_bit() {
    narrow("and.b32 %d, %a, %b;", &[([0b1100, 0b1010], 0b1000)]);
    narrow("or.b32 %d, %a, %b;", &[([0b1100, 0b1010], 0b1110)]);
    narrow("xor.b32 %d, %a, %b;", &[([0b1100, 0b1010], 0b0110)]);
    narrow("not.b32 %d, %a;", &[([0xff00_ff00], 0x00ff_00ff)]);
    let high = 0xf0f0u64 << 40;
    wide("and.b64 %wd, %wa, %wb;", &[([high, u64::MAX], high)]);
    wide("or.b64 %wd, %wa, 1;", &[([high], high | 1)]);
    wide("xor.b64 %wd, %wa, -1;", &[([high], !high)]);
    wide("not.b64 %wd, %wa;", &[([high], !high)]);
    let half = "cvt.u16.u32 %h0, %a; cvt.u16.u32 %h1, %b;";
    for (operation, result) in [("and.b16", 0xf000), ("or.b16", 0xfff0), ("xor.b16", 0x0ff0)] {
        let snippet = format!("{half} {operation} %h2, %h0, %h1; cvt.u32.u16 %d, %h2;");
        narrow(&snippet, &[([0x1234_ff00, 0x5678_f0f0], result)]);
    }
    narrow("cvt.u16.u32 %h0, %a; not.b16 %h0, %h0; cvt.u32.u16 %d, %h0;", &[([0x1234_00ff], 0xff00)]);
}

#[test]
fn bits_are_counted_and_reversed() {
    narrow("popc.b32 %d, %a;", &[([0], 0), ([u32::MAX], 32), ([0x8000_0101], 3)]);
    narrow("clz.b32 %d, %a;", &[([0], 32), ([1], 31), ([0x8000_0000], 0)]);
    narrow("brev.b32 %d, %a;", &[([1], 0x8000_0000), ([0x0000_00f0], 0x0f00_0000)]);
}

#[test]
fn shifts_by_the_width_or_more_leave_nothing_or_signs() {
    let x = 0x8000_0001u32;
    narrow("shl.b32 %d, %a, %b;", &[([x, 0], x), ([x, 1], 2), ([x, 31], 1 << 31), ([x, 32], 0), ([x, 255], 0)]);
    narrow("shr.u32 %d, %a, %b;", &[([x, 0], x), ([x, 31], 1), ([x, 32], 0), ([x, u32::MAX], 0)]);
    narrow("shr.b32 %d, %a, %b;", &[([x, 1], 1 << 30), ([x, 33], 0)]);
    narrow("shr.s32 %d, %a, %b;", &[([x, 1], 0xc000_0000), ([x, 32], u32::MAX), ([x, 1000], u32::MAX), ([1, 32], 0)]);
    let x = 0x8000_0000_0000_0001u64;
    wide("shl.b64 %wd, %wa, %b;", &[([x, 1], 2), ([x, 63], 1 << 63), ([x, 64], 0), ([x, 100], 0)]);
    wide("shr.u64 %wd, %wa, %b;", &[([x, 63], 1), ([x, 64], 0)]);
    wide("shr.s64 %wd, %wa, %b;", &[([x, 63], u64::MAX), ([x, 64], u64::MAX), ([1, 64], 0)]);
    wide("shl.b64 %wd, %wa, 3;", &[([x], 8)]);
    let half = "cvt.u16.u32 %h0, %a;";
    let cases = [([0x1_8001, 1], 2), ([0x8001, 15], 0x8000), ([0x8001, 16], 0)];
    narrow(&format!("{half} shl.b16 %h1, %h0, %b; cvt.u32.u16 %d, %h1;"), &cases);
    narrow(&format!("{half} shr.u16 %h1, %h0, %b; cvt.u32.u16 %d, %h1;"), &[([0x1_8001, 15], 1), ([0x8001, 16], 0)]);
    narrow(
        &format!("{half} shr.s16 %h1, %h0, %b; cvt.u32.u16 %d, %h1;"),
        &[([0x8001, 1], 0xc000), ([0x8001, 99], 0xffff)],
    );
}

#[test]
fn funnel_shifts_take_two_words() {
    // The second operand is the upper word; the amount counts modulo 32.
    let (low, high) = (0x89ab_cdef, 0x0123_4567);
    narrow(
        "shf.l.wrap.b32 %d, %a, %b, %c;",
        &[
            ([low, high, 0], high),
            ([low, high, 8], 0x2345_6789),
            ([low, high, 31], 0xc4d5_e6f7),
            ([low, high, 32], high),
            ([low, high, 40], 0x2345_6789),
        ],
    );
    narrow(
        "shf.r.wrap.b32 %d, %a, %b, %c;",
        &[([low, high, 0], low), ([low, high, 8], 0x6789_abcd), ([low, high, 32], low), ([low, high, 36], 0x789a_bcde)],
    );
    // A rotation.
    narrow("shf.l.wrap.b32 %d, %a, %a, 4;", &[([0x1234_5678], 0x2345_6781)]);
}

#[test]
fn prmt_chooses_bytes_and_signs() {
    // Bytes 0 to 3 are of the first operand, 4 to 7 of the second; 8 more is the sign of the byte, eight times.
    let (a, b) = (0x8332_7110, 0xf7e6_d5c4);
    narrow(
        "prmt.b32 %d, %a, %b, %c;",
        &[
            ([a, b, 0x3210], a),
            ([a, b, 0x7654], b),
            ([a, b, 0x0123], 0x1071_3283),
            ([a, b, 0x5410], 0xd5c4_7110),
            ([a, b, 0x7632], 0xf7e6_8332),
            ([a, b, 0xba98], 0xff00_0000),
            ([a, b, 0xffff_fedc], 0xffff_ffff),
            ([a, b, 0x8888], 0),
        ],
    );
    // The classical ways to take halves apart.
    narrow("prmt.b32 %d, %a, 0, 0x1044;", &[([0x3f80_4000], 0x4000_0000)]);
    narrow("prmt.b32 %d, %a, 0, 0x3244;", &[([0x3f80_4000], 0x3f80_0000)]);
}

#[test]
fn moves_pack_and_unpack() {
    wide("mov.b64 %wd, {%a, %b};", &[([0x1111_2222, 0x3333_4444], 0x3333_4444_1111_2222)]);
    wide("mov.b64 {%a, %b}, %wa; mov.b64 %wd, {%b, %a};", &[([0x3333_4444_1111_2222], 0x1111_2222_3333_4444)]);
    narrow("mov.b32 {%h0, %h1}, %a; mov.b32 %d, {%h1, %h0};", &[([0xaaaa_bbbb], 0xbbbb_aaaa)]);
    wide("mov.u64 %wd, -2;", &[([0], u64::MAX - 1)]);
    wide("mov.b64 %wd, 0dBFF0000000000000;", &[([0], (-1.0f64).to_bits())]);
    narrow("mov.b32 %d, 0f3F800000;", &[([0], 1.0f32.to_bits())]);
    narrow("mov.b16 %h0, 0xFFFF; cvt.s32.s16 %d, %h0;", &[([0], u32::MAX)]);
}

#[test]
fn an_operation_may_write_what_it_reads() {
    narrow("add.u32 %a, %a, %a; xor.b32 %a, %a, %b; mov.b32 %d, %a;", &[([3, 1], 7)]);
    assert_eq!(lanes("mov.u32 %d, %lane; mad.lo.u32 %d, %d, %d, %d;")[7], 56);
}

#[test]
fn pairs_of_f16_are_compared_by_halves() {
    // 1 and -2, NaN and zeros.
    let (one, minus_two, nan) = (0x3c00, 0xc000, 0x7e01);
    let pair = |high: u32, low: u32| high << 16 | low;
    narrow(
        "max.f16x2 %d, %a, %b;",
        &[
            ([pair(one, minus_two), pair(minus_two, one)], pair(one, one)),
            ([pair(nan, minus_two), pair(minus_two, nan)], pair(minus_two, minus_two)),
            ([pair(nan, 0x8000), pair(nan, 0)], pair(0x7fff, 0)),
            // Subnormal numbers: 2 and 1 units.
            ([pair(2, 0x8002), pair(1, 0x8001)], pair(2, 0x8001)),
        ],
    );
    narrow(
        "min.f16x2 %d, %a, %b;",
        &[
            ([pair(one, minus_two), pair(minus_two, one)], pair(minus_two, minus_two)),
            ([pair(nan, one), pair(one, nan)], pair(one, one)),
            ([pair(nan, 0x8000), pair(nan, 0)], pair(0x7fff, 0x8000)),
        ],
    );
}

#[test]
fn pairs_of_bf16_are_compared_by_halves() {
    let (one, minus_two, nan) = (0x3f80, 0xc000, 0x7fc1);
    let pair = |high: u32, low: u32| high << 16 | low;
    narrow(
        "max.bf16x2 %d, %a, %b;",
        &[
            ([pair(one, minus_two), pair(minus_two, one)], pair(one, one)),
            ([pair(nan, minus_two), pair(minus_two, nan)], pair(minus_two, minus_two)),
            ([pair(nan, 0x8000), pair(nan, 0)], pair(0x7fff, 0)),
            ([pair(2, 0x8002), pair(1, 0x8001)], pair(2, 0x8001)),
        ],
    );
    narrow(
        "min.bf16x2 %d, %a, %b;",
        &[
            ([pair(one, minus_two), pair(minus_two, one)], pair(minus_two, minus_two)),
            ([pair(nan, one), pair(one, nan)], pair(one, one)),
            ([pair(nan, 0x8000), pair(nan, 0)], pair(0x7fff, 0x8000)),
        ],
    );
}
