//! Approximations: the special cases that the ISA lists, and how far from the truth the rest may be.

use crate::support::{INFINITY, MINUS, each, f, narrow};
use ptx::Options;

const EX2: &str = "ex2.approx.ftz.f32 %d, %a;";
const RCP: &str = "rcp.approx.ftz.f32 %d, %a;";
const SUBNORMAL: u32 = 0x007f_ffff;

/// The results for some operands, with noise of a seed or without.
fn results(snippet: &str, operands: &[f32], noise: Option<u64>) -> Vec<f32> {
    let operands: Vec<[u64; 1]> = operands.iter().map(|&operand| [u64::from(f(operand))]).collect();
    let options = Options { seed: noise.unwrap_or(0), noise: noise.is_some(), ..Options::default() };
    let results = each(&format!("{snippet} cvt.u64.u32 %wd, %d;"), &operands, options);
    results.into_iter().map(|bits| f32::from_bits(bits as u32)).collect()
}

#[test]
fn special_cases_of_ex2() {
    narrow(
        EX2,
        &[
            ([INFINITY | MINUS], f(0.0)),
            ([INFINITY], INFINITY),
            ([f(0.0)], f(1.0)),
            ([MINUS], f(1.0)),
            ([SUBNORMAL], f(1.0)),
            ([SUBNORMAL | MINUS], f(1.0)),
            ([f(-1.0)], f(0.5)),
            ([f(10.0)], f(1024.0)),
            ([f(128.0)], INFINITY),
            // Subnormal results are flushed.
            ([f(-126.0)], f(f32::MIN_POSITIVE)),
            ([f(-126.5)], f(0.0)),
            ([f(-200.0)], f(0.0)),
        ],
    );
    assert!(results(EX2, &[f32::NAN], None)[0].is_nan());
}

#[test]
fn special_cases_of_rcp() {
    narrow(
        RCP,
        &[
            ([INFINITY | MINUS], MINUS),
            ([INFINITY], f(0.0)),
            ([f(0.0)], INFINITY),
            ([MINUS], INFINITY | MINUS),
            ([SUBNORMAL], INFINITY),
            ([SUBNORMAL | MINUS], INFINITY | MINUS),
            ([f(4.0)], f(0.25)),
            ([f(-0.5)], f(-2.0)),
            // The reciprocal of the largest numbers is subnormal.
            ([f(f32::MAX)], f(0.0)),
            ([f(-f32::MAX)], MINUS),
        ],
    );
    assert!(results(RCP, &[f32::NAN], None)[0].is_nan());
}

#[test]
fn noise_spares_the_special_cases() {
    let infinities = [f32::INFINITY, f32::NEG_INFINITY];
    let tiny = f32::from_bits(SUBNORMAL);
    for seed in 0..50 {
        assert_eq!(results(EX2, &[0.0, -0.0, tiny, -tiny], Some(seed)), [1.0; 4]);
        assert_eq!(results(EX2, &infinities, Some(seed)), [f32::INFINITY, 0.0]);
        assert_eq!(results(EX2, &[-126.5, 128.0], Some(seed)), [0.0, f32::INFINITY]);
        assert_eq!(results(RCP, &infinities, Some(seed)), [0.0, 0.0]);
        assert_eq!(results(RCP, &[0.0, -0.0, tiny], Some(seed)), [f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
        assert!(results(EX2, &[f32::NAN], Some(seed))[0].is_nan());
    }
}

#[test]
fn noise_is_at_most_two_units_in_the_last_place() {
    let operands: Vec<f32> = (0..512).map(|step| -20.0 + step as f32 * 0.079).collect();
    for snippet in [EX2, RCP] {
        let exact = results(snippet, &operands, None);
        let mut seen = [0u32; 5];
        for seed in 0..8 {
            let noisy = results(snippet, &operands, Some(seed));
            for (noisy, exact) in noisy.iter().zip(&exact) {
                let off = i64::from(noisy.to_bits()) - i64::from(exact.to_bits());
                assert!((-2..=2).contains(&off), "{off} units");
                seen[(off + 2) as usize] += 1;
            }
            // The same operand gets the same result.
            assert_eq!(noisy, results(snippet, &operands, Some(seed)));
        }
        // All of them, about equally often.
        assert!(seen.iter().all(|&count| count > 8 * 512 / 10), "{seen:?}");
        assert_ne!(results(snippet, &operands, Some(1)), results(snippet, &operands, Some(2)));
    }
}

#[test]
fn without_noise_results_are_nearest() {
    let operands: Vec<f32> = (0..512).map(|step| -20.0 + step as f32 * 0.079).collect();
    for (operand, result) in operands.iter().zip(results(EX2, &operands, None)) {
        assert_eq!(result, f64::from(*operand).exp2() as f32);
    }
    for (operand, result) in operands.iter().zip(results(RCP, &operands, None)) {
        assert_eq!(result, (1.0 / f64::from(*operand)) as f32);
    }
}

#[test]
fn correctly_rounded_functions_know_no_noise() {
    let operands: Vec<f32> = (1..100).map(|step| step as f32 * 0.37).collect();
    for seed in 0..5 {
        let roots: Vec<f32> = operands.iter().map(|operand| operand.sqrt()).collect();
        assert_eq!(results("sqrt.rn.f32 %d, %a;", &operands, Some(seed)), roots);
        let reciprocals: Vec<f32> = operands.iter().map(|operand| operand.recip()).collect();
        assert_eq!(results("rcp.rn.f32 %d, %a;", &operands, Some(seed)), reciprocals);
    }
}
