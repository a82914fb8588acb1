//! Faults: each kind, by what a kernel must not do.

use crate::atomics::{last_cta, scene_of_last_cta};
use crate::support::Scene;
use ptx::{Access, Fault, FaultKind, Launch, Memory, Module, Options, launch};

/// One warp with a buffer of 32 words to read and write, and one of a word that is only read.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.words(&[0; 32], Access::ReadWrite);
    scene.words(&[7], Access::Read);
    scene
}

/// Only the first thread of the CTA goes on.
const ONE_THREAD: &str = "setp.ne.u32 %p0, %tid, 0; @%p0 ret;";

/// A snippet for one thread.
fn one(snippet: &str) -> String {
    format!("{ONE_THREAD} {snippet}")
}

/// The faults of several orders of warps.
fn in_all_orders(shape: impl Fn() -> Scene, snippet: &str) -> impl Iterator<Item = Fault> {
    (0..20).map(move |seed| {
        let mut scene = shape();
        scene.options = Options { seed, ..scene.options };
        scene.fault(snippet)
    })
}

#[test]
fn a_fault_tells_who_and_where() {
    let mut scene = Scene { grid: 3, threads: 64, ..Scene::default() };
    scene.words(&[0; 3 * 64 - 1], Access::ReadWrite);
    let snippet = "\n\n// The last thread has no place.\nst.global.u32\n[%place],\n%tid;";
    let line = scene.text(snippet).lines().position(|line| line.starts_with("%tid;")).expect("a line") + 1;
    let fault = scene.fault(snippet);
    assert_eq!((fault.cta, fault.line, fault.text.as_str()), (2, line, "st.global.u32 [%place], %tid"));
    let kind = FaultKind::OutOfBounds { place: "buffer0".to_owned(), offset: 4 * 191, bytes: 4 };
    assert_eq!(fault.kind, kind);
    let message = fault.to_string();
    assert!(message.contains("out of bounds: 4 bytes at byte 764 of buffer0 (CTA 2, thread "), "{message}");
}

#[test]
fn out_of_bounds() {
    for (access, offset, bytes) in [
        ("ld.global.u32 %r1, [%buffer0+128];", 128, 4),
        ("ld.global.u32 %r1, [%buffer0+-4];", -4, 4),
        ("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%buffer0+120];", 120, 16),
        ("st.global.u8 [%buffer0+128], 0;", 128, 1),
        ("atom.global.add.u32 %r1, [%buffer0+128], 1;", 128, 4),
    ] {
        let place = "buffer0".to_owned();
        assert_eq!(scene().kind(&one(access)), FaultKind::OutOfBounds { place, offset, bytes }, "{access}");
    }
    // Nowhere at all.
    let kind = scene().kind(&one("ld.global.u32 %r1, [64];"));
    assert_eq!(kind, FaultKind::OutOfBounds { place: "nothing".to_owned(), offset: 64, bytes: 4 });
    let tile = ".shared .align 4 .b8 tile[16]; mov.u32 %r1, tile; mov.u32 %r2, 0;";
    for (access, offset) in [
        ("st.shared.u32 [%r1+16], 0;", 16),
        ("ld.shared.u32 %r3, [%r1+100];", 100),
        ("ld.shared.u32 %r3, [%r2+-4];", -4),
        ("atom.shared.add.u32 %r3, [%r1+16], 1;", 16),
    ] {
        let kind = scene().kind(&one(&format!("{tile} {access}")));
        assert_eq!(kind, FaultKind::OutOfBounds { place: "shared memory".to_owned(), offset, bytes: 4 }, "{access}");
    }
    let kind = scene().kind("ld.param.u64 %x1, [parameter1+8];");
    assert_eq!(kind, FaultKind::OutOfBounds { place: "the parameters".to_owned(), offset: 16, bytes: 8 });
}

