//! Temporary files, of which none stays behind: not when the program stops with an error, and not when a signal stops it.
//!
//! A file without a name (`O_TMPFILE`) would need no watch over signals, but few file systems know it, and a name cannot
//! be given to it in place of a file that is there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile};

use crate::signals;

/// The files that are there now. It is locked while one is made, moved or removed, so that a signal finds each.
static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary file that is removed unless it is moved.
pub(crate) struct Temporary {
    /// It is there until the value is dropped.
    file: Option<NamedTempFile>,
}

impl Temporary {
    pub(crate) fn create(builder: &Builder<'_, '_>, folder: &Path) -> io::Result<Self> {
        signals::before_termination(remove_all);
        let mut files = files();
        let file = builder.tempfile_in(folder)?;
        files.push(file.path().to_owned());
        Ok(Self { file: Some(file) })
    }

    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_ref().map(NamedTempFile::as_file)
    }

    /// Moves the file to `path`, in place of what may be there.
    pub(crate) fn persist(mut self, path: &Path) -> io::Result<()> {
        let mut files = files();
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        files.retain(|known| known != file.path());
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let mut files = files();
            files.retain(|known| known != file.path());
            drop(file);
        }
    }
}

fn files() -> MutexGuard<'static, Vec<PathBuf>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the files, and lets no other be made while the guard is held.
fn remove_all() -> MutexGuard<'static, Vec<PathBuf>> {
    let files = files();
    for path in files.iter() {
        // The program is about to end: there is nobody left to tell.
        let _ = std::fs::remove_file(path);
    }
    files
}
