//! Tiles: how their logits are read, which of them are odd, and what they come to.

use half::bf16;

use super::available;
use crate::cpu::gradient::Gradient;
use crate::cpu::gradient::kept::{Kept, TeacherForm};
use crate::cpu::gradient::source::Factors;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::strips::{STRIP, StripBuffer};
use crate::cpu::simd::{Simd, Store, Task};
use crate::cpu::tile::logits::{Pair, SAMPLE, Sanitiser, TileLogits};
use crate::cpu::tile::summarise::{OddTile, Summary, summarise};
use crate::cpu::tile::{TILE, Work};
use crate::divergence::Divergence;
use crate::elements::{Elements, ElementsMut};
use crate::row_part::{MASKED, RowFlags, RowPart, Soft};

/// Reads a tile strip by strip; sanitises it first, if asked to.
struct Reader<'a> {
    logits: Elements<'a>,
    sanitises: bool,
}

/// What a tile held.
struct Reading {
    strips: Vec<f32>,
    reference: f32,
    nonfinite: bool,
}

impl Task for Reader<'_> {
    type Output = Reading;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Reading {
        let mut buffer = StripBuffer::default();
        let mut tile = TileLogits::sampled(simd, self.logits);
        let mut nonfinite = false;
        if self.sanitises {
            let sanitised = simd.run(Sanitiser { tile, buffer: &mut buffer });
            (tile, nonfinite) = (sanitised.tile, sanitised.nonfinite);
        }
        let mut room = [0.0; STRIP];
        let mut strips = Vec::new();
        for index in 0..tile.strip_count() {
            strips.extend(*tile.strip(simd, index, &mut room));
        }
        Reading { strips, reference: tile.reference, nonfinite }
    }
}

#[test]
fn a_tile_is_padded_to_whole_strips_of_f32() {
    for set in available() {
        for len in [1, 17, STRIP - 1, STRIP, STRIP + 1, TILE - 1, TILE] {
            let logits: Vec<f32> = (0..len).map(|index| -1.0 - index as f32 / 64.0).collect();
            let narrow: Vec<bf16> = logits.iter().map(|&logit| bf16::from_f32(logit)).collect();
            for sanitises in [false, true] {
                let reading = set.run(Reader { logits: Elements::F32(&logits), sanitises });
                assert_eq!((reading.reference, reading.nonfinite), (-1.0, false), "{set:?} {len}");
                assert_eq!(reading.strips[..len], logits, "{set:?} {len}");
                assert!(
                    reading.strips[len..].iter().all(|&padding| padding == MASKED)
                        && reading.strips.len() < len + STRIP
                );
                let reading = set.run(Reader { logits: Elements::Bf16(&narrow), sanitises });
                assert_eq!(reading.reference, -1.0, "{set:?} {len}");
                assert!(reading.strips.iter().zip(&narrow).all(|(&wide, narrow)| wide == narrow.to_f32()));
            }
        }
    }
}

#[test]
fn a_tile_is_sanitised_number_by_number() {
    for set in available() {
        for place in [0, 7, 31, 63, 64, STRIP - 1, STRIP] {
            let sanitised = |odd: f32| {
                let mut logits = [0.5f32; STRIP + 1];
                logits[place] = odd;
                let reading = set.run(Reader { logits: Elements::F32(&logits), sanitises: true });
                (reading.strips[place], reading.reference, reading.nonfinite)
            };
            for poison in [f32::NAN, -f32::NAN, f32::from_bits(0x7fff_ffff), f32::INFINITY] {
                assert_eq!(sanitised(poison), (0.0, 0.5, true), "{set:?}: {poison} at {place}");
            }
            for mask in [f32::NEG_INFINITY, f32::MIN, MASKED] {
                assert_eq!(sanitised(mask), (MASKED, 0.5, false), "{set:?}: {mask} at {place}");
            }
            assert_eq!(sanitised(2e30), (2e30, 2e30, false), "{set:?}: at {place}");
        }
    }
}

/// Which of student and teacher.
#[derive(Debug, Clone, Copy)]
enum Of {
    Student,
    Teacher,
    Both,
}