#[test]
fn misaligned() {
    for (access, offset, bytes) in [
        ("ld.global.u32 %r1, [%buffer0+2];", 2, 4),
        ("ld.global.u16 %h1, [%buffer0+1];", 1, 2),
        ("ld.global.v2.u32 {%r1, %r2}, [%buffer0+4];", 4, 8),
        ("st.global.v4.u32 [%buffer0+8], {0, 0, 0, 0};", 8, 16),
        ("red.global.add.u32 [%buffer0+1], 1;", 1, 4),
    ] {
        let place = "buffer0".to_owned();
        assert_eq!(scene().kind(&one(access)), FaultKind::Misaligned { place, offset, bytes }, "{access}");
    }
    let kind = scene().kind(&one(".shared .align 8 .b8 tile[16]; st.shared.v2.u32 [tile+4], {0, 0};"));
    assert_eq!(kind, FaultKind::Misaligned { place: "shared memory".to_owned(), offset: 4, bytes: 8 });
}

#[test]
fn forbidden() {
    let kind = |access: Access, snippet: &str| {
        let mut scene = Scene::default();
        scene.words(&[0; 32], access);
        scene.run(snippet).map_err(|fault| fault.kind)
    };
    let forbidden = FaultKind::Forbidden { place: "buffer0".to_owned() };
    assert_eq!(kind(Access::Read, "st.global.u32 [%place], 1;"), Err(forbidden.clone()));
    assert_eq!(kind(Access::Read, "red.global.add.u32 [%place], 1;"), Err(forbidden.clone()));
    assert_eq!(kind(Access::Write, "ld.global.u32 %r1, [%place];"), Err(forbidden.clone()));
    assert_eq!(kind(Access::Write, "red.global.add.u32 [%place], 1;"), Err(forbidden));
    assert!(kind(Access::Read, "ld.global.u32 %r1, [%place];").is_ok());
    assert!(kind(Access::Write, "st.global.u32 [%place], 1;").is_ok());
    let kind = scene().kind("st.param.u64 [parameter0], 1;");
    assert!(matches!(kind, FaultKind::Forbidden { .. }));
}

#[test]
fn uninitialised() {
    let mut scene = Scene::default();
    scene.fresh(128);
    let kind = |offset, bytes| FaultKind::Uninitialised { place: "buffer0".to_owned(), offset, bytes };
    assert_eq!(scene.kind(&one("ld.global.u32 %r1, [%buffer0+8];")), kind(8, 4));
    assert_eq!(scene.kind(&one("atom.global.add.u32 %r1, [%buffer0+8], 1;")), kind(8, 4));
    // Of four bytes, three are there.
    let snippet = "st.global.u16 [%buffer0], %lane; st.global.u8 [%buffer0+2], 0; ld.global.u32 %r1, [%buffer0];";
    assert_eq!(scene.kind(&one(snippet)), kind(0, 4));
    let kind = |offset, bytes| FaultKind::Uninitialised { place: "shared memory".to_owned(), offset, bytes };
    let tile = ".shared .align 16 .b8 tile[32];";
    for (access, expected) in [
        ("ld.shared.u32 %r1, [tile+4];", kind(4, 4)),
        ("ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [tile+16];", kind(16, 16)),
        ("atom.shared.add.u32 %r1, [tile], 1;", kind(0, 4)),
    ] {
        let snippet = format!("{tile} st.shared.u32 [tile+8], 1; {access}");
        assert_eq!(Scene::default().kind(&one(&snippet)), expected, "{access}");
    }
}

