//! Shuffles and votes among the lanes of a warp.

use crate::support::lanes;

/// What each lane gets of the lanes' numbers plus 100, by a mode with an operand and a clamp.
fn shuffled(mode: &str, operand: &str, clamp: u32) -> [u32; 32] {
    lanes(&format!("add.u32 %r1, %lane, 100; shfl.sync.{mode}.b32 %d|%p0, %r1, {operand}, {clamp}, 0xffffffff;"))
}

/// The clamp operand for segments of so many lanes: the mask of their numbers in bits 8 to 12, the clamp below.
fn segments(width: u32, clamp: u32) -> u32 {
    (32 - width) << 8 | clamp
}

fn assert_sources(shuffled: [u32; 32], source: impl Fn(u32) -> u32) {
    let sources: Vec<u32> = (0..32).map(source).collect();
    assert_eq!(shuffled.map(|value| value - 100).to_vec(), sources);
}

#[test]
fn butterfly() {
    for by in [1, 2, 4, 8, 16, 31] {
        assert_sources(shuffled("bfly", &by.to_string(), segments(32, 31)), |lane| lane ^ by);
    }
    // Beyond the segment, a lane keeps its own.
    assert_sources(shuffled("bfly", "8", segments(8, 31)), |lane| if lane & 8 == 0 { lane } else { lane ^ 8 });
    assert_sources(shuffled("bfly", "3", segments(4, 31)), |lane| lane ^ 3);
    // Beyond the clamp too.
    assert_sources(shuffled("bfly", "16", segments(32, 15)), |lane| if lane < 16 { lane } else { lane - 16 });
}

#[test]
fn up() {
    assert_sources(shuffled("up", "1", segments(32, 0)), |lane| lane.saturating_sub(1));
    assert_sources(shuffled("up", "5", segments(32, 0)), |lane| if lane >= 5 { lane - 5 } else { lane });
    assert_sources(shuffled("up", "2", segments(8, 0)), |lane| if lane % 8 >= 2 { lane - 2 } else { lane });
    // The clamp is the least lane to be read.
    assert_sources(shuffled("up", "1", segments(32, 4)), |lane| if lane >= 5 { lane - 1 } else { lane });
}

#[test]
fn down() {
    assert_sources(shuffled("down", "1", segments(32, 31)), |lane| (lane + 1).min(31));
    assert_sources(shuffled("down", "16", segments(32, 31)), |lane| if lane < 16 { lane + 16 } else { lane });
    assert_sources(shuffled("down", "2", segments(8, 31)), |lane| if lane % 8 < 6 { lane + 2 } else { lane });
    assert_sources(shuffled("down", "1", segments(32, 9)), |lane| if lane < 9 { lane + 1 } else { lane });
}

#[test]
fn index() {
    assert_sources(shuffled("idx", "7", segments(32, 31)), |_| 7);
    assert_sources(shuffled("idx", "0", segments(32, 31)), |_| 0);
    // Of the number, only the bits below the segments count, and at most 5.
    assert_sources(shuffled("idx", "3", segments(8, 31)), |lane| lane / 8 * 8 + 3);
    assert_sources(shuffled("idx", "11", segments(8, 31)), |lane| lane / 8 * 8 + 3);
    assert_sources(shuffled("idx", "33", segments(32, 31)), |_| 1);
    // Beyond the clamp, a lane keeps its own.
    assert_sources(shuffled("idx", "20", segments(32, 15)), |lane| lane);
    // Each lane may ask for another.
    let d = lanes("sub.u32 %r1, 31, %lane; shfl.sync.idx.b32 %d|%p0, %lane, %r1, 31, -1;");
    assert_eq!(d.to_vec(), (0..32).rev().collect::<Vec<u32>>());
}

#[test]
fn a_reduction_by_butterflies() {
    let d = lanes(
        "mul.lo.u32 %d, %lane, %lane;
        shfl.sync.bfly.b32 %r1|%p0, %d, 16, 31, -1; add.u32 %d, %d, %r1;
        shfl.sync.bfly.b32 %r1|%p0, %d, 8, 31, -1; add.u32 %d, %d, %r1;
        shfl.sync.bfly.b32 %r1|%p0, %d, 4, 31, -1; add.u32 %d, %d, %r1;
        shfl.sync.bfly.b32 %r1|%p0, %d, 2, 31, -1; add.u32 %d, %d, %r1;
        shfl.sync.bfly.b32 %r1|%p0, %d, 1, 31, -1; add.u32 %d, %d, %r1;",
    );
    assert_eq!(d, [(0..32).map(|lane| lane * lane).sum::<u32>(); 32]);
}

#[test]
fn lanes_that_come_by_different_ways_are_waited_for() {
    let d = lanes(
        "setp.lt.u32 %p0, %lane, 16;
        mov.u32 %r1, 1;
        @%p0 bra $L_meet;
        mov.u32 %r1, 2;
        $L_meet:
        shfl.sync.bfly.b32 %d|%p1, %r1, 16, 31, -1;",
    );
    assert!((0..32).all(|lane| d[lane] == if lane < 16 { 2 } else { 1 }), "{d:?}");
}

#[test]
fn the_members_of_a_shuffle_may_be_some_lanes() {
    let d = lanes(
        "mov.u32 %d, %lane;
        setp.ge.u32 %p0, %lane, 8;
        @%p0 bra $L_end;
        shfl.sync.down.b32 %d|%p1, %lane, 4, 0x1807, 0xff;
        $L_end:",
    );
    assert!((0..32).all(|lane| d[lane as usize] == if lane < 4 { lane + 4 } else { lane }), "{d:?}");
}

#[test]
fn votes() {
    let d = lanes("setp.ge.u32 %p0, %lane, 24; vote.sync.ballot.b32 %d, %p0, -1;");
    assert_eq!(d, [0xff00_0000; 32]);
    let d = lanes("setp.ge.u32 %p0, %lane, 24; vote.sync.ballot.b32 %d, !%p0, -1;");
    assert_eq!(d, [0x00ff_ffff; 32]);
    for (limit, any, all) in [(0, 0, 0), (1, 1, 0), (31, 1, 0), (32, 1, 1)] {
        let d = lanes(&format!(
            "setp.lt.u32 %p0, %lane, {limit};
            vote.sync.any.pred %p1, %p0, -1;
            vote.sync.all.pred %p2, %p0, -1;
            selp.u32 %r1, 1, 0, %p1;
            selp.u32 %r2, 2, 0, %p2;
            or.b32 %d, %r1, %r2;"
        ));
        assert_eq!(d, [any + 2 * all; 32], "{limit}");
    }
    // Only members count.
    let d = lanes(
        "setp.ge.u32 %p0, %lane, 8;
        mov.u32 %d, 0;
        @%p0 bra $L_end;
        setp.ge.u32 %p1, %lane, 4;
        vote.sync.ballot.b32 %d, %p1, 0xff;
        vote.sync.all.pred %p2, !%p0, 0xff;
        @%p2 or.b32 %d, %d, 0x100;
        $L_end:",
    );
    assert_eq!((d[0], d[7], d[8]), (0x1f0, 0x1f0, 0));
}