#[test]
fn an_odd_logit_is_found_wherever_it_is() {
    // A logit, whose it is, and whether it is odd: each alone among others of 0.25.
    let cases = [
        (f32::NAN, Of::Student, true),
        (f32::NAN, Of::Teacher, true),
        (f32::INFINITY, Of::Student, true),
        (f32::INFINITY, Of::Teacher, true),
        (f32::NEG_INFINITY, Of::Student, true),
        (f32::NEG_INFINITY, Of::Teacher, true),
        (f32::NEG_INFINITY, Of::Both, true),
        (f32::MIN, Of::Student, true),
        (f32::MIN, Of::Teacher, true),
        (f32::MIN, Of::Both, true),
        // As far below as a normal power of two allows, and a little further; half as far if it is in one matrix alone.
        (-86.0, Of::Both, false),
        (-88.0, Of::Both, true),
        (-42.0, Of::Student, false),
        (-42.0, Of::Teacher, false),
        (-45.0, Of::Student, true),
        (-88.0, Of::Teacher, true),
        (7.5, Of::Student, false),
        (7.5, Of::Teacher, false),
    ];
    for set in available() {
        for place in [SAMPLED, SAMPLED + 7, SAMPLED + STRIP + 33, 2 * SAMPLED - 1] {
            for (logit, of, is_odd) in cases {
                let mut logits = [[0.25f32; 2 * SAMPLED]; 2];
                if matches!(of, Of::Student | Of::Both) {
                    logits[0][place] = logit;
                }
                if matches!(of, Of::Teacher | Of::Both) {
                    logits[1][place] = logit;
                }
                let [student, teacher] = &logits;
                let soft = Soft::new(Divergence::ForwardKl, 1.0);
                let task = WholeRow { student, teacher, recipe: Recipe::SameExponential, soft, factors };
                assert_eq!(set.run(task).is_odd, is_odd, "{set:?}: {logit} of {of:?} at {place}");
            }
        }
    }
}

#[test]
fn a_tile_is_taken_relative_to_its_largest_where_that_is_far_above_the_sample() {
    // How far one logit is above the others: a little, so that it holds little of the sum, and so far that it holds much.
    let cases =
        [(2.0, Of::Both), (3.5, Of::Student), (3.5, Of::Teacher), (4.5, Of::Student), (4.5, Of::Both), (7.5, Of::Both)];
    for set in available() {
        for (logit, of) in cases {
            let mut logits = [[0.25f32; 2 * SAMPLED]; 2];
            for (logits, is_above) in logits.iter_mut().zip([!matches!(of, Of::Teacher), !matches!(of, Of::Student)]) {
                logits[SAMPLED + 33] = if is_above { logit } else { 0.25 };
            }
            let [student, teacher] = &logits;
            let soft = Soft::new(Divergence::ForwardKl, 1.0);
            let task = WholeRow { student, teacher, recipe: Recipe::SameExponential, soft, factors };
            let RowPart { student_max, teacher_max, .. } = set.run(task).summary.part;
            let want = if logit < 4.0 { [0.25; 2] } else { [student[SAMPLED + 33], teacher[SAMPLED + 33]] };
            assert_eq!([student_max, teacher_max], want, "{set:?}: {logit} of {of:?}");
        }
    }
}

/// Elements of a sample.
const SAMPLED: usize = SAMPLE * STRIP;

/// Summarises a tile as if it were a row, and writes its gradient with the factors that `factors` makes of its summary.
struct WholeRow<'a> {
    student: &'a [f32],
    teacher: &'a [f32],
    recipe: Recipe,
    soft: Soft,
    factors: fn(&Summary) -> Factors,
}

/// What a tile came to.
struct RowResult {
    summary: Summary,
    gradient: Vec<f32>,
    /// Whether it was taken as an [`OddTile`].
    is_odd: bool,
}

impl Task for WholeRow<'_> {
    type Output = RowResult;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> RowResult {
        let Self { recipe, soft, .. } = self;
        let [student, teacher] = [self.student, self.teacher].map(Elements::F32);
        let pair = &Pair::sampled(simd, recipe, [student, teacher]);
        let mut memory = vec![[f32::NAN; STRIP]; pair.student.strip_count() * recipe.kept()];
        let mut work = Work { kept: Kept::new(recipe, &mut memory), stream: None };
        let summary = summarise(simd, recipe, soft, pair, &mut work);
        let is_odd = summary.is_none();
        let summary = summary.unwrap_or_else(|| {
            let mut buffers = [(); 2].map(|()| StripBuffer::default());
            simd.run(OddTile { recipe, soft, pair, buffers: &mut buffers, work: &mut work })
        });
        let mut gradient = vec![f32::NAN; self.student.len()];
        let factors = (self.factors)(&summary);
        let destination = ElementsMut::F32(&mut gradient);
        let gradient_of_tile = Gradient { destination, factors, label: None, peak: None, store: Store::Streaming };
        gradient_of_tile.write(simd, recipe, &work.kept);
        simd.fence();
        RowResult { summary, gradient, is_odd }
    }
}

const HARD: f32 = 0.25;
const SOFT: f32 = 1.5;

