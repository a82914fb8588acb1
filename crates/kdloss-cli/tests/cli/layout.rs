//! `kdloss eval`: where tensors lie, how they are stored and shaped.

use half::{bf16, f16};

use super::support::{Folder, bf16s, close, error, eval, f16s, f32s, gradient, i32s, i64s, noise, number, run};

#[test]
fn tensors_may_live_in_other_files_under_other_names() {
    let folder = Folder::new();
    let (student, teacher) = (noise(1, 6), noise(2, 6));
    let one = folder.save(
        "one.safetensors",
        &[f32s("student", &[2, 3], &student), f32s("teacher", &[2, 3], &teacher), i64s("labels", &[2], &[1, 2])],
    );
    let main = folder.save("s.safetensors", &[f32s("logits", &[2, 3], &student)]);
    let teacher = folder.save("t.safetensors", &[f32s("big", &[2, 3], &teacher)]);
    let labels = folder.save("y.safetensors", &[i64s("y", &[2], &[1, 2])]);
    let args = format!(
        "--student logits --teacher big --labels y --teacher-file {} --labels-file {}",
        teacher.display(),
        labels.display()
    );
    assert_eq!(eval(&main, &args)["loss"], eval(&one, "")["loss"]);
}

#[test]
fn a_name_or_file_that_is_given_must_be_there_even_where_it_is_not_needed() {
    let folder = Folder::new();
    let tensors = [f32s("student", &[2, 3], &noise(1, 6)), f32s("teacher", &[2, 3], &noise(2, 6))];
    let file = folder.save("batch.safetensors", &tensors);
    assert!(error(run("eval", &file, "--alpha 0 --labels lables")).contains("`lables`"));
    let labels_file = format!("--alpha 0 --labels-file {}", file.display());
    assert!(error(run("eval", &file, &labels_file)).contains("`labels`"));
}

#[test]
fn every_storage_type_is_read() {
    let folder = Folder::new();
    let (student, teacher) = (noise(1, 12), noise(2, 12));
    let halves: Vec<f16> = student.iter().map(|&logit| f16::from_f32(logit)).collect();
    let brains: Vec<bf16> = teacher.iter().map(|&logit| bf16::from_f32(logit)).collect();
    let narrow = folder.save(
        "narrow.safetensors",
        &[f16s("student", &[3, 4], &halves), bf16s("teacher", &[3, 4], &brains), i32s("labels", &[3], &[0, -100, 3])],
    );
    let widened: Vec<f32> = halves.iter().map(|logit| logit.to_f32()).collect();
    let brains_widened: Vec<f32> = brains.iter().map(|logit| logit.to_f32()).collect();
    let wide = folder.save(
        "wide.safetensors",
        &[
            f32s("student", &[3, 4], &widened),
            f32s("teacher", &[3, 4], &brains_widened),
            i64s("labels", &[3], &[0, -100, 3]),
        ],
    );
    assert_eq!(eval(&narrow, "--backend reference")["loss"], eval(&wide, "--backend reference")["loss"]);
    assert_eq!(eval(&narrow, "")["loss"], eval(&wide, "")["loss"]);
}

#[test]
fn the_vocabulary_is_the_smaller_width_unless_given() {
    let folder = Folder::new();
    let (student, teacher) = (noise(1, 10), noise(2, 8));
    let labels = || i64s("labels", &[2], &[1, 2]);
    let padded = folder.save(
        "padded.safetensors",
        &[f32s("student", &[2, 5], &student), f32s("teacher", &[2, 4], &teacher), labels()],
    );
    let columns = |logits: &[f32], width: usize, vocab: usize| -> Vec<f32> {
        logits.chunks_exact(width).flat_map(|row| &row[..vocab]).copied().collect()
    };
    for (args, vocab) in [("", 4), ("--vocab 3", 3), ("--vocab 4", 4)] {
        let cut = folder.save(
            "cut.safetensors",
            &[
                f32s("student", &[2, vocab], &columns(&student, 5, vocab)),
                f32s("teacher", &[2, vocab], &columns(&teacher, 4, vocab)),
                labels(),
            ],
        );
        let path = folder.path("grad.safetensors");
        let answer = eval(&padded, &format!("{args} --grad-out {}", path.display()));
        assert_eq!((&answer["loss"], number(&answer, "vocab")), (&eval(&cut, "")["loss"], vocab as f64));
        assert_eq!(gradient(&path).0, [2, vocab]);
    }
    assert!(error(run("eval", &padded, "--vocab 5")).contains("--vocab 5"));
}

#[test]
fn three_dimensions_are_rows_of_rows() {
    let folder = Folder::new();
    let (student, teacher, labels) = (noise(1, 24), noise(2, 24), [0, 1, -100, 3, 2, 1]);
    let deep = folder.save(
        "deep.safetensors",
        &[
            f32s("student", &[2, 3, 4], &student),
            f32s("teacher", &[2, 3, 4], &teacher),
            i64s("labels", &[2, 3], &labels),
        ],
    );
    let flat = folder.save(
        "flat.safetensors",
        &[f32s("student", &[6, 4], &student), f32s("teacher", &[6, 4], &teacher), i64s("labels", &[6], &labels)],
    );
    let mixed = folder.save(
        "mixed.safetensors",
        &[f32s("student", &[2, 3, 4], &student), f32s("teacher", &[6, 4], &teacher), i64s("labels", &[6], &labels)],
    );
    let path = folder.path("grad.safetensors");
    let answer = eval(&deep, &format!("--grad-out {}", path.display()));
    assert_eq!((&answer["loss"], &answer["rows"]), (&eval(&flat, "")["loss"], &6.into()));
    assert_eq!(gradient(&path).0, [6, 4]);
    assert_eq!(eval(&mixed, "")["loss"], answer["loss"]);
}

