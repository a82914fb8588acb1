//! Atomic operations, and the protocols that fences make of them.

use crate::support::Scene;
use ptx::{Access, Options};

#[test]
fn atomic_operations_return_what_was_there_before() {
    // One thread, so that the order is known.
    for (operation, before, operand, after) in [
        ("add.u32", 5, 7, 12),
        ("add.s32", 0, u32::MAX, u32::MAX),
        ("min.u32", 5, 7, 5),
        ("max.u32", 5, u32::MAX, u32::MAX),
        ("or.b32", 0b1100, 0b1010, 0b1110),
        ("and.b32", 0b1100, 0b1010, 0b1000),
        ("exch.b32", 5, 7, 7),
        // Counts up to the operand, then from 0.
        ("inc.u32", 5, 7, 6),
        ("inc.u32", 7, 7, 0),
        ("inc.u32", 9, 7, 0),
    ] {
        for space in ["global", "shared"] {
            let mut scene = Scene::default();
            let memory = scene.words(&[before, 99], Access::ReadWrite);
            let address = if space == "global" { "%buffer0" } else { "tile" };
            scene
                .run(&format!(
                    ".shared .align 4 .b8 tile[8];
                    setp.ne.u32 %p0, %lane, 0;
                    @%p0 ret;
                    st.shared.u32 [tile], {before};
                    atom.{space}.{operation} %r1, [{address}], {operand};
                    ld.{space}.u32 %r2, [{address}];
                    st.global.u32 [%buffer0], %r2;
                    st.global.u32 [%buffer0+4], %r1;"
                ))
                .expect("no fault");
            assert_eq!(scene.read(memory), [after, before], "atom.{space}.{operation}");
        }
    }
}

#[test]
fn each_thread_gets_a_ticket_of_its_own() {
    for seed in 0..10 {
        let mut scene =
            Scene { grid: 4, threads: 64, options: Options { seed, ..Options::default() }, ..Scene::default() };
        let out = scene.fresh(4 * 256);
        let counter = scene.words(&[0], Access::ReadWrite);
        scene.run("atom.global.add.u32 %r1, [%buffer1], 1; st.global.u32 [%place], %r1;").expect("no fault");
        let mut tickets = scene.read(out);
        tickets.sort_unstable();
        assert_eq!(tickets, (0..256).collect::<Vec<u32>>());
        assert_eq!(scene.read(counter), [256]);
    }
}

#[test]
fn reductions_return_nothing() {
    let mut scene = Scene { grid: 2, ..Scene::default() };
    let out = scene.words(&[0, u32::MAX, 0], Access::ReadWrite);
    scene
        .run(
            "add.u32 %r1, %lane, 3;
            red.global.add.u32 [%buffer0], %lane;
            red.global.min.u32 [%buffer0+4], %r1;
            red.global.max.u32 [%buffer0+8], %r1;",
        )
        .expect("no fault");
    assert_eq!(scene.read(out), [2 * 496, 3, 34]);
}

#[test]
fn a_histogram_in_shared_memory() {
    let mut scene = Scene { threads: 128, ..Scene::default() };
    let out = scene.fresh(4 * 128);
    scene
        .run(
            ".shared .align 4 .b8 tile[512];
            mov.u32 %r1, tile; shl.b32 %r2, %tid, 2; add.u32 %r2, %r2, %r1;
            st.shared.u32 [%r2], 0;
            bar.sync 0;
            and.b32 %r3, %tid, 7; shl.b32 %r3, %r3, 2; add.u32 %r3, %r3, %r1;
            atom.shared.add.u32 %r4, [%r3], 1;
            bar.sync 0;
            ld.shared.u32 %r5, [%r2];
            st.global.u32 [%place], %r5;",
        )
        .expect("no fault");
    let out = scene.read(out);
    assert!((0..128).all(|bin| out[bin] == if bin < 8 { 16 } else { 0 }), "{out:?}");
}