#[test]
fn unwritten_registers() {
    for snippet in [
        "add.u32 %r1, %r2, 1;",
        "add.u64 %x1, %x2, 1;",
        "fma.rn.f32 %f1, 0f00000000, 0f00000000, %f2;",
        "st.global.u32 [%place], %r1;",
        "ld.global.u32 %r1, [%x9];",
        "selp.u32 %r1, 1, 2, %p5;",
        "and.pred %p1, %p1, %p2;",
        "@%p3 mov.u32 %r1, 0;",
        "vote.sync.ballot.b32 %r1, %p1, -1;",
        "shfl.sync.bfly.b32 %r1|%p0, %r2, 1, 31, -1;",
        // Written in some lanes, read in others too.
        "setp.lt.u32 %p0, %lane, 31; @%p0 mov.u32 %r1, 1; add.u32 %r1, %r1, 1;",
    ] {
        assert_eq!(scene().kind(snippet), FaultKind::UnwrittenRegister, "{snippet}");
    }
    scene()
        .run("setp.lt.u32 %p0, %lane, 31; @%p0 mov.u32 %r1, 1; @%p0 add.u32 %r1, %r1, 1;")
        .expect("only read where it was written");
}

#[test]
fn races_of_two_writes() {
    let shape = || Scene { threads: 64, ..Scene::default() };
    let tile = ".shared .align 4 .b8 tile[4];";
    for fault in in_all_orders(shape, &format!("{tile} st.shared.u32 [tile], 1;")) {
        assert!(matches!(fault.kind, FaultKind::Race { offset: 0, .. }), "{fault}");
    }
    // Threads 0 and 32, of different warps.
    let snippet = format!("{tile} setp.eq.u32 %p0, %lane, 0; @%p0 st.shared.u32 [tile], %tid;");
    for fault in in_all_orders(shape, &snippet) {
        let FaultKind::Race { other, .. } = &fault.kind else { panic!("{fault}") };
        assert_eq!(fault.thread + other.parse::<u32>().expect("a thread"), 32);
    }
    // A barrier in between, and the thread itself, make none.
    let snippet = format!(
        "{tile} setp.eq.u32 %p0, %tid, 0; setp.eq.u32 %p1, %tid, 40;
        @%p0 st.shared.u32 [tile], 1;
        @%p0 st.shared.u32 [tile], 2;
        bar.sync 0;
        @%p1 st.shared.u32 [tile], 3;"
    );
    shape().run(&snippet).expect("no race");
}

#[test]
fn races_of_a_write_and_a_read() {
    let shape = || Scene { threads: 64, ..Scene::default() };
    let snippet = |first: &str, second: &str| {
        format!(
            ".shared .align 4 .b8 tile[4];
            setp.eq.u32 %p0, %tid, 0; setp.eq.u32 %p1, %tid, 33;
            @%p0 st.shared.u32 [tile], 1;
            {first}
            @%p1 ld.shared.u32 %r1, [tile];
            {second}
            @%p0 st.shared.u32 [tile], 2;"
        )
    };
    shape().run(&snippet("bar.sync 0;", "bar.sync 0;")).expect("no race");
    // Reading too late, while the next is being written.
    for fault in in_all_orders(shape, &snippet("bar.sync 0;", "")) {
        let FaultKind::Race { other, .. } = &fault.kind else { panic!("{fault}") };
        assert_eq!(fault.thread + other.parse::<u32>().expect("a thread"), 33);
    }
    // Reading too early: before the write it is uninitialised, after it a race.
    for fault in in_all_orders(shape, &snippet("", "bar.sync 0;")) {
        assert!(matches!(fault.kind, FaultKind::Race { .. } | FaultKind::Uninitialised { .. }), "{fault}");
    }
    // What several threads have read.
    let snippet = "
        .shared .align 4 .b8 tile[4];
        setp.eq.u32 %p0, %tid, 0;
        @%p0 st.shared.u32 [tile], 1;
        bar.sync 0;
        ld.shared.u32 %r1, [tile];
        @%p0 st.shared.u32 [tile], 2;";
    for fault in in_all_orders(shape, snippet) {
        assert!(matches!(fault.kind, FaultKind::Race { offset: 0, .. }), "{fault}");
    }
}

const CLUSTER_BARRIER: &str = "barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;";

