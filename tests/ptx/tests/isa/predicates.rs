//! Predicates: comparisons, logic, selection, guards.

use crate::support::{INFINITY, MINUS, NAN, f, g, lanes, narrow, wide};

/// The snippet that turns a comparison into 0 or 1.
fn compared(comparison: &str) -> String {
    format!("setp.{comparison} %p0, %a, %b; selp.u32 %d, 1, 0, %p0;")
}

#[test]
fn ordered_comparisons_fail_with_nan_and_unordered_ones_hold() {
    let (one, two) = (f(1.0), f(2.0));
    // Of 1 and 2, 2 and 1, equal ones, zeros of both signs, and with a NaN.
    for (name, results) in [
        ("eq", [0, 0, 1, 1, 0]),
        ("ne", [1, 1, 0, 0, 0]),
        ("lt", [1, 0, 0, 0, 0]),
        ("le", [1, 0, 1, 1, 0]),
        ("gt", [0, 1, 0, 0, 0]),
        ("ge", [0, 1, 1, 1, 0]),
        ("equ", [0, 0, 1, 1, 1]),
        ("neu", [1, 1, 0, 0, 1]),
        ("ltu", [1, 0, 0, 0, 1]),
        ("leu", [1, 0, 1, 1, 1]),
        ("gtu", [0, 1, 0, 0, 1]),
        ("geu", [0, 1, 1, 1, 1]),
        ("num", [1, 1, 1, 1, 0]),
        ("nan", [0, 0, 0, 0, 1]),
    ] {
        let [less, greater, equal, zeros, nan] = results;
        narrow(
            &compared(&format!("{name}.f32")),
            &[
                ([one, two], less),
                ([two, one], greater),
                ([one, one], equal),
                ([f(0.0), MINUS], zeros),
                ([NAN, one], nan),
                ([one, 0xffc0_0001], nan),
                ([NAN, NAN], nan),
                ([INFINITY | MINUS, INFINITY], less),
            ],
        );
        let snippet = format!("setp.{name}.f64 %p0, %wa, %wb; selp.u64 %wd, 1, 0, %p0;");
        wide(
            &snippet,
            &[
                ([g(1.0), g(2.0)], u64::from(less)),
                ([g(2.0), g(1.0)], u64::from(greater)),
                ([g(f64::NAN), g(1.0)], u64::from(nan)),
            ],
        );
    }
}

#[test]
fn integers_are_compared_by_their_type() {
    let minus_one = u32::MAX;
    for (name, minus_one_and_one, one_and_minus_one, equal) in [
        ("eq.s32", 0, 0, 1),
        ("ne.u32", 1, 1, 0),
        ("lt.s32", 1, 0, 0),
        ("lt.u32", 0, 1, 0),
        ("le.s32", 1, 0, 1),
        ("le.u32", 0, 1, 1),
        ("gt.s32", 0, 1, 0),
        ("gt.u32", 1, 0, 0),
        ("ge.s32", 0, 1, 1),
        ("ge.u32", 1, 0, 1),
        ("lo.u32", 0, 1, 0),
        ("ls.u32", 0, 1, 1),
        ("hi.u32", 1, 0, 0),
        ("hs.u32", 1, 0, 1),
        ("eq.b32", 0, 0, 1),
    ] {
        let cases = [([minus_one, 1], minus_one_and_one), ([1, minus_one], one_and_minus_one), ([7, 7], equal)];
        narrow(&compared(name), &cases);
    }
    wide("setp.lt.s64 %p0, %wa, %wb; selp.b64 %wd, %wa, %wb, %p0;", &[([u64::MAX, 1], u64::MAX), ([1, 0], 0)]);
    wide("setp.lt.u64 %p0, %wa, %wb; selp.b64 %wd, %wa, %wb, %p0;", &[([u64::MAX, 1], 1), ([0, 1], 0)]);
    // 16 bits, whatever lies above them.
    let half = "cvt.u16.u32 %h0, %a; cvt.u16.u32 %h1, %b;";
    narrow(&format!("{half} setp.lt.s16 %p0, %h0, %h1; selp.u32 %d, 1, 0, %p0;"), &[([0x1_ffff, 0], 1)]);
    narrow(&format!("{half} setp.lt.u16 %p0, %h0, %h1; selp.u32 %d, 1, 0, %p0;"), &[([0x1_ffff, 0], 0)]);
    narrow("cvt.u16.u32 %h0, %a; setp.eq.s16 %p0, %h0, -1; selp.u32 %d, 1, 0, %p0;", &[([0xffff], 1)]);
}

#[test]
fn predicates_are_combined() {
    let of_two = "setp.ne.u32 %p0, %a, 0; setp.ne.u32 %p1, %b, 0;";
    for (operation, results) in [("and.pred", [0, 0, 0, 1]), ("or.pred", [0, 1, 1, 1]), ("xor.pred", [0, 1, 1, 0])] {
        let snippet = format!("{of_two} {operation} %p2, %p0, %p1; selp.u32 %d, 1, 0, %p2;");
        let operands = [[0, 0], [0, 1], [1, 0], [1, 1]];
        let cases: Vec<_> = operands.into_iter().zip(results).collect();
        narrow(&snippet, &cases);
    }
    narrow("setp.ne.u32 %p0, %a, 0; not.pred %p1, %p0; selp.u32 %d, 1, 0, %p1;", &[([0], 1), ([5], 0)]);
    narrow("setp.ne.u32 %p0, %a, 0; mov.pred %p1, %p0; selp.u32 %d, 1, 0, %p1;", &[([0], 0), ([5], 1)]);
    narrow("mov.pred %p0, 1; mov.pred %p1, 0; selp.u32 %a, 2, 0, %p0; selp.u32 %d, 1, %a, %p1;", &[([0], 2)]);
}

#[test]
fn selp_takes_the_first_where_the_predicate_holds() {
    narrow(
        "setp.gt.f32 %p0, %a, 0f00000000; selp.f32 %d, %a, %b, %p0;",
        &[([f(1.0), f(9.0)], f(1.0)), ([f(-1.0), f(9.0)], f(9.0)), ([NAN, f(9.0)], f(9.0))],
    );
    // The operand that is not chosen need not have been written.
    let d = lanes("setp.lt.u32 %p0, %lane, 4; @%p0 mov.u32 %r1, 7; selp.u32 %d, %r1, 8, %p0;");
    assert_eq!((d[3], d[4]), (7, 8));
}

#[test]
fn guards_choose_the_lanes_that_take_part() {
    let d = lanes(
        "setp.lt.u32 %p0, %lane, 10;
        mov.u32 %d, 1;
        @%p0 mov.u32 %d, 2;
        @!%p0 add.u32 %d, %d, %lane;",
    );
    assert!((0..32).all(|lane| d[lane as usize] == if lane < 10 { 2 } else { 1 + lane }), "{d:?}");
    // Under a guard that holds nowhere, nothing is done, not even what would be a fault.
    let d = lanes(
        "setp.gt.u32 %p0, %lane, 100;
        @%p0 ld.global.u32 %d, [1];
        @%p0 trap;
        @%p0 bar.sync 0;
        @%p0 bra $L_end;
        mov.u32 %d, 5;
        $L_end:",
    );
    assert_eq!(d, [5; 32]);
}
