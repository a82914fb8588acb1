//! Barriers of a CTA, and what they are between: shared memory of the CTA and of its cluster.

use crate::support::Scene;
use ptx::{Access, Options};

/// Runs with several seeds, that is with several orders of warps; all must leave the same.
fn in_all_orders(shape: impl Fn() -> Scene, out_words: usize, snippet: &str) -> Vec<u32> {
    let mut results = (0..20).map(|seed| {
        let mut scene = shape();
        scene.options = Options { seed, ..Options::default() };
        let out = scene.fresh(4 * out_words);
        scene.run(snippet).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        scene.read(out)
    });
    let first = results.next().expect("a seed");
    assert!(results.all(|result| result == first));
    first
}

#[test]
fn what_is_written_before_a_barrier_is_read_after_it() {
    // Each thread reads what the thread at the other end wrote, and again after a second exchange.
    for barrier in ["bar.sync 0;", "barrier.sync 0;", "barrier.sync.aligned 0;"] {
        let out = in_all_orders(
            || Scene { threads: 256, ..Scene::default() },
            256,
            &format!(
                ".shared .align 4 .b8 tile[1024];
                mov.u32 %r1, tile;
                shl.b32 %r2, %tid, 2; add.u32 %r2, %r2, %r1;
                sub.u32 %r3, 255, %tid; shl.b32 %r3, %r3, 2; add.u32 %r3, %r3, %r1;
                mul.lo.u32 %r4, %tid, 3;
                st.shared.u32 [%r2], %r4;
                {barrier}
                ld.shared.u32 %r5, [%r3];
                {barrier}
                add.u32 %r5, %r5, 1;
                st.shared.u32 [%r2], %r5;
                {barrier}
                ld.shared.u32 %r6, [%r3];
                st.global.u32 [%place], %r6;"
            ),
        );
        assert_eq!(out, (0..256).map(|thread| 3 * thread + 1).collect::<Vec<u32>>());
    }
}

#[test]
fn a_counting_barrier_counts_the_threads_of_the_cta() {
    let out = in_all_orders(
        || Scene { threads: 128, grid: 3, ..Scene::default() },
        384,
        "mul.lo.u32 %r1, %cta, 50;
        setp.lt.u32 %p0, %tid, %r1;
        bar.red.popc.u32 %r2, 0, %p0;
        bar.red.popc.u32 %r3, 0, !%p0;
        mad.lo.u32 %r2, %r2, 1000, %r3;
        st.global.u32 [%place], %r2;",
    );
    assert!(out[..128].iter().all(|&count| count == 128));
    assert!(out[128..256].iter().all(|&count| count == 50_078));
    assert!(out[256..].iter().all(|&count| count == 100_028));
}

#[test]
fn lanes_that_parted_meet_at_a_barrier() {
    let out = in_all_orders(
        || Scene { threads: 64, ..Scene::default() },
        64,
        ".shared .align 4 .b8 tile[256];
        shl.b32 %r1, %tid, 2; mov.u32 %r2, tile; add.u32 %r1, %r1, %r2;
        and.b32 %r3, %tid, 1;
        setp.eq.u32 %p0, %r3, 0;
        @%p0 bra $L_even;
        st.shared.u32 [%r1], 1;
        bra $L_meet;
        $L_even:
        st.shared.u32 [%r1], 2;
        $L_meet:
        bar.sync 0;
        xor.b32 %r4, %r1, 4;
        ld.shared.u32 %r5, [%r4];
        st.global.u32 [%place], %r5;",
    );
    assert!((0..64).all(|thread| out[thread] == if thread % 2 == 0 { 1 } else { 2 }));
}

/// The barrier of a cluster.
const CLUSTER_BARRIER: &str = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;";

#[test]
fn ctas_of_a_cluster_read_each_others_shared_memory() {
    // Each CTA adds up what all of its cluster hold.
    let sum = |wide: bool| {
        let (map, load) = if wide {
            ("mov.u64 %x1, tile; mapa.shared::cluster.u64 %x2, %x1, %r5;", "ld.shared::cluster.u32 %r6, [%x2];")
        } else {
            ("mov.u32 %r7, tile; mapa.shared::cluster.u32 %r8, %r7, %r5;", "ld.shared::cluster.u32 %r6, [%r8];")
        };
        format!(
            ".shared .align 16 .b8 tile[16];
            add.u32 %r1, %cta, 1; mul.lo.u32 %r1, %r1, %r1;
            setp.eq.u32 %p0, %tid, 0;
            @%p0 st.shared.u32 [tile], %r1;
            {CLUSTER_BARRIER}
            mov.u32 %r4, 0; mov.u32 %r5, 0; mov.u32 %r9, %cluster_nctarank;
            $L_loop:
            {map}
            {load}
            add.u32 %r4, %r4, %r6;
            add.u32 %r5, %r5, 1;
            setp.lt.u32 %p1, %r5, %r9;
            @%p1 bra $L_loop;
            {CLUSTER_BARRIER}
            st.global.u32 [%place], %r4;"
        )
    };
    for (wide, cluster) in [(true, 4), (false, 4), (true, 8), (false, 1)] {
        let shape = || Scene { grid: 8, cluster, threads: 64, ..Scene::default() };
        let out = in_all_orders(shape, 8 * 64, &sum(wide));
        for (cta, of_cta) in out.chunks(64).enumerate() {
            let first = cta as u32 / cluster * cluster;
            let expected: u32 = (first..first + cluster).map(|cta| (cta + 1) * (cta + 1)).sum();
            assert!(of_cta.iter().all(|&sum| sum == expected), "CTA {cta} of clusters of {cluster}");
        }
    }
}

#[test]
fn the_barrier_of_a_cluster_is_one_of_its_ctas_too() {
    let out = in_all_orders(
        || Scene { grid: 2, cluster: 2, threads: 64, ..Scene::default() },
        128,
        &format!(
            ".shared .align 4 .b8 tile[256];
            mov.u32 %r1, tile; shl.b32 %r2, %tid, 2; add.u32 %r3, %r1, %r2;
            st.shared.u32 [%r3], %tid;
            {CLUSTER_BARRIER}
            xor.b32 %r4, %r2, 128; add.u32 %r4, %r4, %r1;
            ld.shared.u32 %r5, [%r4];
            st.global.u32 [%place], %r5;"
        ),
    );
    assert!((0..128).all(|thread| out[thread] == (thread as u32 % 64) ^ 32));
}

#[test]
fn own_memory_may_be_read_by_a_cluster_address() {
    let mut scene = Scene { grid: 2, cluster: 2, ..Scene::default() };
    let out = scene.words(&[0; 64], Access::ReadWrite);
    scene
        .run(
            ".shared .align 4 .b8 tile[128];
            mov.u32 %r1, tile; shl.b32 %r2, %tid, 2; add.u32 %r1, %r1, %r2;
            st.shared.u32 [%r1], %tid;
            mov.u32 %r3, %cluster_ctarank;
            mapa.shared::cluster.u32 %r4, %r1, %r3;
            ld.shared::cluster.u32 %r5, [%r4];
            st.global.u32 [%place], %r5;",
        )
        .expect("no fault");
    assert!(scene.read(out).iter().enumerate().all(|(thread, &value)| value == thread as u32 % 32));
}