/// CTA 1 of a cluster writes, CTA 0 reads, CTA 1 writes again, with something in between each time, and at the end.
fn across_a_cluster(first: &str, second: &str, end: &str) -> String {
    format!(
        ".shared .align 4 .b8 tile[4];
        mov.u32 %r1, tile; mapa.shared::cluster.u32 %r2, %r1, 1;
        mov.u32 %r3, %cluster_ctarank;
        setp.eq.u32 %p0, %r3, 1; setp.eq.u32 %p1, %tid, 0; and.pred %p0, %p0, %p1;
        setp.eq.u32 %p2, %r3, 0;
        @%p0 st.shared.u32 [%r1], 5;
        {first}
        @%p2 ld.shared::cluster.u32 %r4, [%r2];
        {second}
        @%p0 st.shared.u32 [%r1], 6;
        {end}"
    )
}

#[test]
fn races_across_a_cluster() {
    let shape = || Scene { grid: 2, cluster: 2, threads: 64, ..Scene::default() };
    let barrier = CLUSTER_BARRIER;
    for seed in 0..20 {
        let mut scene = shape();
        scene.options.seed = seed;
        scene.run(&across_a_cluster(barrier, barrier, barrier)).expect("no race");
    }
    for fault in in_all_orders(shape, &across_a_cluster(barrier, "", barrier)) {
        assert!(matches!(fault.kind, FaultKind::Race { .. }), "{fault}");
    }
    // A barrier of each CTA alone orders nothing between them.
    for fault in in_all_orders(shape, &across_a_cluster(barrier, "bar.sync 0;", barrier)) {
        assert!(matches!(fault.kind, FaultKind::Race { .. }), "{fault}");
    }
    for fault in in_all_orders(shape, &across_a_cluster("bar.sync 0;", barrier, barrier)) {
        assert!(matches!(fault.kind, FaultKind::Race { .. } | FaultKind::Uninitialised { .. }), "{fault}");
    }
}

#[test]
fn shared_memory_that_is_gone() {
    let shape = || Scene { grid: 2, cluster: 2, ..Scene::default() };
    // No such CTA.
    let kind = shape().kind(".shared .align 4 .b8 tile[4]; mov.u32 %r1, tile; mapa.shared::cluster.u32 %r2, %r1, 2;");
    assert_eq!(kind, FaultKind::Gone { rank: 2 });
    // CTA 1 ends without waiting for its reader, who reads long after.
    let snippet = format!(
        ".shared .align 4 .b8 tile[4];
        setp.eq.u32 %p0, %lane, 0;
        @%p0 st.shared.u32 [tile], 1;
        {CLUSTER_BARRIER}
        mov.u32 %r1, %cluster_ctarank;
        setp.eq.u32 %p1, %r1, 1;
        @%p1 ret;
        mov.u32 %r2, 0;
        $L_wait:
        add.u32 %r2, %r2, 1;
        setp.lt.u32 %p2, %r2, 100000;
        @%p2 bra $L_wait;
        mov.u32 %r3, tile; mapa.shared::cluster.u32 %r4, %r3, 1;
        ld.shared::cluster.u32 %r5, [%r4];"
    );
    for fault in in_all_orders(shape, &snippet) {
        assert_eq!((fault.kind, fault.cta), (FaultKind::Gone { rank: 1 }, 0));
    }
}

