//! Control flow: branches that split the lanes of a warp, loops, lanes that end.

use crate::support::{Scene, lanes};
use ptx::Options;

#[test]
fn both_ways_of_a_branch_are_taken_and_meet_again() {
    let d = lanes(
        "and.b32 %r1, %lane, 1;
        setp.eq.u32 %p0, %r1, 0;
        @%p0 bra $L_even;
        mov.u32 %d, 100;
        bra $L_meet;
        $L_even:
        mov.u32 %d, 200;
        $L_meet:
        add.u32 %d, %d, %lane;
        // All are here again: a vote needs them all.
        vote.sync.ballot.b32 %r2, %p0, -1;
        xor.b32 %d, %d, %r2;",
    );
    let expected = |lane: u32| (if lane.is_multiple_of(2) { 200 } else { 100 } + lane) ^ 0x5555_5555;
    assert!((0..32).all(|lane| d[lane as usize] == expected(lane)), "{d:x?}");
}

#[test]
fn branches_within_branches() {
    let d = lanes(
        "mov.u32 %d, 0;
        setp.ge.u32 %p0, %lane, 16;
        @%p0 bra $L_upper;
        setp.ge.u32 %p1, %lane, 8;
        @%p1 bra $L_second;
        add.u32 %d, %d, 1;
        bra.uni $L_lower_end;
        $L_second:
        add.u32 %d, %d, 2;
        $L_lower_end:
        add.u32 %d, %d, 10;
        bra $L_end;
        $L_upper:
        setp.ge.u32 %p1, %lane, 24;
        @!%p1 bra $L_end;
        add.u32 %d, %d, 3;
        $L_end:
        add.u32 %d, %d, 100;",
    );
    assert_eq!([d[0], d[7], d[8], d[15], d[16], d[23], d[24], d[31]], [111, 111, 112, 112, 100, 100, 103, 103]);
}

#[test]
fn loops_turn_as_often_as_each_lane_says() {
    // Triangular numbers.
    let d = lanes(
        "mov.u32 %d, 0;
        mov.u32 %r1, 0;
        $L_loop:
        setp.ge.u32 %p0, %r1, %lane;
        @%p0 bra $L_end;
        add.u32 %r1, %r1, 1;
        add.u32 %d, %d, %r1;
        bra $L_loop;
        $L_end:",
    );
    assert!((0..32).all(|lane| d[lane as usize] == lane * (lane + 1) / 2), "{d:?}");
}

#[test]
fn a_loop_ends_for_each_lane_on_its_own() {
    // The Collatz steps of lane + 1: no two loops of neighbours are alike.
    let d = lanes(
        "add.u32 %r1, %lane, 1;
        mov.u32 %d, 0;
        $L_loop:
        setp.eq.u32 %p0, %r1, 1;
        @%p0 bra $L_end;
        and.b32 %r2, %r1, 1;
        setp.eq.u32 %p1, %r2, 1;
        @%p1 mad.lo.u32 %r1, %r1, 3, 1;
        @!%p1 shr.u32 %r1, %r1, 1;
        add.u32 %d, %d, 1;
        bra.uni $L_loop;
        $L_end:",
    );
    let steps = |mut n: u32| {
        let mut steps = 0;
        while n != 1 {
            n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
            steps += 1;
        }
        steps
    };
    assert!((0..32).all(|lane| d[lane as usize] == steps(lane + 1)), "{d:?}");
}

#[test]
fn lanes_that_have_ended_do_nothing_more() {
    for end in ["ret", "exit"] {
        let mut scene = Scene::default();
        let out = scene.words(&[9; 32], ptx::Access::ReadWrite);
        let snippet = format!(
            "setp.ge.u32 %p0, %lane, 20;
            @%p0 {end};
            // The others may shuffle among themselves.
            mov.b32 %r1, %lane;
            shfl.sync.bfly.b32 %r1|%p1, %r1, 1, 31, 0xfffff;
            st.global.u32 [%place], %r1;"
        );
        scene.run(&snippet).expect("no fault");
        let out = scene.read(out);
        assert!((0..32).all(|lane| out[lane as usize] == if lane < 20 { lane ^ 1 } else { 9 }), "{out:?}");
    }
}

#[test]
fn what_is_done_does_not_depend_on_the_order_of_groups() {
    let snippet = "mov.u32 %d, 0;
        mov.u32 %r1, %lane;
        $L_loop:
        and.b32 %r2, %r1, 3;
        setp.eq.u32 %p0, %r2, 0;
        @%p0 bra $L_skip;
        add.u32 %d, %d, %r2;
        $L_skip:
        shr.u32 %r1, %r1, 1;
        setp.ne.u32 %p1, %r1, 0;
        @%p1 bra $L_loop;
        shfl.sync.idx.b32 %d|%p2, %d, %lane, 31, -1;
        st.global.u32 [%place], %d;";
    let mut results = Vec::new();
    for seed in 0..40 {
        let mut scene = Scene { options: Options { seed, ..Options::default() }, ..Scene::default() };
        let out = scene.fresh(128);
        let report = scene.run(snippet).expect("no fault");
        // Whatever the order, an instruction counts once for a lane.
        assert_eq!(report.by_mnemonic["shfl.sync.idx.b32"], 32, "seed {seed}");
        results.push((scene.read(out), report));
    }
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn labels_lead_backwards_and_forwards_and_scopes_hide_names() {
    let d = lanes(
        "mov.u32 %d, 1;
        bra $L_2;
        $L_1:
        add.u32 %d, %d, 10;
        bra $L_3;
        $L_2:
        {
        .reg .b32 %d, %inner;
        mov.u32 %d, 1000;
        mov.u32 %inner, %d;
        mov.u32 %r1, %inner;
        }
        bra $L_1;
        $L_3:
        add.u32 %d, %d, %r1;",
    );
    assert_eq!(d, [1011; 32]);
}
