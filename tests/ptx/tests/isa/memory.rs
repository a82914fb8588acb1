//! Memory: vectors, parts of words, parameters, shared variables, and what is refused.

use crate::support::{Scene, lanes};
use ptx::{Access, Module};

#[test]
fn vectors_are_consecutive_elements() {
    let mut scene = Scene::default();
    let out = scene.fresh(32 * 16);
    let words: Vec<u32> = (0..128).map(|word| 1000 + word).collect();
    scene.words(&words, Access::Read);
    scene
        .run(
            "mul.wide.u32 %x1, %lane, 16;
            add.u64 %x2, %buffer0, %x1;
            add.u64 %x3, %buffer1, %x1;
            ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%x3];
            st.global.v2.u32 [%x2+8], {%r2, %r1};
            ld.global.nc.L1::no_allocate.v2.u64 {%x4, %x5}, [%x3];
            st.global.u64 [%x2], %x5;",
        )
        .expect("no fault");
    let out = scene.read(out);
    for lane in 0..32u32 {
        let first = 1000 + 4 * lane;
        let expected = [first + 2, first + 3, first + 1, first];
        assert_eq!(out[4 * lane as usize..][..4], expected, "lane {lane}");
    }
}

#[test]
fn parts_of_words_are_extended_by_their_sign_or_by_zeros() {
    // Little-endian: byte 0 is 0x83, half 1 is 0x9234.
    for (load, expected) in [
        ("ld.global.u8 %r1, [%buffer1];", 0x83),
        ("ld.global.s8 %r1, [%buffer1];", 0xffff_ff83),
        ("ld.global.s8 %r1, [%buffer1+1];", 0x12),
        ("ld.global.b8 %r1, [%buffer1+3];", 0x92),
        ("ld.global.u16 %r1, [%buffer1+2];", 0x9234),
        ("ld.global.s16 %r1, [%buffer1+2];", 0xffff_9234),
        (
            "add.u64 %x1, %buffer1, 4; ld.global.s32 %x2, [%x1+-4]; shr.s64 %x2, %x2, 16; cvt.u32.u64 %r1, %x2;",
            0xffff_9234,
        ),
        ("ld.global.u32 %x2, [%buffer1]; shr.u64 %x2, %x2, 16; cvt.u32.u64 %r1, %x2;", 0x9234),
        ("ld.global.b16 %h1, [%buffer1]; cvt.u32.u16 %r1, %h1;", 0x1283),
        ("ld.global.s8 %h1, [%buffer1]; cvt.u32.u16 %r1, %h1;", 0xff83),
    ] {
        let mut scene = Scene::default();
        let out = scene.fresh(128);
        scene.words(&[0x9234_1283], Access::Read);
        scene.run(&format!("{load} st.global.u32 [%place], %r1;")).expect(load);
        assert_eq!(scene.read(out)[0], expected, "{load}");
    }
}

#[test]
fn stores_take_the_lower_bits() {
    let mut scene = Scene::default();
    let out = scene.words(&[0; 4], Access::ReadWrite);
    scene
        .run(
            "setp.ne.u32 %p0, %lane, 0;
            @%p0 ret;
            mov.u32 %r1, 0x12345678;
            st.global.u8 [%buffer0+1], %r1;
            cvt.u16.u32 %h0, %r1;
            st.global.u16 [%buffer0+4], %h0;
            st.global.v2.u8 [%buffer0+6], {%r1, %r1};
            mov.b64 %x1, {%r1, %r1};
            st.global.u32 [%buffer0+8], %x1;
            st.global.u8 [%buffer0+15], 255;",
        )
        .expect("no fault");
    assert_eq!(scene.read(out), [0x7800, 0x7878_5678, 0x1234_5678, 0xff00_0000]);
}

#[test]
fn each_lane_has_its_own_address() {
    // A permutation by scattering: lane i writes to place 5 i modulo 32.
    let mut scene = Scene::default();
    let out = scene.fresh(128);
    scene
        .run(
            "mul.lo.u32 %r1, %lane, 5; and.b32 %r1, %r1, 31;
            mul.wide.u32 %x1, %r1, 4; add.u64 %x1, %x1, %buffer0;
            st.global.u32 [%x1], %lane;",
        )
        .expect("no fault");
    let out = scene.read(out);
    assert!((0..32).all(|lane| out[5 * lane % 32] == lane as u32), "{out:?}");
}

#[test]
fn parameters_are_laid_out_by_their_alignment() {
    let text = "
        .version 8.0
        .target sm_90
        .address_size 64
        .visible .entry snippet(
            .param .u64 first,
            .param .u8 second,
            .param .u32 third,
            .param .align 8 .b8 fourth[12],
            .param .f32 fifth
        )
        .maxntid 32, 1, 1
        { ret; }";
    let module = Module::parse(text).expect("a module");
    let kernel = module.kernel("snippet").expect("the kernel");
    // 0 to 8, 8, 12 to 16, 16 to 28, 28 to 32.
    assert_eq!((kernel.parameter_bytes, kernel.name.as_str()), (32, "snippet"));
    assert_eq!(kernel.mnemonics().collect::<Vec<_>>(), ["ret"]);
    assert!(module.kernel("another").is_none());

    let mut scene = Scene::default();
    let out = scene.fresh(256);
    let wanted = scene.memory.address(out);
    let text = "
        .visible .entry snippet(.param .align 8 .b8 all[8])
        {
        .reg .b32 %r<4>; .reg .b64 %x<4>;
        ld.param.u64 %x1, [all];
        ld.param.v2.u32 {%r1, %r2}, [all];
        mov.u32 %r3, %tid.x;
        mul.wide.u32 %x2, %r3, 8;
        add.s64 %x2, %x2, %x1;
        st.global.v2.u32 [%x2], {%r1, %r2};
        ret;
        }";
    scene.run_text(text).expect("no fault");
    assert_eq!(scene.read(out)[..2], [wanted as u32, (wanted >> 32) as u32]);
}