#[test]
fn shared_memory_that_may_be_gone() {
    let shape = || Scene { grid: 2, cluster: 2, ..Scene::default() };
    // Both read the other's memory and end: whoever comes first, nothing makes it wait for the other's read.
    let snippet = |end: &str| {
        format!(
            ".shared .align 4 .b8 tile[4];
            setp.eq.u32 %p0, %lane, 0;
            @%p0 st.shared.u32 [tile], 1;
            {CLUSTER_BARRIER}
            mov.u32 %r1, %cluster_ctarank; xor.b32 %r1, %r1, 1;
            mov.u32 %r3, tile; mapa.shared::cluster.u32 %r4, %r3, %r1;
            ld.shared::cluster.u32 %r5, [%r4];
            {end}"
        )
    };
    for fault in in_all_orders(shape, &snippet("")) {
        assert!(matches!(fault.kind, FaultKind::LeftEarly | FaultKind::Gone { .. }), "{fault}");
    }
    shape().run(&snippet(CLUSTER_BARRIER)).unwrap();
}

#[test]
fn not_visible() {
    // The reader of the last ticket finds the fences missing, whatever the order.
    let fence = "fence.acq_rel.gpu;";
    for (writers, readers, expected) in [
        ("", fence, "the writer's"),
        (fence, "", "the reader's"),
        ("", "", "the writer's"),
        // Fences of a scope that is too small.
        ("membar.cta;", fence, "the writer's"),
        (fence, "fence.acq_rel.cta;", "the reader's"),
        ("fence.acq_rel.cluster;", "membar.gl;", "the writer's"),
    ] {
        for seed in 0..20 {
            let fault = scene_of_last_cta(seed).fault(&last_cta(writers, readers));
            let FaultKind::NotVisible { place, missing, writer, .. } = &fault.kind else { panic!("{fault}") };
            assert_eq!((place.as_str(), *missing), ("buffer0", expected));
            assert_ne!(*writer, fault.cta);
        }
    }
}

#[test]
fn divergent_shuffles_and_votes() {
    let missing = |snippet: &str| {
        let kinds: Vec<_> = in_all_orders(scene, snippet).map(|fault| fault.kind).collect();
        assert!(kinds.iter().all(|kind| *kind == kinds[0]), "{kinds:?}");
        let FaultKind::Divergent { missing } = kinds[0] else { panic!("{:?}", kinds[0]) };
        missing
    };
    let shuffle = "shfl.sync.bfly.b32 %r1|%p1, %lane, 1, 31, -1;";
    // Lanes that have ended, before it or while they are waited for.
    assert_eq!(missing(&format!("setp.ge.u32 %p0, %lane, 16; @%p0 ret; {shuffle}")), 0xffff_0000);
    let vote = "setp.ge.u32 %p0, %lane, 28; @%p0 ret; vote.sync.any.pred %p1, %p0, -1;";
    assert_eq!(missing(vote), 0xf000_0000);
    let waited_for = "setp.ge.u32 %p0, %lane, 16; @%p0 bra $L_end; SHUFFLE ret; $L_end: ret;";
    assert_eq!(missing(&waited_for.replace("SHUFFLE", shuffle)), 0xffff_0000);
    // Lanes that go by another shuffle.
    let elsewhere = format!("setp.ge.u32 %p0, %lane, 16; @%p0 bra $L_else; {shuffle} ret; $L_else: {shuffle}");
    assert!(matches!(scene().kind(&elsewhere), FaultKind::Divergent { .. }));
    // Lanes that a guard leaves out.
    let guarded = format!("setp.lt.u32 %p0, %lane, 16; @%p0 {shuffle}");
    assert!(matches!(scene().kind(&guarded), FaultKind::Divergent { .. }));
    // A lane that is not a member, and members that do not agree.
    assert_eq!(missing("shfl.sync.bfly.b32 %r1|%p1, %lane, 1, 31, 0x7fffffff;"), 0x8000_0000);
    let kind = scene().kind("setp.eq.u32 %p0, %lane, 0; selp.b32 %r1, 1, -1, %p0; vote.sync.any.pred %p1, %p0, %r1;");
    assert!(matches!(kind, FaultKind::Divergent { .. }));
}

