//! Files that are written whole or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use tempfile::NamedTempFile;

use crate::failure::{Failure, Result};

/// A temporary file beside the one that it becomes. Dropped without [`OutputFile::finish`], it leaves nothing behind.
pub(crate) struct OutputFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl OutputFile {
    /// Checks, before any work is done, that `path` can be written and is none of `inputs`.
    pub(crate) fn create(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let display = path.display();
        if let Ok(existing) = fs::canonicalize(path) {
            if !existing.is_file() {
                return Err(Failure::new(format!("{display} is not a regular file: choose another output file")));
            }
            if inputs.iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == existing)) {
                return Err(Failure::new(format!("{display} is also an input: choose another output file")));
            }
        }
        let Some(name) = path.file_name() else {
            return Err(Failure::new(format!("{display} names no file: choose another output file")));
        };
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let folder = folder.display();
            let failure = format!(
                "cannot write {display}: there is no folder {folder}: create it, or choose another output file"
            );
            return Err(Failure::new(failure));
        }
        let mut builder = tempfile::Builder::new();
        // The extension stays at the end, for writers that go by it.
        builder.prefix(".kdloss-").suffix(name);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // The error's own text names the temporary file, of which the user knows nothing.
        let temporary = builder.tempfile_in(folder).map_err(|error| {
            let (folder, kind) = (folder.display(), error.kind());
            Failure::new(format!("cannot write {display}: {kind} in the folder {folder}: choose another output file"))
        })?;
        Ok(Self { temporary, path: path.to_owned() })
    }

    /// Where to write meanwhile.
    pub(crate) fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// Writes a safetensors file with the one tensor `grad`.
    pub(crate) fn write_gradient(&mut self, gradient: &[f32], rows: usize, vocab: usize) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(gradient);
        let info = TensorInfo { dtype: Dtype::F32, shape: vec![rows, vocab], data_offsets: (0, bytes.len()) };
        let metadata = Metadata::new(None, vec![("grad".to_owned(), info)]);
        let mut header = metadata
            .and_then(|metadata| Ok(serde_json::to_vec(&metadata)?))
            .map_err(|error| Failure::new(format!("cannot describe the gradient: {error}")))?;
        // Padded, so that the elements lie aligned in a mapped file.
        header.resize(header.len().next_multiple_of(8), b' ');
        let parts = [&(header.len() as u64).to_le_bytes(), header.as_slice(), bytes];
        parts.iter().try_for_each(|part| self.temporary.write_all(part)).map_err(|error| self.unwritable(&error))
    }

    /// Puts the complete file in its place.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { temporary, path } = self;
        temporary.persist(&path).map(drop).map_err(|error| unwritable(&path, &error.error))
    }

    fn unwritable(&self, error: &std::io::Error) -> Failure {
        unwritable(&self.path, error)
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}
