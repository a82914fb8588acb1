//! Files of another kind: what they are, and the command that helps.

use super::support::{Folder, error, run};

/// A zip archive's first bytes: one entry, of this name.
fn zip(entry: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x2d\0\0\0\0\0\0\0\x21\0".to_vec();
    bytes.resize(26, 0xff);
    bytes.extend((entry.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(entry.as_bytes());
    bytes.resize(200, 0);
    bytes
}

#[track_caller]
fn explained(name: &str, bytes: &[u8], parts: &[&str]) {
    let folder = Folder::new();
    let line = error(run("eval", &folder.write(name, bytes), ""));
    for part in parts {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_git_lfs_pointer_is_pulled() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4665ec\nsize 1234\n";
    explained("batch.safetensors", pointer, &["batch.safetensors is a Git LFS pointer", "`git lfs pull`"]);
}

#[test]
fn a_page_is_downloaded_again() {
    for page in ["<!doctype html><html lang=\"en\">", "\n  <html><head>", "<?xml version=\"1.0\"?><Error>"] {
        explained("batch.safetensors", page.as_bytes(), &["HTML or XML page", "/resolve/"]);
    }
}

#[test]
fn what_torch_save_wrote_is_saved_again() {
    let saved = ["torch", "x.pt", "save_file(torch.load(", "x.safetensors"];
    explained("x.pt", &zip("archive/data.pkl"), &saved);
    // Nothing but zeros behind the four bytes: a header of 67 million bytes, which the format allows.
    explained("x.pt", &[&b"PK\x03\x04"[..], &[0; 100]].concat(), &saved);
    explained("x.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", &saved);
}

#[test]
fn numpy_files_are_saved_again() {
    let parts = [".npz", "safetensors.numpy", "save_file(dict(np.load(", "batch.safetensors"];
    explained("batch.npz", &zip("student.npy"), &parts);
    let array = b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (6, 20), }";
    explained("s.npy", array, &[".npy", "{\"student\": np.load(", "s.safetensors"]);
}

#[test]
fn a_model_is_run() {
    explained("m.gguf", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0", &["GGUF", "run the model", "save_file"]);
}

#[test]
fn an_index_names_its_shards() {
    let name = |shard: usize| format!("model-{shard:05}-of-00006.safetensors");
    let weights: Vec<String> = (0..12).map(|weight| format!("\"w{weight}\": \"{}\"", name(1 + weight / 2))).collect();
    let index = format!("{{\"metadata\": {{\"total_size\": 1}}, \"weight_map\": {{{}}}}}", weights.join(", "));
    let (first, fourth) = (name(1), name(4));
    explained("model.safetensors.index.json", index.as_bytes(), &["index of shards", &first, &fourth, "and 2 more"]);
    explained("config.json", b"{\"hidden_size\": 64}", &["JSON text"]);
}

/// A header's length may begin with any byte: a damaged safetensors file remains one.
#[test]
fn a_damaged_file_is_not_taken_for_another_kind() {
    for length in [u64::from(b'<'), u64::from(b'{'), 0x0280] {
        let folder = Folder::new();
        let line = error(run("eval", &folder.write("batch.safetensors", &length.to_le_bytes()), ""));
        assert!(line.contains("truncated"), "{line}");
    }
}
