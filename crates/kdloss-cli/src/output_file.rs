//! Files that are written whole or not at all; pipes and devices, which take the bytes as they come.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::destination::Destination;
use crate::failure::{Failure, Result};
use crate::temporary::Temporary;

/// What is written to. Dropped without [`OutputFile::finish`], a file leaves nothing behind.
pub(crate) struct OutputFile {
    /// As the user names it.
    path: PathBuf,
    sink: Sink,
}

enum Sink {
    /// A file beside the one that it becomes.
    Whole {
        temporary: Temporary,
        becomes: PathBuf,
    },
    Direct {
        stream: File,
        is_stdout: bool,
    },
}

impl OutputFile {
    /// Checks, before any work is done, that `path` can be written and is none of `inputs`.
    pub(crate) fn create(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let sink = match Destination::of(path)? {
            Destination::File(becomes) => Sink::whole(path, becomes, inputs)?,
            Destination::Stream(stream) => Sink::Direct { stream, is_stdout: false },
            Destination::Stdout(stream) => Sink::Direct { stream, is_stdout: true },
        };
        Ok(Self { path: path.to_owned(), sink })
    }

    /// Whether stdout is what is written to, which then cannot take a report as well.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.sink, Sink::Direct { is_stdout: true, .. })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &self.sink {
            Sink::Whole { temporary, .. } => temporary.file().map_or(Ok(()), |mut file| file.write_all(bytes)),
            Sink::Direct { stream, .. } => { stream }.write_all(bytes),
        };
        written.map_err(|error| unwritable(&self.path, &error))
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
        parts.iter().try_for_each(|part| self.write(part))
    }

    /// Puts the complete file in its place.
    pub(crate) fn finish(self) -> Result<()> {
        match self.sink {
            Sink::Whole { temporary, becomes } => {
                temporary.persist(&becomes).map_err(|error| unwritable(&self.path, &error))
            }
            Sink::Direct { .. } => Ok(()),
        }
    }
}

impl Sink {
    /// A temporary file in the folder of `becomes`, to which the user's `path` leads.
    fn whole(path: &Path, becomes: PathBuf, inputs: &[&Path]) -> Result<Self> {
        let display = path.display();
        if inputs.iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == becomes)) {
            return Err(Failure::new(format!("{display} is also an input: choose another output file")));
        }
        let Some(name) = becomes.file_name() else {
            return Err(Failure::new(format!("{display} names no file: choose another output file")));
        };
        let folder = becomes.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let folder = folder.display();
            let failure = format!(
                "cannot write {display}: there is no folder {folder}: create it, or choose another output file"
            );
            return Err(Failure::new(failure));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".kdloss-").suffix(name);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        // The error's own text names the temporary file, of which the user knows nothing.
        let temporary = Temporary::create(&builder, folder).map_err(|error| {
            let (folder, kind) = (folder.display(), error.kind());
            Failure::new(format!("cannot write {display}: {kind} in the folder {folder}: choose another output file"))
        })?;
        Ok(Self::Whole { temporary, becomes })
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::BrokenPipe => return Failure::ClosedPipe,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space, or choose another output file",
        io::ErrorKind::FileTooLarge => "raise the limit on the size of files, or choose another output file",
        _ => "choose another output file",
    };
    Failure::new(format!("cannot write {}: {error}: {remedy}", path.display()))
}
