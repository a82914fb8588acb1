//! Kernels on disk: found by whoever comes later, and never trusted when something about them is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use kdloss::cuda::{Kernels, Workspace};

use super::support::{A100, H100, Small, context};

/// How many kernels a new user of the folder compiles for one call.
fn compiled(folder: &Path, gpu: usize) -> usize {
    let context = context(gpu);
    let stream = context.default_stream();
    let kernels = Kernels::with_cache_folder(&context, Some(folder.to_owned())).unwrap();
    let (mut small, mut workspace) = (Small::new(&stream, 30), Workspace::new(&stream).unwrap());
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.launch(&kernels, &stream, &mut workspace).unwrap();
    small.check(&stream, &workspace, 30);
    kernels.compiled()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_kernel_is_compiled_once_for_each_architecture() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(compiled(folder.path(), H100), 1, "a miss");
    assert_eq!(compiled(folder.path(), H100), 0, "a hit");
    assert_eq!(compiled(folder.path(), A100), 1, "another architecture is a miss");
    assert_eq!(entries(folder.path()).len(), 2);
}

#[test]
fn a_corrupt_entry_is_compiled_and_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    compiled(folder.path(), H100);
    let entry = entries(folder.path()).remove(0);
    let whole = fs::read(&entry).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() - 100] ^= 1;
    for corrupt in [altered, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&entry, corrupt).unwrap();
        assert_eq!(compiled(folder.path(), H100), 1);
        assert!(fs::read(&entry).unwrap() == whole, "it is whole again");
        assert_eq!(compiled(folder.path(), H100), 0);
    }
}

#[test]
fn a_folder_that_cannot_be_made_only_costs_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(compiled(file.path(), H100), 1);
}
