//! Compiled kernels on disk, so that a program compiles each once and not at every start.
//!
//! An entry is a file that holds its whole key (the compiler's version and options, and the source) and what was compiled,
//! behind a checksum of both. Nothing of an entry is used unless both agree: a file that is cut off, altered, or made by
//! another version is as good as none, and is written anew. Entries appear by renaming, so that nobody reads half of one.
//! A cache that cannot be read or written is never an error: kernels are then compiled.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::nvrtc::Compiled;

/// First bytes of an entry: its kind, and the version of its layout.
const MAGIC: &[u8] = b"kdloss kernel 1\n";

/// The folder of the user's cache: what `KDLOSS_CACHE` names, else `kdloss` in the system's place for caches. `None` where
/// `KDLOSS_CACHE` is empty, or there is no such place.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(folder) = variable("KDLOSS_CACHE") {
        return (!folder.as_os_str().is_empty()).then_some(folder);
    }
    let place = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        let absolute = variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
        absolute.or_else(|| variable("HOME").map(|home| home.join(".cache")))
    };
    place.map(|place| place.join("kdloss"))
}

/// The kernel of a key, if the cache has it.
pub(super) fn load(folder: &Path, key: &str) -> Option<Compiled> {
    decode(&fs::read(path(folder, key)).ok()?, key)
}

/// Keeps a kernel, if that can be done.
pub(super) fn store(folder: &Path, key: &str, compiled: &Compiled) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = path(folder, key);
    let partial = path.with_extension(format!("{}-{number}", std::process::id()));
    let write = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&partial)?;
        file.write_all(&encode(key, compiled))?;
        drop(file);
        fs::rename(&partial, &path)
    };
    if write().is_err() {
        // What could not be finished is not left behind; if that fails too, there is nobody to tell.
        let _ = fs::remove_file(&partial);
    }
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{:016x}.kernel", checksum(key.as_bytes())))
}

fn encode(key: &str, compiled: &Compiled) -> Vec<u8> {
    let mut body = Vec::new();
    for part in [key.as_bytes(), compiled.ptx.as_bytes(), &compiled.cubin] {
        body.extend((part.len() as u64).to_le_bytes());
        body.extend(part);
    }
    [MAGIC, &checksum(&body).to_le_bytes(), &body].concat()
}

fn decode(bytes: &[u8], key: &str) -> Option<Compiled> {
    let (sum, mut body) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*sum) != checksum(body) {
        return None;
    }
    let mut part = || {
        let (len, rest) = body.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        body = rest;
        Some(part)
    };
    let (found, ptx, cubin) = (part()?, part()?, part()?);
    let ptx = String::from_utf8(ptx.to_vec()).ok()?;
    (found == key.as_bytes() && body.is_empty()).then(|| Compiled { ptx, cubin: cubin.to_vec() })
}

/// 64-bit FNV-1a (Fowler, Noll, Vo), which tells accidents, not attacks: the folder is the user's own.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled() -> Compiled {
        Compiled { ptx: ".version 8.8".to_owned(), cubin: vec![0x7f, b'E', b'L', b'F', 0] }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("made when needed");
        assert_eq!(load(&inner, "key"), None);
        store(&inner, "key", &compiled());
        assert_eq!(load(&inner, "key"), Some(compiled()));
        assert_eq!(load(&inner, "another key"), None);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "nothing but the entry is left");
    }

    #[test]
    fn no_altered_byte_is_trusted() {
        let entry = encode("key", &compiled());
        assert_eq!(decode(&entry, "key"), Some(compiled()));
        for index in 0..entry.len() {
            let mut altered = entry.clone();
            altered[index] ^= 0x20;
            assert_eq!(decode(&altered, "key"), None, "byte {index}");
            assert_eq!(decode(&entry[..index], "key"), None, "cut off at {index}");
        }
        assert_eq!(decode(&[entry, vec![0]].concat(), "key"), None, "one byte more");
    }

    #[test]
    fn an_entry_under_another_name_is_foreign() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path(), "key", &compiled());
        fs::rename(path(folder.path(), "key"), path(folder.path(), "another")).unwrap();
        assert_eq!(load(folder.path(), "another"), None);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        store(file.path(), "key", &compiled());
        assert_eq!(load(file.path(), "key"), None);
    }
}
