//! The loop that takes most of the CPU path's arithmetic, written with kdloss's own vectors and with three crates of vectors: the
//! largest of 1024 logits, `2^((x - m) · scale)` of each, kept, and their sum. All by the same steps.

use std::time::Instant;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use fearless_simd::{Level, SimdBase, SimdFloat, dispatch};
use kdloss::cpu::alone::{ELEMENTS, exponentials};
use kdloss::cpu::bracket::spread;
use kdloss::cpu::{Instructions, instructions};
use pulp::{Arch, WithSimd};

use crate::Result;

const SCALE: f32 = std::f32::consts::LOG2_E / 2.0;
const ROUND: f32 = 12_582_912.0;
/// `2^r` for `|r| ≤ ½`, the highest power first: kdloss's own coefficients.
const COEFFICIENTS: [f32; 6] =
    [0.001_330_053_2, 0.009_669_661, 0.055_505_585, 0.240_222_83, std::f32::consts::LN_2, 1.0];
/// Calls that are timed together, some milliseconds.
const CALLS: usize = 4000;
const ROUNDS: usize = 41;

type Tile = [f32; ELEMENTS];

/// Times all in turn, and prints how long each takes, and that over kdloss's own.
pub(crate) fn compare() -> Result<()> {
    let set = instructions()?;
    let arch = Arch::new();
    let level = Level::new();
    // Their names for a set go on in brackets with all that it contains.
    let name = |crate_name: &str, set: String| format!("{crate_name}, {}", set.split('(').next().unwrap_or_default());
    let mut contestants: Vec<(String, Box<dyn FnMut(&Tile, &mut Tile) -> f32>)> = vec![
        (name("kdloss", set.to_string()), Box::new(move |from, to| ours(set, from, to))),
        (name("kdloss", "portable".into()), Box::new(|from, to| ours(Instructions::Portable, from, to))),
        (
            name("fearless_simd", format!("{level:?}")),
            Box::new(move |from, to| dispatch!(level, simd => fearless(simd, from, to))),
        ),
        (name("pulp", format!("{arch:?}")), Box::new(move |from, to| arch.dispatch(Pulp { from, to }))),
        (name("wide", "as compiled".into()), Box::new(wide)),
    ];
    let logits: Tile = std::array::from_fn(|index| (index * 7919 % 1000) as f32 / 80.0 - 6.0);
    let mut times = vec![Vec::new(); contestants.len()];
    let mut sums = vec![0.0; contestants.len()];
    for _ in 0..ROUNDS {
        for (((_, run), times), sum) in contestants.iter_mut().zip(&mut times).zip(&mut sums) {
            let mut kept = [0.0; ELEMENTS];
            let start = Instant::now();
            for _ in 0..CALLS {
                *sum = run(std::hint::black_box(&logits), std::hint::black_box(&mut kept));
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / CALLS as f64);
        }
    }
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["vectors", "ns for 1024 logits", "over kdloss", "sum"]);
    for (((name, _), own), sum) in contestants.iter().zip(&times).zip(&sums) {
        assert!((sum / sums[0] - 1.0).abs() < 1e-5, "{name} computes something else: {sum} instead of {}", sums[0]);
        let time = spread(own.iter().copied());
        let ratio = spread(own.iter().zip(&times[0]).map(|(own, ours)| own / ours));
        table.add_row([
            name.clone(),
            format!("{:.0} ({:.0}-{:.0})", time.median, time.low, time.high),
            format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.low, ratio.high),
            sum.to_string(),
        ]);
    }
    println!("medians and quartiles of {ROUNDS} rounds, in turn\n{table}");
    Ok(())
}

fn ours(set: Instructions, from: &Tile, to: &mut Tile) -> f32 {
    exponentials(set, from, SCALE, to).expect("a set that is available")
}