#[test]
fn divergent_barriers() {
    for snippet in [
        // In two branches, which is not the same barrier.
        "setp.ge.u32 %p0, %lane, 16; @%p0 bra $L_else; bar.sync 0; bra $L_end; $L_else: bar.sync 0; $L_end:",
        "setp.ge.u32 %p0, %lane, 16; @%p0 bar.sync 0;",
        "setp.ge.u32 %p0, %lane, 16; @%p0 bar.red.popc.u32 %r1, 0, %p0;",
        "setp.ge.u32 %p0, %lane, 16; @%p0 barrier.cluster.arrive.release.aligned;",
    ] {
        for fault in in_all_orders(|| Scene { threads: 64, ..Scene::default() }, snippet) {
            assert!(matches!(fault.kind, FaultKind::Divergent { .. }), "{fault}");
        }
    }
}

#[test]
fn abandoned_barriers() {
    let shape = || Scene { threads: 64, ..Scene::default() };
    for snippet in [
        // A warp that has ended, and some lanes of a warp that have.
        "setp.ge.u32 %p0, %tid, 32; @%p0 ret; bar.sync 0;",
        "setp.ge.u32 %p0, %tid, 50; @%p0 ret; bar.sync 0;",
        "setp.ge.u32 %p0, %tid, 50; @%p0 bra $L_end; bar.sync 0; $L_end: ret;",
        "setp.ge.u32 %p0, %tid, 32; @%p0 ret; bar.red.popc.u32 %r1, 0, %p0;",
    ] {
        for fault in in_all_orders(shape, snippet) {
            assert_eq!(fault.kind, FaultKind::Abandoned, "{fault}");
        }
    }
    // A CTA of a cluster that does not come.
    let snippet = format!("mov.u32 %r1, %cluster_ctarank; setp.eq.u32 %p0, %r1, 1; @%p0 ret; {CLUSTER_BARRIER}");
    for fault in in_all_orders(|| Scene { grid: 2, cluster: 2, ..Scene::default() }, &snippet) {
        assert_eq!(fault.kind, FaultKind::Abandoned, "{fault}");
    }
}

#[test]
fn deadlock() {
    // One warp waits for its CTA, the other for the cluster.
    let snippet = format!(
        "setp.ge.u32 %p0, %tid, 32; @%p0 bra $L_cluster; bar.sync 0; {CLUSTER_BARRIER} ret;
        $L_cluster: {CLUSTER_BARRIER} bar.sync 0;"
    );
    for fault in in_all_orders(|| Scene { threads: 64, ..Scene::default() }, &snippet) {
        assert_eq!(fault.kind, FaultKind::Deadlock, "{fault}");
    }
}

#[test]
fn too_long() {
    let mut scene = Scene { options: Options { limit: 1000, ..Options::default() }, ..Scene::default() };
    assert_eq!(scene.kind("$L_loop: bra $L_loop;"), FaultKind::TooLong);
    // A CTA that waits for one that does not run at the same time.
    let options = Options { limit: 100_000, resident_clusters: 1, ..Options::default() };
    let mut scene = Scene { grid: 2, options, ..Scene::default() };
    scene.words(&[0], Access::ReadWrite);
    let snippet = "atom.global.inc.u32 %r1, [%buffer0], 1000;
        $L_loop: atom.global.or.b32 %r1, [%buffer0], 0; setp.lt.u32 %p0, %r1, 64; @%p0 bra $L_loop;";
    let fault = scene.fault(snippet);
    assert_eq!((fault.kind, fault.cta), (FaultKind::TooLong, 0));
    let options = Options { resident_clusters: 2, ..options };
    let mut scene = Scene { grid: 2, options, ..Scene::default() };
    scene.words(&[0], Access::ReadWrite);
    scene.run(snippet).expect("both run");
}

