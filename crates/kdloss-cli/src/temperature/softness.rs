//! How soft a row of teacher logits becomes at a temperature.

use kdloss::row_part::is_masked;

/// How many classes make up the head of a distribution; what lies outside is its tail.
pub(crate) const HEAD: usize = 10;

/// The softened distribution `softmax(t / T)` of a row, in three numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Softness {
    /// In nats: 0 where one class has all the mass, `ln V` where all share it.
    pub(crate) entropy: f64,
    /// Probability of the likeliest class.
    pub(crate) top1: f64,
    /// Probability of all classes but the [`HEAD`] likeliest.
    pub(crate) outside_head: f64,
}

/// The softness of a row at each temperature; nothing if the row holds NaN or +∞, or is masked throughout.
///
/// The logits are reordered, and the masked ones, whose probability is 0, removed.
pub(crate) fn softness(logits: &mut Vec<f32>, temperatures: &[f64]) -> Option<Vec<Softness>> {
    logits.retain(|&logit| !is_masked(logit));
    if logits.is_empty() || !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    if logits.len() > HEAD {
        logits.select_nth_unstable_by(HEAD - 1, |a, b| b.total_cmp(a));
    }
    // A temperature changes the probabilities, not their order: one selection serves all.
    let (head, tail) = logits.split_at(logits.len().min(HEAD));
    let max = head.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Some(temperatures.iter().map(|&temperature| at_temperature(head, tail, max, temperature)).collect())
}

fn at_temperature(head: &[f32], tail: &[f32], max: f32, temperature: f64) -> Softness {
    let sums = |logits: &[f32]| {
        logits.iter().fold((0.0, 0.0), |(sum, weighted), &logit| {
            let exponent = (f64::from(logit) - f64::from(max)) / temperature;
            let mass = exponent.exp();
            (sum + mass, weighted + mass * exponent)
        })
    };
    let ((head_sum, head_weighted), (tail_sum, tail_weighted)) = (sums(head), sums(tail));
    let sum = head_sum + tail_sum;
    Softness {
        entropy: sum.ln() - (head_weighted + tail_weighted) / sum,
        top1: 1.0 / sum,
        outside_head: tail_sum / sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    #[test]
    fn equal_logits_share_the_mass_at_any_temperature() {
        for row in softness(&mut vec![3.0; 40], &[0.5, 1.0, 8.0]).expect("finite") {
            assert!(close(row.entropy, 40f64.ln()) && close(row.top1, 1.0 / 40.0) && close(row.outside_head, 0.75));
        }
    }

    #[test]
    fn two_classes_match_the_formula() {
        let p = 1.0 / (1.0 + (-1f64).exp());
        let row = softness(&mut vec![0.0, 2.0, f32::NEG_INFINITY, f32::MIN], &[2.0]).expect("finite")[0];
        assert!(close(row.top1, p) && row.outside_head == 0.0);
        assert!(close(row.entropy, -p * p.ln() - (1.0 - p) * (1.0 - p).ln()));
    }

    #[test]
    fn the_tail_is_what_the_ten_likeliest_leave() {
        let mut logits: Vec<f32> = (0..30).map(|index| ((index * 7) % 30) as f32).collect();
        let row = softness(&mut logits, &[4.0]).expect("finite")[0];
        let mass = |range: std::ops::Range<i32>| range.map(|logit| (f64::from(logit) / 4.0).exp()).sum::<f64>();
        assert!(close(row.outside_head, mass(0..20) / mass(0..30)));
        assert!(close(row.top1, mass(29..30) / mass(0..30)));
    }

    #[test]
    fn rows_without_a_distribution_have_no_softness() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(softness(&mut vec![0.0, bad], &[1.0]), None);
        }
        assert_eq!(softness(&mut vec![f32::NEG_INFINITY; 3], &[1.0]), None);
    }
}