fn factors(summary: &Summary) -> Factors {
    let RowPart { student_sum, student_tempered_sum, teacher_tempered_sum, .. } = summary.part;
    let (student, teacher) = match summary.form {
        TeacherForm::Exponential => (student_tempered_sum.recip(), -teacher_tempered_sum.recip()),
        TeacherForm::Difference => (0.0, 1.0),
    };
    Factors {
        student: SOFT * student as f32,
        teacher: SOFT * teacher as f32,
        hard: (f64::from(HARD) / student_sum) as f32,
    }
}

/// A tile's elements, merged one by one.
fn merged(student: &[f32], teacher: &[f32], soft: &Soft) -> RowPart {
    let parts = student.iter().zip(teacher).map(|(&student, &teacher)| RowPart::of(student, Some(teacher)));
    parts.fold(RowPart::IDENTITY, |whole, part| whole.merge(part, soft))
}

fn near(got: f64, want: f64) -> bool {
    (got - want).abs() <= 2e-6 * want.abs()
}

/// Holds a tile to its elements, taken one by one.
fn check_tile(recipe: Recipe, student: &[f32], teacher: &[f32], temperature: f64, form: TeacherForm) {
    let soft = Soft::new(Divergence::ForwardKl, temperature);
    let want = merged(student, teacher, &soft);
    for set in available() {
        let task = WholeRow { student, teacher, recipe, soft, factors };
        let RowResult { summary, gradient, .. } = set.run(task);
        let got = summary.part;
        assert_eq!(got.flags, if recipe.has_soft() { want.flags } else { RowFlags::default() }, "{set:?}");
        for (j, &got) in gradient.iter().enumerate() {
            // The second part of the contract's bound; depths multiply what exponentials round.
            let [s, t] = [(student[j], want.student_max), (teacher[j], want.teacher_max)]
                .map(|(logit, max)| f64::from(max) - f64::from(logit));
            let q = (-s / temperature).exp() / want.student_tempered_sum;
            let p = (-t / temperature).exp() / want.teacher_tempered_sum;
            let hard = if recipe.has_hard() { f64::from(HARD) * (-s).exp() / want.student_sum } else { 0.0 };
            let wanted = hard + if recipe.has_soft() { f64::from(SOFT) * (q - p) } else { 0.0 };
            let deep = |depth: f64| if depth < -f64::from(MASKED) { depth.max(1.0) } else { 1.0 };
            let bound = 1e-6 * (hard * deep(s) + f64::from(SOFT) * p.max(q) * deep(s.max(t) / temperature));
            assert!((f64::from(got) - wanted).abs() <= bound, "{set:?} {j}: {got} {wanted} {bound:e}");
        }
        // Sums are relative to references of their own.
        let carried = |sum: f64, depth: f32, temperature: f64| sum * (f64::from(depth) / temperature).exp();
        let depth = got.student_max - want.student_max;
        let hard = carried(got.student_sum, depth, 1.0);
        assert!(!recipe.has_hard() || near(hard, want.student_sum), "{set:?}: {got:?} {want:?}");
        if recipe.has_soft() {
            assert_eq!(summary.form, form, "{set:?}");
            let student = carried(got.student_tempered_sum, depth, temperature);
            assert!(near(student, want.student_tempered_sum), "{set:?}: {got:?} {want:?}");
            let teacher = carried(got.teacher_tempered_sum, got.teacher_max - want.teacher_max, temperature);
            assert!(near(teacher, want.teacher_tempered_sum), "{set:?}: {got:?} {want:?}");
            assert!(near(got.divergence, want.divergence), "{set:?}: {} {}", got.divergence, want.divergence);
        }
    }
}

#[test]
fn a_tile_is_its_elements_taken_one_by_one() {
    let logit = |j: usize, step: usize| ((j * step) % 1009) as f32 / 61.0 - 9.0;
    for len in [5, 1000, TILE] {
        for mask in [usize::MAX, 91] {
            let row = |step, low| (0..len).map(move |j| if j % mask == 1 { low } else { logit(j, step) });
            let student: Vec<f32> = row(37, f32::NEG_INFINITY).collect();
            let teacher: Vec<f32> = row(530, f32::MIN).collect();
            let close: Vec<f32> = student.iter().enumerate().map(|(j, s)| s + logit(j, 71) / 100.0).collect();
            for (teacher, form) in [(&teacher, TeacherForm::Exponential), (&close, TeacherForm::Difference)] {
                check_tile(Recipe::Hard, &student, teacher, 3.0, form);
                check_tile(Recipe::Soft, &student, teacher, 3.0, form);
                check_tile(Recipe::SameExponential, &student, teacher, 1.0, form);
                check_tile(Recipe::Square, &student, teacher, 2.0, form);
                check_tile(Recipe::FourthPower, &student, teacher, 4.0, form);
                check_tile(Recipe::OwnExponential, &student, teacher, 3.0, form);
            }
        }
    }
}