#[test]
fn refused_launches() {
    let module = Module::parse(".visible .entry snippet(.param .u64 one) { ret; }").expect("a module");
    let kernel = module.kernel("snippet").expect("the kernel");
    let parameters = [0; 8];
    let shape = Launch { grid: 8, threads: 32, cluster: 1, dynamic_shared_bytes: 0, parameters: &parameters };
    let run = |shape: Launch<'_>| launch(kernel, &shape, &mut Memory::new(), &Options::default());
    assert!(run(shape).is_ok());
    assert!(run(Launch { threads: 1024, cluster: 8, ..shape }).is_ok());
    for (refused, reason) in [
        (Launch { threads: 0, ..shape }, "0 threads"),
        (Launch { threads: 48, ..shape }, "48 threads"),
        (Launch { threads: 1056, ..shape }, "1056 threads"),
        (Launch { grid: 0, ..shape }, "0 CTAs in clusters of 1"),
        (Launch { cluster: 0, ..shape }, "8 CTAs in clusters of 0"),
        (Launch { cluster: 3, ..shape }, "8 CTAs in clusters of 3"),
        (Launch { grid: 16, cluster: 16, ..shape }, "16 CTAs in clusters of 16"),
        (Launch { parameters: &parameters[..4], ..shape }, "4 bytes of parameters instead of 8"),
    ] {
        let fault = run(refused).expect_err(reason);
        assert_eq!(fault.kind, FaultKind::Refused { reason: reason.to_owned() });
    }
    assert_eq!(Scene::default().kind("trap;"), FaultKind::Refused { reason: "trap".to_owned() });
}

#[test]
fn what_is_not_known_is_named_with_its_line() {
    let error = |statement: &str| {
        let text = format!(".visible .entry snippet()\n{{\n.reg .b32 %r<4>;\n// Here:\n\n{statement}\nret;\n}}\n");
        let error = Module::parse(&text).err().expect(statement);
        assert_eq!(error.line, 6, "{error}");
        error
    };
    let unknown = error("sad.u32 %r1, %r2, %r3, %r1;");
    assert_eq!(
        (unknown.problem.as_str(), unknown.text.as_str()),
        ("unknown instruction sad.u32", "sad.u32 %r1, %r2, %r3, %r1")
    );
    assert_eq!(unknown.to_string(), "PTX line 6: unknown instruction sad.u32: sad.u32 %r1, %r2, %r3, %r1");
    for (statement, problem) in [
        ("fma.rz.f32 %r1, %r2, %r3, %r1;", "unknown instruction fma.rz.f32"),
        ("cvt.rz.f32.f64 %r1, %r2;", "unknown instruction cvt.rz.f32.f64"),
        ("ld.local.u32 %r1, [%r2];", "unknown instruction ld or st .local.u32"),
        ("st.local.u32 [%r2], %r1;", "unknown instruction ld or st .local.u32"),
        ("ld.volatile.global.u32 %r1, [%r2];", "unknown instruction ld or st .volatile.global.u32"),
        (".local .align 4 .b8 stack[16];", "unknown declaration"),
        ("bar.sync 1;", "unknown instruction a barrier other than 0"),
        ("fence.proxy.async;", "unknown instruction fence.proxy.async"),
        ("vote.sync.uni.pred %r1, %r1, -1;", "unknown instruction vote.sync.uni.pred"),
        ("mov.u32 %r1, %clock;", "unknown register %clock"),
        ("mov.u32 %r1, %r4;", "unknown register %r4"),
        ("add.u32 %r1, %r2, something;", "unknown operand something"),
        ("bra $L_nowhere;", "unknown label $L_nowhere"),
        ("@%p1 bra $L_nowhere;", "%p1 is no predicate"),
        ("ld.global.u32 %r1, %r2;", "%r2 is no address"),
        (".reg .f16 %h1;", "unknown register type .f16"),
    ] {
        assert_eq!(error(statement).problem, problem, "{statement}");
    }
    let function = Module::parse("\n.func helper() { ret; }").err().expect("functions are not known");
    assert_eq!((function.line, function.problem.as_str()), (2, "functions that are called are not supported"));
}
