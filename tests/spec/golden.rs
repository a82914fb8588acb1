//! PyTorch's answers in `f64`, for 82 combinations of input, temperature, alpha and reduction.

use std::fs;

use kdloss::{DistillationLoss, IgnoredRows, Reduction};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::case::Case;
use crate::contract::{check_all, close};
use crate::implementations::{all, run_reference};

struct Golden {
    case: Case,
    name: String,
    loss: Vec<f64>,
    hard: Vec<f64>,
    soft: Vec<f64>,
    gradient: Vec<f64>,
}

fn load() -> Vec<Golden> {
    let index: Value = serde_json::from_slice(&read("kd_index.json")).unwrap();
    let bytes = read("kd_golden.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    index.as_array().unwrap().iter().map(|entry| golden(entry, &tensors)).collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn golden(entry: &Value, tensors: &SafeTensors<'_>) -> Golden {
    let name = entry["name"].as_str().unwrap().to_string();
    let input = entry["input"].as_str().unwrap();
    let rows = |part: &str| {
        let tensor = tensors.tensor(&format!("{input}.{part}")).unwrap();
        let values = numbers(&tensor, f32::from_le_bytes);
        values.chunks(tensor.shape()[1]).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let labels = numbers(&tensors.tensor(&format!("{input}.y")).unwrap(), i64::from_le_bytes);
    let reduction = match entry["reduction"].as_str().unwrap() {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        "none" => Reduction::None,
        other => panic!("unknown reduction {other}"),
    };
    let ignored_rows = if entry["kl_mask"].as_bool().unwrap() { IgnoredRows::Skip } else { IgnoredRows::SoftOnly };
    let loss = DistillationLoss::new()
        .with_temperature(entry["T"].as_f64().unwrap())
        .with_alpha(entry["alpha"].as_f64().unwrap())
        .with_reduction(reduction)
        .with_ignored_rows(ignored_rows);
    let output = |part: &str| numbers(&tensors.tensor(&format!("out_{name}.{part}")).unwrap(), f64::from_le_bytes);
    Golden {
        case: Case::new(loss, &rows("s"), &rows("t"), &labels),
        loss: output("loss"),
        hard: output("hard"),
        soft: output("soft"),
        gradient: output("grad"),
        name,
    }
}

fn numbers<T, const N: usize>(tensor: &TensorView<'_>, from: fn([u8; N]) -> T) -> Vec<T> {
    tensor.data().as_chunks::<N>().0.iter().map(|bytes| from(*bytes)).collect()
}

#[test]
fn the_reference_agrees_with_pytorch() {
    let golden = load();
    assert_eq!(golden.len(), 82);
    for Golden { case, name, loss, hard, soft, gradient } in golden {
        let got = run_reference(&case).unwrap();
        let per_row = case.loss.reduction == Reduction::None;
        let terms: Vec<_> = if per_row {
            got.value.rows.iter().map(|row| (row.total, row.hard, row.soft)).collect()
        } else {
            vec![(got.value.loss, got.value.hard, got.value.soft)]
        };
        assert_eq!(terms.len(), loss.len(), "{name}");
        for (index, (total, hard_term, soft_term)) in terms.into_iter().enumerate() {
            let relative = |got: f64, want: f64| close(got, want, 1e-12 * want.abs());
            assert!(relative(total, loss[index]), "{name}: loss {total} is not {}", loss[index]);
            assert!(hard_term.is_none_or(|term| relative(term, hard[index])), "{name}: hard {hard_term:?}");
            assert!(soft_term.is_none_or(|term| relative(term, soft[index])), "{name}: soft {soft_term:?}");
        }
        let largest = gradient.iter().fold(0.0, |largest: f64, entry| largest.max(entry.abs()));
        assert_eq!(got.gradient.len(), gradient.len());
        for (got, want) in got.gradient.iter().zip(&gradient) {
            assert!(close(*got, *want, 1e-10 * largest), "{name}: gradient {got} is not {want}");
        }
    }
}

#[test]
fn every_implementation_keeps_the_contract_on_the_golden_cases() {
    for Golden { case, .. } in load() {
        check_all(&all(), &case);
    }
}
