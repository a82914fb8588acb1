//! Gradients, written by each way to places of any alignment.

use half::{bf16, f16};

use super::available;
use crate::cpu::gradient::Gradient;
use crate::cpu::gradient::kept::Kept;
use crate::cpu::gradient::source::Factors;
use crate::cpu::gradient::stream::LastRowWriter;
use crate::cpu::recipe::Recipe;
use crate::cpu::simd::element::Element;
use crate::cpu::simd::strips::{STRIP, Strip};
use crate::cpu::simd::{Simd, Store, Task};
use crate::elements::ElementsMut;

/// Writes a gradient of exponentials that were kept, to a place of any alignment.
struct GradientWriter<'a, T> {
    kept: &'a [Strip],
    to: &'a mut [T],
    wrap: fn(&mut [T]) -> ElementsMut<'_>,
    label: Option<(usize, f32)>,
    peak: Option<(usize, f32)>,
    way: Way,
}

/// How a gradient is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Cached,
    PastTheCaches,
    /// Strip by strip, beside a loop that overwrites what it is made of.
    Beside,
}

impl<T> Task for GradientWriter<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut memory = self.kept.to_vec();
        let kept = Kept::new(Recipe::Square, &mut memory);
        let factors = Factors { student: 0.5, teacher: -0.75, hard: 0.25 };
        let store = if self.way == Way::Cached { Store::Cached } else { Store::Streaming };
        let gradient =
            Gradient { destination: (self.wrap)(self.to), factors, label: self.label, peak: self.peak, store };
        if self.way == Way::Beside {
            let mut stream = gradient.stream(simd, Recipe::Square, &kept);
            let mut writer = LastRowWriter::take(simd, &mut stream);
            for index in 0..kept.strip_count() {
                writer.write_strip(simd, Recipe::Square, &kept, index);
                kept.student[index].fill(f32::NAN);
            }
            writer.finish(simd);
        } else {
            gradient.write(simd, Recipe::Square, &kept);
        }
        simd.fence();
    }
}

/// Holds what is written past the caches, and beside a loop, to what is written through the caches. None may write elsewhere.
fn check_alignments<T: Element + PartialEq + std::fmt::Debug>(wrap: fn(&mut [T]) -> ElementsMut<'_>, beside: T) {
    const LONGEST: usize = 6 * STRIP;
    let number = |index: usize| ((index * 37) % 101) as f32 / 101.0;
    let kept: Vec<Strip> =
        (0..12).map(|strip| std::array::from_fn(|index| number(strip * STRIP + index) + 0.01)).collect();
    let mut memory = [beside; LONGEST + 3 * STRIP];
    let line = memory.as_ptr().align_offset(64);
    for set in available() {
        // Shorter than what is kept, and as long: then its last vector ends where that ends.
        for (len, offset) in [5 * STRIP + 7, LONGEST]
            .into_iter()
            .flat_map(|len| [0, 1, 3, 4, 8, 15, 16, 17, 31].map(|offset| (len, offset)))
        {
            // Before the first cache line, within a strip, at both ends of one, and behind the last.
            for label in [None, Some(0), Some(14), Some(70), Some(2 * STRIP), Some(3 * STRIP - 1), Some(len - 1)] {
                let label = label.map(|place| (place, 0.375));
                // At the label, and apart from it: an entry that is known already.
                let peaks = [None, label.map(|(place, _)| (place, 0.625)), Some((2 * STRIP + 9, 0.625))];
                for peak in peaks {
                    let [cached, past, beside_others] = [Way::Cached, Way::PastTheCaches, Way::Beside].map(|way| {
                        memory.fill(beside);
                        let to = &mut memory[line + offset..line + offset + len];
                        set.run(GradientWriter { kept: &kept, to, wrap, label, peak, way });
                        memory[line..].to_vec()
                    });
                    assert_eq!(cached, past, "{set:?}: offset {offset}, label {label:?}");
                    assert_eq!(cached, beside_others, "{set:?}: offset {offset}, label {label:?}");
                    assert!(cached[..offset].iter().chain(&cached[offset + len..]).all(|value| *value == beside));
                    let first = cached[offset].to_f32();
                    let [student, teacher] = [kept[0][0], kept[6][0]];
                    let want = student * (student * 0.25 + 0.5) - teacher * 0.75;
                    let want = match (label, peak) {
                        (_, Some((0, entry))) => entry,
                        (Some((0, subtrahend)), _) => want - subtrahend,
                        _ => want,
                    };
                    if let Some((place, entry)) = peak {
                        assert_eq!(cached[offset + place].to_f32(), entry, "{set:?}: offset {offset}, peak {peak:?}");
                    }
                    assert!((first - want).abs() < 0.01, "{set:?}: offset {offset}, label {label:?}: {first} {want}");
                }
            }
        }
    }
}

#[test]
fn a_gradient_past_the_caches_is_that_through_them_at_any_alignment() {
    check_alignments::<f32>(|to| ElementsMut::F32(to), 7.0);
    check_alignments::<bf16>(|to| ElementsMut::Bf16(to), bf16::from_f32(7.0));
    check_alignments::<f16>(|to| ElementsMut::F16(to), f16::from_f32(7.0));
}
