//! A second implementation of the same shaders: Mesa's OpenGL adapter, which has no subgroups, on a smaller set of cases.

use std::sync::LazyLock;

use kdloss::wgpu::{Adapter, Options};
use kdloss::{DType, DistillationLoss};

use super::device::{Gpu, implementation, open, run, run_in_place};
use crate::case::Case;
use crate::contract::check;
use crate::generate::{self, Rows};
use crate::implementations::Implementation;

static OPENGL: LazyLock<Option<Gpu>> = LazyLock::new(|| open(Some("gl"), Options::new()));

/// None, with a printed reason, where this build has no OpenGL.
fn implementations() -> Vec<Implementation> {
    if cfg!(not(feature = "wgpu-gles")) {
        eprintln!("skipped: OpenGL is not built in (feature wgpu-gles)");
        return Vec::new();
    }
    let Some(gpu) = &*OPENGL else { return Vec::new() };
    assert!(!gpu.kernels.uses_subgroups());
    vec![
        implementation("wgpu on OpenGL", |case| run(gpu, case)),
        implementation("wgpu on OpenGL in place", |case| run_in_place(gpu, case)),
    ]
}

#[test]
fn shapes_types_and_terms() {
    let implementations = implementations();
    for vocab in [1, 7, 1000, 32_000] {
        let Rows { student, teacher, labels } = generate::rows(11, 6, vocab, 3.0);
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            for (temperature, alpha) in [(4.0, 0.5), (3.7, 0.5), (1.0, 0.0), (2.0, 1.0)] {
                let loss = DistillationLoss::new().with_temperature(temperature).with_alpha(alpha);
                let case = Case::new(loss, &student, &teacher, &labels).stored_as(dtype, dtype, dtype);
                implementations.iter().for_each(|implementation| drop(check(implementation, &case)));
            }
        }
    }
}

#[test]
fn masks_infinities_and_nan() {
    let (nan, infinity) = (f32::NAN, f32::INFINITY);
    let rows = [
        ([1.0, 2.0, 0.5], [0.0, 1.0, -infinity]),
        ([1.0, -infinity, 0.5], [0.0, 1.0, 0.0]),
        ([1.0, f32::MIN, 0.5], [0.0, f32::MIN, 0.0]),
        ([1.0, nan, 0.5], [0.0, 1.0, 0.0]),
        ([1.0, 2.0, 0.5], [0.0, infinity, 0.0]),
        ([-infinity; 3], [0.0, 1.0, 0.0]),
    ];
    for (student, teacher) in rows {
        for label in [0, 1, -100] {
            let case = Case::row(DistillationLoss::new(), &student, &teacher, label);
            implementations().iter().for_each(|implementation| drop(check(implementation, &case)));
        }
    }
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let message = Adapter::choose(Some("no such adapter")).unwrap_err().to_string();
    assert!(message.contains("`no such adapter`"), "{message}");
    for adapter in Adapter::all() {
        assert!(message.contains(&adapter.to_string()), "{message}");
    }
}