#[test]
fn shared_variables_have_their_own_places_and_dynamic_memory_follows() {
    let mut scene = Scene { shared: 128, ..Scene::default() };
    let out = scene.fresh(128);
    scene
        .run(
            ".shared .align 4 .b8 first[20];
            .shared .align 16 .b8 second[144];
            mov.u32 %r1, second;
            mov.u64 %x1, dynamic;
            cvt.u32.u64 %r2, %x1;
            // Each lane in its own word of each.
            shl.b32 %r3, %lane, 2;
            add.u32 %r4, %r1, %r3;
            add.u32 %r5, %r2, %r3;
            st.shared.u32 [%r4+16], %lane;
            st.shared.f32 [%r5], 0f3F800000;
            setp.eq.u32 %p0, %lane, 0;
            @%p0 st.shared.u32 [first+16], 5;
            ld.shared.u32 %r6, [%r4+16];
            ld.shared.u32 %r7, [%r5];
            sub.u32 %r8, %r2, %r1;
            add.u32 %r6, %r6, %r8;
            xor.b32 %r6, %r6, %r7;
            st.global.u32 [%place], %r6;",
        )
        .expect("no fault");
    let one = 1.0f32.to_bits();
    assert_eq!(scene.read(out).to_vec(), (0..32).map(|lane| (lane + 144) ^ one).collect::<Vec<u32>>());
}

#[test]
fn a_vector_may_be_read_for_the_sake_of_its_written_words() {
    let written = ".shared .align 16 .b8 tile[16];
        setp.ne.u32 %p0, %lane, 0;
        @%p0 ret;
        st.shared.v2.u32 [tile], {7, 8};
        st.shared.u32 [tile+8], 9;
        ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [tile];
        add.u32 %r1, %r1, %r2; add.u32 %r1, %r1, %r3;";
    let mut scene = Scene::default();
    let out = scene.words(&[0], Access::ReadWrite);
    scene.run(&format!("{written} st.global.u32 [%buffer0], %r1;")).expect("no fault");
    assert_eq!(scene.read(out), [24]);
    // But the fourth is as if its register had never been written.
    let kind = scene.kind(&format!("{written} st.global.u32 [%buffer0], %r4;"));
    assert_eq!(kind, ptx::FaultKind::UnwrittenRegister);
}

#[test]
fn special_registers_tell_who_a_thread_is() {
    assert_eq!(lanes("mov.u32 %d, %laneid;").to_vec(), (0..32).collect::<Vec<u32>>());
    let mut scene = Scene { grid: 6, threads: 64, cluster: 2, ..Scene::default() };
    let out = scene.fresh(4 * 6 * 64);
    scene
        .run(
            "mov.u32 %r1, %tid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %ctaid.x; mov.u32 %r4, %nctaid.x;
            mov.u32 %r5, %cluster_ctarank; mov.u32 %r6, %cluster_nctarank; mov.u32 %r7, %clusterid.x;
            mov.u32 %r8, %nclusterid.x; mov.u32 %r9, %tid.y;
            // One decimal digit, or two, for each.
            mad.lo.u32 %d, %r3, 10, %r4; mad.lo.u32 %d, %d, 10, %r5; mad.lo.u32 %d, %d, 10, %r6;
            mad.lo.u32 %d, %d, 10, %r7; mad.lo.u32 %d, %d, 10, %r8; mad.lo.u32 %d, %d, 10, %r9;
            mad.lo.u32 %d, %d, 100, %r1; mad.lo.u32 %d, %d, 100, %r2;
            st.global.u32 [%place], %d;",
        )
        .expect("no fault");
    let out = scene.read(out);
    for (cta, of_cta) in out.chunks(64).enumerate() {
        for (thread, &value) in of_cta.iter().enumerate() {
            let digits = format!("{cta}6{}2{}30{thread:02}64", cta % 2, cta / 2);
            assert_eq!(value, (digits.parse::<u64>().expect("a number")) as u32, "CTA {cta}, thread {thread}");
        }
    }
}

#[test]
fn buffers_may_begin_at_odd_multiples() {
    let mut scene = Scene::default();
    let bytes: Vec<u8> = (0..=255).collect();
    let buffer = scene.memory.allocate("data", &bytes, Access::Read, 4);
    scene.buffers.push(buffer);
    assert_eq!(scene.memory.address(buffer) % 16, 4);
    scene.run("ld.global.u32 %r1, [%buffer0]; ld.global.u64 %x1, [%buffer0+4];").expect("no fault");
    assert!(scene.run("ld.global.u64 %x1, [%buffer0];").is_err());
}
