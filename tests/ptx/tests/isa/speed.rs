//! How fast it is.

use std::time::Instant;

use crate::support::Scene;

#[test]
fn speed() {
    let turns = 20_000;
    let mut scene = Scene { grid: 4, threads: 128, ..Scene::default() };
    let out = scene.fresh(4 * 512);
    let start = Instant::now();
    let report = scene
        .run(&format!(
            "mov.u32 %r1, 0; cvt.rn.f32.u32 %f1, %tid; mov.f32 %f2, 0f3F000000; mov.f32 %f3, 0f3F800000;
            $L_loop:
            fma.rn.f32 %f1, %f1, %f2, %f3;
            add.s32 %r1, %r1, 1;
            setp.lt.s32 %p0, %r1, {turns};
            @%p0 bra $L_loop;
            st.global.f32 [%place], %f1;"
        ))
        .expect("no fault");
    let (seconds, count) = (start.elapsed().as_secs_f64(), report.instructions());
    println!("{:.0} million instructions of threads per second", count as f64 / seconds / 1e6);
    // x / 2 + 1, again and again, leads to 2.
    assert_eq!(scene.read(out), [2.0f32.to_bits(); 512]);
}