/// What a trainer does: `logits[:, :-1]` and `labels[:, 1:]`.
fn shifted_by_hand(logits: &[f32], labels: &[i64], length: usize, vocab: usize) -> (Vec<f32>, Vec<i64>) {
    let logits = logits.chunks_exact(length * vocab).flat_map(|sequence| &sequence[..(length - 1) * vocab]);
    let labels = labels.chunks_exact(length).flat_map(|sequence| &sequence[1..]);
    (logits.copied().collect(), labels.copied().collect())
}

#[test]
fn shift_predicts_the_next_label_and_drops_the_last_position() {
    for sequences in [1, 3] {
        let (length, vocab, folder) = (4, 5, Folder::new());
        let rows = sequences * (length - 1);
        let (student, teacher) = (noise(1, sequences * length * vocab), noise(2, sequences * length * vocab));
        let labels: Vec<i64> = (0..sequences * length).map(|index| if index % 5 == 2 { -100 } else { 4 }).collect();
        let deep = folder.save(
            "deep.safetensors",
            &[
                f32s("student", &[sequences, length, vocab], &student),
                f32s("teacher", &[sequences, length, vocab], &teacher),
                i64s("labels", &[sequences, length], &labels),
            ],
        );
        let (student, next) = shifted_by_hand(&student, &labels, length, vocab);
        let (teacher, _) = shifted_by_hand(&teacher, &labels, length, vocab);
        let flat = folder.save(
            "flat.safetensors",
            &[
                f32s("student", &[rows, vocab], &student),
                f32s("teacher", &[rows, vocab], &teacher),
                i64s("labels", &[rows], &next),
            ],
        );
        for ignored_rows in ["skip", "soft-only"] {
            let (ours, theirs) = (folder.path("ours"), folder.path("theirs"));
            let args = format!("--ignored-rows {ignored_rows} --reduction none --grad-out");
            let answer = eval(&deep, &format!("--shift {args} {}", ours.display()));
            let by_hand = eval(&flat, &format!("{args} {}", theirs.display()));
            for key in ["loss", "hard", "soft", "rows", "counted_rows", "row_losses"] {
                assert_eq!(answer[key], by_hand[key], "{key}, {ignored_rows}, {sequences} sequences");
            }
            assert_eq!(gradient(&ours), gradient(&theirs));
            assert_eq!(gradient(&ours).0, [rows, vocab]);
        }
    }
}

#[test]
fn shift_leaves_nothing_of_sequences_of_one_position() {
    let folder = Folder::new();
    // The last has sizes whose product does not fit, which matters only to who multiplies them.
    for shape in [[2, 1, 3], [0, 4, 3], [2, 0, 3], [0, 1 << 40, 1 << 40]] {
        let logits = noise(1, shape.iter().product());
        let file =
            folder.save("short.safetensors", &[f32s("student", &shape, &logits), f32s("teacher", &shape, &logits)]);
        let answer = eval(&file, "--shift --alpha 0");
        assert_eq!((number(&answer, "rows"), number(&answer, "loss")), (0.0, 0.0), "{shape:?}");
    }
}

/// A file whose elements begin at odd addresses, because one byte lies before them.
fn misaligned(folder: &Folder) -> std::path::PathBuf {
    let header = concat!(
        r#"{"byte":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"#,
        r#""student":{"dtype":"F32","shape":[2,3],"data_offsets":[1,25]},"#,
        r#""teacher":{"dtype":"F32","shape":[2,3],"data_offsets":[25,49]},"#,
        r#""labels":{"dtype":"I64","shape":[2],"data_offsets":[49,65]}}"#
    );
    let header = format!("{header:width$}", width = header.len().next_multiple_of(8));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes().chain([7]));
    bytes.extend(noise(1, 6).iter().chain(&noise(2, 6)).flat_map(|logit| logit.to_le_bytes()));
    bytes.extend([1i64, 2].iter().flat_map(|label| label.to_le_bytes()));
    folder.write("misaligned.safetensors", &bytes)
}

#[test]
fn misaligned_elements_are_read() {
    let folder = Folder::new();
    let aligned = folder.save(
        "aligned.safetensors",
        &[
            f32s("student", &[2, 3], &noise(1, 6)),
            f32s("teacher", &[2, 3], &noise(2, 6)),
            i64s("labels", &[2], &[1, 2]),
        ],
    );
    let answer = eval(&misaligned(&folder), "");
    assert_eq!(answer["loss"], eval(&aligned, "")["loss"]);
    assert!(close(number(&answer, "loss"), number(&eval(&aligned, "--backend reference"), "loss"), 1e-5));
}