#[inline(always)]
fn fearless<S: fearless_simd::Simd>(simd: S, from: &Tile, to: &mut Tile) -> f32 {
    let splat = |value: f32| S::f32s::splat(simd, value);
    let load = |from: &[f32]| S::f32s::from_slice(simd, from);
    let lanes = S::f32s::LEN;
    let largest = from.chunks_exact(lanes).fold(splat(f32::MIN), |largest, from| load(from).max(largest));
    let largest = splat(largest.reduce_max());
    let mut sum = splat(0.0);
    for (from, to) in from.chunks_exact(lanes).zip(to.chunks_exact_mut(lanes)) {
        let x = ((load(from) - largest) * splat(SCALE)).max(splat(-127.0));
        let shifted = x + splat(ROUND);
        let rest = x - (shifted - splat(ROUND));
        let [highest, others @ ..] = COEFFICIENTS;
        let mantissa = others.into_iter().fold(splat(highest), |value, next| value.mul_add(rest, splat(next)));
        let power: S::u32s = fearless_simd::Bytes::bitcast::<S::u32s>(shifted) << 23;
        let bits = fearless_simd::Bytes::bitcast::<S::u32s>(mantissa) + power;
        let exponential: S::f32s = fearless_simd::Bytes::bitcast(bits);
        exponential.store_slice(to);
        sum = sum + exponential;
    }
    sum.reduce_sum()
}

struct Pulp<'a> {
    from: &'a Tile,
    to: &'a mut Tile,
}

impl WithSimd for Pulp<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) -> f32 {
        let splat = |value: f32| simd.splat_f32s(value);
        let (from, _) = S::as_simd_f32s(self.from);
        let (to, _) = S::as_mut_simd_f32s(self.to);
        let largest = from.iter().fold(splat(f32::MIN), |largest, &from| simd.max_f32s(from, largest));
        let largest = splat(simd.reduce_max_f32s(largest));
        let mut sum = splat(0.0);
        for (&from, to) in from.iter().zip(to) {
            let x = simd.mul_f32s(simd.sub_f32s(from, largest), splat(SCALE));
            let x = simd.max_f32s(x, splat(-127.0));
            let shifted = simd.add_f32s(x, splat(ROUND));
            let rest = simd.sub_f32s(x, simd.sub_f32s(shifted, splat(ROUND)));
            let [highest, others @ ..] = COEFFICIENTS;
            let mantissa =
                others.into_iter().fold(splat(highest), |value, next| simd.mul_add_e_f32s(value, rest, splat(next)));
            let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
            let bits = simd.add_u32s(simd.transmute_u32s_f32s(mantissa), power);
            *to = simd.transmute_f32s_u32s(bits);
            sum = simd.add_f32s(sum, *to);
        }
        simd.reduce_sum_f32s(sum)
    }
}

fn wide(from: &Tile, to: &mut Tile) -> f32 {
    use wide::{f32x8, u32x8};

    let (from, to) = (from.as_chunks::<8>().0, to.as_chunks_mut::<8>().0);
    let largest = from.iter().fold(f32x8::splat(f32::MIN), |largest, &from| largest.fast_max(f32x8::new(from)));
    let largest = f32x8::splat(largest.to_array().into_iter().fold(f32::MIN, f32::max));
    let mut sum = f32x8::splat(0.0);
    for (&from, to) in from.iter().zip(to) {
        let x = ((f32x8::new(from) - largest) * f32x8::splat(SCALE)).fast_max(f32x8::splat(-127.0));
        let shifted = x + f32x8::splat(ROUND);
        let rest = x - (shifted - f32x8::splat(ROUND));
        let [highest, others @ ..] = COEFFICIENTS;
        let mantissa =
            others.into_iter().fold(f32x8::splat(highest), |value, next| value.mul_add(rest, f32x8::splat(next)));
        let bits = mantissa.to_bits() + (shifted.to_bits() << 23);
        let exponential = f32x8::from_bits(u32x8::from(bits));
        *to = exponential.to_array();
        sum += exponential;
    }
    sum.reduce_add()
}
