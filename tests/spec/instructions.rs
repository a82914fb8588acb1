//! The CPU path's vector instructions: which are taken, and what happens when the environment or a caller asks for others.

use std::process::Command;

use kdloss::cpu::{self, Instructions, Options};
use kdloss::{DistillationLoss, Error};

use crate::case::Case;

fn case() -> Case {
    Case::row(DistillationLoss::new(), &[1.0, 2.0, 0.5], &[0.0, 1.0, 0.0], 1)
}

/// What is told by [`what_the_environment_asks_for`], in a process of its own, with `KDLOSS_CPU` set.
fn told(wanted: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["instructions::what_the_environment_asks_for", "--exact", "--nocapture"])
        .env("KDLOSS_CPU", wanted)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_environment_asks_for() {
    let case = case();
    match (cpu::instructions(), cpu::forward(&case.loss, &case.batch())) {
        (Ok(set), Ok(_)) => println!("computes by {set}"),
        (Err(error), Err(from_a_call)) => {
            assert_eq!(error, from_a_call);
            println!("refuses: {error}");
        }
        (set, value) => panic!("{set:?}, but {value:?}"),
    }
}

#[test]
fn the_environment_chooses_among_what_the_processor_has() {
    for set in Instructions::ALL {
        let answer = told(set.name());
        if set.is_available() {
            assert!(answer.contains(&format!("computes by {set}")), "{answer}");
        } else {
            assert!(answer.contains(&format!("\"{set}\" cannot be used")), "{answer}");
        }
    }
    for wanted in ["AVX2", "avx2 ", "sse9", ""] {
        let answer = told(wanted);
        assert!(answer.contains(&format!("vector instructions {wanted:?} cannot be used")), "{answer}");
        assert!(answer.contains("portable") && answer.contains("KDLOSS_CPU"), "it names what can: {answer}");
    }
}

#[test]
fn a_caller_is_refused_what_the_processor_lacks() {
    let case = case();
    for set in Instructions::ALL {
        let result = Options::new().with_instructions(set).forward(&case.loss, &case.batch());
        match result {
            Ok(_) => assert!(set.is_available()),
            Err(Error::Instructions { wanted, .. }) => assert!(!set.is_available() && wanted == set.name()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_caller_outranks_the_environment_and_sets_agree_within_rounding() {
    let case = case();
    let values: Vec<f64> = Instructions::ALL
        .into_iter()
        .filter(|set| set.is_available())
        .map(|set| Options::new().with_instructions(set).forward(&case.loss, &case.batch()).unwrap().loss)
        .collect();
    assert!(values.iter().all(|value| (value / values[0] - 1.0).abs() < 1e-6), "{values:?}");
}
