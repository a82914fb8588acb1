//! The same input gives the same bits, whatever else is computed and on any number of threads.

use kdloss::{DistillationLoss, Reduction};

use crate::case::Case;
use crate::generate::{self, Rows};
use crate::implementations::{Outcome, all, on_threads};

fn bits(outcome: &Outcome) -> (Vec<u64>, Vec<u64>) {
    let value = &outcome.value;
    let terms = value.rows.iter().flat_map(|row| [row.hard, row.soft, Some(row.total)]).flatten();
    let totals = [Some(value.loss), value.hard, value.soft].into_iter().flatten();
    (terms.chain(totals).map(f64::to_bits).collect(), outcome.gradient.iter().map(|g| g.to_bits()).collect())
}

fn case(rows: usize, vocab: usize) -> Case {
    let Rows { student, teacher, labels } = generate::rows(7, rows, vocab, 3.0);
    let loss = DistillationLoss::new().with_temperature(2.0).with_reduction(Reduction::Sum);
    Case::new(loss, &student, &teacher, &labels)
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    // Few long rows share their tiles among threads, many rows do not, and 8 rows do so on some numbers of threads only.
    for (rows, vocab) in [(1, 50_257), (3, 20_001), (8, 20_001), (65, 1000)] {
        let case = case(rows, vocab);
        for implementation in all() {
            let alone = bits(&on_threads(1, || (implementation.run)(&case)).unwrap());
            for threads in [2, 3, 8] {
                let together = bits(&on_threads(threads, || (implementation.run)(&case)).unwrap());
                assert!(alone == together, "{} on {threads} threads, {rows} x {vocab}", implementation.name);
            }
        }
    }
}

#[test]
fn bits_of_a_row_do_not_depend_on_the_other_rows() {
    // Five tiles: up to three, a running sum joins them in the same order as a balanced tree.
    let vocab = 9000;
    let whole = case(65, vocab);
    for implementation in all() {
        let together = (implementation.run)(&whole).unwrap();
        for row in [0, 1, 33, 64] {
            let student = whole.student.row(row, vocab);
            let teacher = whole.teacher.as_ref().unwrap().row(row, vocab);
            let Some(crate::case::LabelVec::I64(labels)) = &whole.labels else { panic!("these labels are i64") };
            let alone = (implementation.run)(&Case::row(whole.loss, &student, &teacher, labels[row])).unwrap();
            assert_eq!(alone.value.rows[0], together.value.rows[row], "{}", implementation.name);
            assert_eq!(alone.gradient, together.gradient[row * vocab..][..vocab], "{}", implementation.name);
        }
    }
}

#[test]
fn bits_are_the_same_when_computed_again() {
    let case = case(3, 32_000);
    for implementation in all() {
        let first = bits(&(implementation.run)(&case).unwrap());
        assert!(first == bits(&(implementation.run)(&case).unwrap()), "{}", implementation.name);
    }
}