/// Every CTA leaves 64 numbers, and the one that draws the last ticket adds them up.
pub(crate) fn last_cta(writers_fence: &str, readers_fence: &str) -> String {
    format!(
        ".shared .align 4 .b8 drawn[4];
        mad.lo.u32 %r1, %cta, 100, %tid;
        st.global.u32 [%place], %r1;
        {writers_fence}
        bar.sync 0;
        setp.ne.u32 %p0, %tid, 0;
        @%p0 bra $L_drawn;
        atom.global.add.u32 %r2, [%buffer1], 1;
        st.shared.u32 [drawn], %r2;
        $L_drawn:
        bar.sync 0;
        ld.shared.u32 %r2, [drawn];
        mov.u32 %r3, %nctaid.x;
        sub.u32 %r4, %r3, 1;
        setp.ne.u32 %p1, %r2, %r4;
        @%p1 ret;
        {readers_fence}
        mov.u32 %r5, 0;
        mul.wide.u32 %x1, %tid, 4;
        add.u64 %x2, %x1, %buffer0;
        $L_loop:
        ld.global.u32 %r6, [%x2];
        add.u32 %r5, %r5, %r6;
        add.u64 %x2, %x2, 256;
        sub.u32 %r3, %r3, 1;
        setp.ne.u32 %p2, %r3, 0;
        @%p2 bra $L_loop;
        add.u64 %x3, %x1, %buffer2;
        st.global.u32 [%x3], %r5;"
    )
}

/// A launch for [`last_cta`]; the third buffer holds the sums.
pub(crate) fn scene_of_last_cta(seed: u64) -> Scene {
    let mut scene = Scene { grid: 7, threads: 64, options: Options { seed, ..Options::default() }, ..Scene::default() };
    scene.options.resident_clusters = 1 + seed as usize % 7;
    scene.fresh(4 * 64 * 7);
    scene.words(&[0], Access::ReadWrite);
    scene.fresh(4 * 64);
    scene
}

#[test]
fn the_last_of_several_ctas_sees_what_all_have_written() {
    for (writers, readers) in [("membar.gl;", "membar.gl;"), ("fence.acq_rel.gpu;", "fence.sc.gpu;")] {
        for seed in 0..20 {
            let mut scene = scene_of_last_cta(seed);
            scene.run(&last_cta(writers, readers)).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
            let sums = scene.read(scene.buffers[2]);
            assert!((0..64).all(|thread| sums[thread as usize] == 2100 + 7 * thread), "seed {seed}: {sums:?}");
        }
    }
}

#[test]
fn a_flag_hands_over_to_a_cta_that_waits_for_it() {
    for seed in 0..20 {
        let mut scene = Scene { grid: 2, options: Options { seed, ..Options::default() }, ..Scene::default() };
        let data = scene.words(&[0, 0], Access::ReadWrite);
        scene.words(&[0], Access::ReadWrite);
        scene
            .run(
                "setp.ne.u32 %p0, %lane, 0;
                @%p0 ret;
                setp.eq.u32 %p1, %cta, 1;
                @%p1 bra $L_wait;
                st.global.u32 [%buffer0], 42;
                fence.acq_rel.gpu;
                atom.global.exch.b32 %r1, [%buffer1], 1;
                ret;
                $L_wait:
                atom.global.or.b32 %r1, [%buffer1], 0;
                setp.eq.u32 %p2, %r1, 0;
                @%p2 bra $L_wait;
                fence.acq_rel.gpu;
                ld.global.u32 %r2, [%buffer0];
                st.global.u32 [%buffer0+4], %r2;",
            )
            .unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        assert_eq!(scene.read(data), [42, 42]);
    }
}

#[test]
fn the_next_launch_sees_all() {
    let mut scene = Scene { grid: 2, ..Scene::default() };
    let out = scene.fresh(256);
    scene.run("st.global.u32 [%place], %cta;").expect("no fault");
    // Each CTA reads what the other wrote.
    let snippet = "xor.b32 %r1, %cta, 1; mad.lo.u32 %r1, %r1, 32, %lane; mul.wide.u32 %x1, %r1, 4;
        add.u64 %x1, %x1, %buffer0; ld.global.u32 %r2, [%x1]; bar.sync 0;";
    scene.run(snippet).expect("no fault");
    assert_eq!(scene.read(out)[32], 1);
}
