//! What is counted: instructions, special functions, traffic, writes.

use crate::support::Scene;
use ptx::{Access, Traffic};

#[test]
fn instructions_count_for_each_thread_that_comes_to_them() {
    let mut scene = Scene { grid: 3, threads: 64, ..Scene::default() };
    let report = scene
        .run(
            "mov.u32 %r1, 0; mov.f32 %f1, 0f3F800000;
            $L_loop:
            fma.rn.f32 %f1, %f1, %f1, %f1;
            add.u32 %r1, %r1, 1;
            setp.lt.u32 %p0, %r1, 10;
            @%p0 bra $L_loop;
            setp.lt.u32 %p1, %lane, 4;
            @!%p1 bra $L_end;
            mul.f32 %f2, %f1, %f1;
            $L_end:
            // A guard is looked at by all.
            @%p1 sub.f32 %f2, %f2, %f1;",
        )
        .expect("no fault");
    let count = |mnemonic: &str| report.by_mnemonic.get(mnemonic).copied();
    let threads = 3 * 64;
    assert_eq!(count("fma.rn.f32"), Some(10 * threads));
    assert_eq!(count("add.u32"), Some(10 * threads));
    assert_eq!(count("bra"), Some(11 * threads));
    assert_eq!(count("mul.f32"), Some(3 * 2 * 4));
    assert_eq!(count("sub.f32"), Some(threads));
    assert_eq!(count("ret"), Some(threads));
    assert_eq!(count("add.f32"), None);
    assert_eq!(report.instructions(), report.by_mnemonic.values().sum::<u64>());
}

#[test]
fn special_functions_are_counted_apart() {
    let report = Scene::default()
        .run(
            "mov.f32 %f1, 0f3F800000;
            ex2.approx.ftz.f32 %f2, %f1;
            ex2.approx.ftz.f32 %f2, %f1;
            rcp.approx.ftz.f32 %f2, %f1;
            rcp.rn.f32 %f2, %f1;
            sqrt.rn.f32 %f2, %f1;
            div.rn.f32 %f2, %f1, %f1;
            // Not these.
            mul.f32 %f2, %f1, %f1;
            div.u32 %r1, %lane, 3;
            mov.b64 %g1, 0d3FF0000000000000;
            rcp.rn.f64 %g2, %g1;
            div.rn.f64 %g2, %g1, %g1;",
        )
        .expect("no fault");
    assert_eq!(report.special_functions(), 6 * 32);
}

#[test]
fn traffic_counts_bytes_and_accesses_by_size() {
    let mut scene = Scene::default();
    let out = scene.fresh(32 * 16);
    let data = scene.words(&[7; 128], Access::Read);
    scene
        .run(
            "mul.wide.u32 %x1, %lane, 16; add.u64 %x2, %x1, %buffer0; add.u64 %x3, %x1, %buffer1;
            ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%x3];
            ld.global.u16 %h1, [%x3+2];
            // All lanes at one address: read once.
            ld.global.u32 %r5, [%buffer1+4];
            setp.lt.u32 %p0, %lane, 3;
            @%p0 ld.global.u64 %x4, [%x3];
            st.global.v2.u32 [%x2], {%r1, %r2};
            st.global.u8 [%x2+8], %r3;",
        )
        .expect("no fault");
    let read = 32 * 16 + 32 * 2 + 4 + 3 * 8;
    assert_eq!(scene.memory.traffic(data), Traffic { read, written: 0, accesses: [0, 32, 32, 3, 32] });
    assert_eq!(scene.memory.traffic(out), Traffic { read: 0, written: 32 * 9, accesses: [32, 0, 0, 32, 0] });
    let all: Vec<_> = scene.memory.all_traffic().collect();
    assert_eq!(all, [("buffer0", scene.memory.traffic(out)), ("buffer1", scene.memory.traffic(data))]);
}

#[test]
fn atomic_operations_are_traffic_both_ways() {
    let mut scene = Scene::default();
    let counter = scene.words(&[0], Access::ReadWrite);
    scene.run("red.global.add.u32 [%buffer0], 1;").expect("no fault");
    let Traffic { read, written, .. } = scene.memory.traffic(counter);
    assert_eq!((read, written), (32 * 4, 32 * 4));
}

#[test]
fn writes_are_counted_for_each_byte() {
    let mut scene = Scene::default();
    let out = scene.fresh(16);
    scene
        .run(
            "setp.ne.u32 %p0, %lane, 0;
            @%p0 ret;
            st.global.u32 [%buffer0], 1;
            st.global.u16 [%buffer0+2], %lane;
            st.global.u8 [%buffer0+3], 3;
            mov.u32 %r1, 0;
            $L_loop:
            st.global.u8 [%buffer0+8], 3;
            add.u32 %r1, %r1, 1;
            setp.lt.u32 %p1, %r1, 300;
            @%p1 bra $L_loop;",
        )
        .expect("no fault");
    // Counts end at 255.
    assert_eq!(scene.memory.writes(out), [1, 1, 2, 3, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0]);
}
