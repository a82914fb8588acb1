//! Long sums lose no addends, with any number of lanes.

use std::sync::Arc;

use kdloss::DistillationLoss;
use kdloss::wgpu::Options;

use super::device::{implementation, open, run};
use crate::case::Case;
use crate::contract::check;
use crate::grid::{far_above, small_addends};

/// Cases on 8 to 256 lanes, joined either way.
fn check_on_any_lanes(cases: &[Case]) {
    for lanes in [8, 32, 64, 256] {
        for options in [Options::new(), Options::new().without_subgroups()] {
            let Some(gpu) = open(None, options.with_workgroup_size(lanes)).map(Arc::new) else { return };
            let summing = implementation("wgpu at another workgroup size", move |case| run(&gpu, case));
            cases.iter().for_each(|case| drop(check(&summing, case)));
        }
    }
}

#[test]
fn many_small_addends_behind_a_large_one() {
    check_on_any_lanes(&small_addends());
}

#[test]
fn a_logit_far_above_those_that_begin_its_row() {
    check_on_any_lanes(&far_above());
}

/// The widths of real vocabularies: one logit 14 to 20 above all others.
#[test]
fn a_peak_above_a_whole_vocabulary() {
    for vocab in [32_000, 151_936, 262_144] {
        let depths = (28..=40).map(|halves| halves as f32 / 2.0);
        let rows: Vec<Vec<f32>> = depths.map(|depth| [vec![0.0], vec![-depth; vocab - 1]].concat()).collect();
        let labels = vec![0; rows.len()];
        let cases = [(1.0, 1.0), (1.0, 0.5), (2.0, 0.5)].map(|(temperature, alpha)| {
            let loss = DistillationLoss::new().with_temperature(temperature).with_alpha(alpha);
            Case::new(loss, &rows, &rows, &labels)
        });
        check_on_any_lanes(&cases);
    }
}

/// A driver that regroups additions must not look into a strip or a block. Here what it may not look through doubles: a sum
/// that goes through it twice, as strip and as block, comes out four times as large.
#[test]
fn strips_and_blocks_are_opaque() {
    let doubled = |_, source: String| source.replace("^ params.zeros.xyz", "+ vec3(1u << 23u)");
    let options = Options::new().with_workgroup_size(8);
    let Some(gpu) = open(None, options.clone()) else { return };
    let doubling = open(None, options.with_source_edit(doubled)).unwrap();
    // One block to each lane; then less than a strip.
    for (vocab, factor) in [(1024, 4.0_f64), (40, 2.0)] {
        let teacher: Vec<f32> = (0..vocab).map(|column| column as f32 / vocab as f32).collect();
        let hard = Case::row(DistillationLoss::new().with_alpha(1.0), &vec![0.0; vocab], &teacher, 0);
        let soft = Case::row(DistillationLoss::new().with_alpha(0.0), &vec![0.0; vocab], &teacher, 0);
        let loss = |gpu, case| run(gpu, case).unwrap().value.loss;
        let more = loss(&doubling, &hard) - loss(&gpu, &hard);
        assert!((more - factor.ln()).abs() < 1e-5, "{vocab}: the hard term is {more} more");
        // All probabilities are 1 / factor of what they were, and so is each element, before it is summed up.
        let ratio = loss(&doubling, &soft) / loss(&gpu, &soft);
        assert!((ratio - 1.0).abs() < 1e-5, "{vocab}: the soft term is {ratio} times as large");
    }
}
