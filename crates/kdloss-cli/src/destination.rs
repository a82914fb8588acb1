//! Where output goes: what a path leads to, through symbolic links.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// Symbolic links that are followed, one to the next, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// What takes the output.
pub(crate) enum Destination {
    /// A regular file, there or not, which can be replaced as a whole.
    File(PathBuf),
    /// A pipe or a device, which takes bytes as they come and must stay what it is.
    Stream(File),
    /// What stdout is.
    Stdout(File),
}

impl Destination {
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let display = path.display();
        let Ok(metadata) = fs::metadata(path) else {
            return Ok(Self::File(followed(path)));
        };
        if let Some(stdout) = stdout_if_it_is(&metadata) {
            return Ok(Self::Stdout(stdout));
        }
        if metadata.is_file() {
            let real = fs::canonicalize(path);
            return real.map(Self::File).map_err(|error| Failure::new(format!("cannot write {display}: {error}")));
        }
        if metadata.is_dir() || is_no_stream(&metadata) {
            return Err(Failure::new(format!("{display} is no file and no pipe: choose another output file")));
        }
        OpenOptions::new()
            .write(true)
            .open(path)
            .map(Self::Stream)
            .map_err(|error| Failure::new(format!("cannot write {display}: {error}: choose another output file")))
    }
}

/// Where the links that begin at a path end, although nothing is there.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

/// Stdout, if that is what `metadata` is of, as it is of /dev/stdout. A terminal and /dev/null take several writers.
#[cfg(unix)]
fn stdout_if_it_is(metadata: &fs::Metadata) -> Option<File> {
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    let stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned().ok()?);
    let of_stdout = stdout.metadata().ok()?;
    let same = (of_stdout.dev(), of_stdout.ino()) == (metadata.dev(), metadata.ino());
    (same && !metadata.file_type().is_char_device()).then_some(stdout)
}

#[cfg(not(unix))]
fn stdout_if_it_is(_: &fs::Metadata) -> Option<File> {
    None
}

/// A socket cannot be opened, and a disk is not overwritten by mistake.
#[cfg(unix)]
fn is_no_stream(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;

    metadata.file_type().is_socket() || metadata.file_type().is_block_device()
}

#[cfg(not(unix))]
fn is_no_stream(_: &fs::Metadata) -> bool {
    false
}
