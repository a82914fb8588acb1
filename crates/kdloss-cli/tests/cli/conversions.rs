//! `kdloss eval`: types that the library does not take, and shapes that are meant well.

use super::support::{
    Folder, Stored, error, eval, f32s, f64s, gradient, i8s, i16s, i64s, kdloss, noise, run, u8s, u16s, u32s,
};

fn widened(logits: &[f32]) -> Vec<f64> {
    logits.iter().copied().map(f64::from).collect()
}

#[test]
fn f64_logits_are_those_of_f32() {
    let folder = Folder::new();
    let (student, teacher) = (noise(1, 12), noise(2, 12));
    let labels = || i64s("labels", &[2, 2], &[0, -100, 2, 1]);
    let shape = [2, 2, 3];
    let single = [f32s("student", &shape, &student), f32s("teacher", &shape, &teacher), labels()];
    let double = [f64s("student", &shape, &widened(&student)), f64s("teacher", &shape, &widened(&teacher)), labels()];
    let (single, double) = (folder.save("f32.safetensors", &single), folder.save("f64.safetensors", &double));
    let (ours, theirs) = (folder.path("ours"), folder.path("theirs"));
    for args in ["", "--shift"] {
        let answer = eval(&double, &format!("{args} --grad-out {}", ours.display()));
        let expected = eval(&single, &format!("{args} --grad-out {}", theirs.display()));
        assert_eq!(answer["loss"], expected["loss"]);
        assert_eq!(gradient(&ours), gradient(&theirs));
    }
    let temperature = |file| run("temperature", file, "--json").assert().success().get_output().stdout.clone();
    assert_eq!(temperature(&double), temperature(&single));
}

#[test]
fn labels_of_every_whole_type_are_those_of_i64() {
    let folder = Folder::new();
    let answer = |labels: Stored, args: &str| {
        let tensors = [f32s("student", &[3, 4], &noise(1, 12)), f32s("teacher", &[3, 4], &noise(2, 12)), labels];
        eval(&folder.save("batch.safetensors", &tensors), args)["loss"].clone()
    };
    let expected = answer(i64s("labels", &[3], &[0, -100, 3]), "");
    assert_eq!(answer(i16s("labels", &[3], &[0, -100, 3]), ""), expected);
    assert_eq!(answer(i8s("labels", &[3], &[0, -100, 3]), ""), expected);
    assert_eq!(answer(u8s("labels", &[3], &[0, 255, 3]), "--ignore-index 255"), expected);
    assert_eq!(answer(u16s("labels", &[3], &[0, 65535, 3]), "--ignore-index 65535"), expected);
    assert_eq!(answer(u32s("labels", &[3], &[0, u32::MAX, 3]), "--ignore-index 4294967295"), expected);
}

#[test]
fn the_help_says_what_is_converted() {
    let help = |args: &[&str]| String::from_utf8(kdloss(args).assert().success().get_output().stdout.clone());
    let help = help(&["eval", "--help"]).expect("text");
    for part in ["F64", "converted", "U16", "[B, S, 1]", "permute(0, 2, 3, 1)"] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
}

#[test]
fn labels_may_stand_in_a_column_of_their_own() {
    let folder = Folder::new();
    let loss = |logits: &[usize], labels: &[usize], args: &str| {
        let tensors = [
            f32s("student", logits, &noise(1, 42)),
            f32s("teacher", logits, &noise(2, 42)),
            i64s("labels", labels, &[0, 1, -100, 6, 2, 1]),
        ];
        eval(&folder.save("batch.safetensors", &tensors), args)["loss"].clone()
    };
    for args in ["", "--shift"] {
        let expected = loss(&[2, 3, 7], &[2, 3], args);
        assert_eq!(loss(&[2, 3, 7], &[2, 3, 1], args), expected);
        assert_eq!(loss(&[2, 3, 7], &[6, 1], args), expected);
    }
    assert_eq!(loss(&[6, 7], &[6, 1], ""), loss(&[6, 7], &[6], ""));
}

#[test]
fn classes_of_images_are_moved_not_reshaped() {
    let folder = Folder::new();
    let shape = [2, 5, 3, 4];
    let tensors = [f32s("student", &shape, &noise(1, 120)), f32s("teacher", &shape, &noise(2, 120))];
    let line = error(run("eval", &folder.save("images.safetensors", &tensors), "--alpha 0"));
    for part in ["last axis", "permute(0, 2, 3, 1)", "transpose(0, 2, 3, 1).reshape(-1, 5)"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains("reshape them"), "{line}");
}

#[test]
fn remedies_are_in_numpys_words_too() {
    let folder = Folder::new();
    let student = || f32s("student", &[2, 3], &noise(1, 6));
    let file = folder.save("batch.safetensors", &[i64s("student", &[2, 3], &[0; 6])]);
    assert!(error(run("eval", &file, "")).contains("array.astype(np.float32)"));
    let file = folder.save("batch.safetensors", &[student(), f32s("labels", &[2], &[0.0, 1.0])]);
    assert!(error(run("eval", &file, "--alpha 1")).contains("array.astype(np.int64)"));
}
