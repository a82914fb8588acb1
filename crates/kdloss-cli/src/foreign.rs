//! Files of another kind, known by their first bytes: what they are, and what makes a safetensors file of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Shards of an index that are named.
const SHARDS_SHOWN: usize = 4;

/// The largest JSON file that is read as an index of shards, in bytes; real ones have some hundred thousand.
const LARGEST_INDEX: usize = 64 << 20;

/// What the file is, if it is of a kind that people take for a safetensors file, and the command that helps.
pub(crate) fn explain(path: &Path, bytes: &[u8]) -> Option<String> {
    let (name, written) = (path.display(), path.with_extension("safetensors"));
    let written = written.display();
    let torch = || {
        format!(
            "from safetensors.torch import save_file; save_file(torch.load(\"{name}\", map_location=\"cpu\"), \
             \"{written}\"), if it is a dict of tensors"
        )
    };
    let numpy = |tensors: &str| format!("from safetensors.numpy import save_file; save_file({tensors}, \"{written}\")");
    // The length of a header, which may begin with any byte, ends with zeros.
    let is_text = bytes.first_chunk::<8>().is_some_and(|start| !start.contains(&0));
    let begins_with = |character| is_text && bytes.trim_ascii_start().first() == Some(&character);
    Some(match bytes {
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', rest @ ..] if rest.starts_with(b"https://git-lfs") => {
            format!("{name} is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository")
        }
        [b'P', b'K', 3, 4, ..] if first_entry(bytes).ends_with(b".npy") => {
            format!("{name} is a NumPy archive (.npz): {}", numpy(&format!("dict(np.load(\"{name}\"))")))
        }
        [b'P', b'K', 3, 4, ..] => format!("{name} is a zip archive, as torch.save writes it: {}", torch()),
        // The pickle of a number that PyTorch put before all else until 1.5.
        [0x80, 2, 0x8a, 10, b'l', ..] => {
            format!("{name} is a pickle, as old versions of torch.save wrote it: {}", torch())
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            let tensors = format!("{{\"student\": np.load(\"{name}\")}}");
            format!("{name} is one NumPy array (.npy), without a name: {}", numpy(&tensors))
        }
        [b'G', b'G', b'U', b'F', ..] => format!(
            "{name} is a GGUF model, which holds weights and no logits: run the model on a batch, and save its logits \
             with save_file({{\"student\": logits}}, \"{written}\")"
        ),
        _ if begins_with(b'<') => format!(
            "{name} is an HTML or XML page, as a download that failed leaves it: download the file itself; on Hugging \
             Face its address has /resolve/ where the page's has /blob/"
        ),
        _ if begins_with(b'{') => match shards(bytes) {
            Some(shards) => format!("{name} is an index of shards: give one of them instead ({shards})"),
            None => format!("{name} is JSON text: give the safetensors file that it goes with"),
        },
        _ => return None,
    })
}

/// The name of a zip archive's first entry, as far as it is there.
fn first_entry(archive: &[u8]) -> &[u8] {
    let length = match archive.get(26..28) {
        Some(&[low, high]) => usize::from(u16::from_le_bytes([low, high])),
        _ => 0,
    };
    archive.get(30..30 + length).unwrap_or_default()
}

/// The names of the shards that an index lists, each once.
fn shards(bytes: &[u8]) -> Option<String> {
    let index: Value = serde_json::from_slice(bytes.get(..LARGEST_INDEX).unwrap_or(bytes)).ok()?;
    let files: BTreeSet<&str> = index.get("weight_map")?.as_object()?.values().filter_map(Value::as_str).collect();
    let shown = files.iter().take(SHARDS_SHOWN).copied().collect::<Vec<_>>().join(", ");
    Some(match files.len().checked_sub(SHARDS_SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    })
}
