//! Safetensors files, mapped into memory: nothing is read before it is needed.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{SafeTensorError, TensorView};

use super::failure::{Failure, Result};

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and this program maps them as they are");

/// Names shown when one that was asked for is not there.
const NAMES_SHOWN: usize = 12;

/// A mapped file.
pub(crate) struct TensorFile {
    path: PathBuf,
    map: Mmap,
}

impl TensorFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
        // Asked before the file is opened: opening a named pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(Failure::new(format!(
                "{} is not a regular file, so it cannot be mapped: save the tensors to a safetensors file",
                path.display()
            )));
        }
        let file = File::open(path).map_err(unreadable)?;
        // SAFETY: the mapped bytes must not change while they are borrowed. The map is private to this value and
        // read-only, so this program does not change them; that no other program writes to the file or truncates it
        // meanwhile remains the user's duty, which the help states.
        let map = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), map })
    }

    /// Reads the header, and checks that it describes exactly the bytes that follow it.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>> {
        let parsed = SafeTensors::deserialize(&self.map).map_err(|error| self.damaged(&error))?;
        Ok(Tensors { path: &self.path, parsed })
    }

    fn damaged(&self, error: &SafeTensorError) -> Failure {
        let (path, size) = (self.path.display(), self.map.len());
        let header_size = self.map.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Failure::new(match error {
            SafeTensorError::HeaderTooSmall => {
                format!("{path} has {size} bytes, too few for a safetensors file: write it again")
            }
            SafeTensorError::HeaderTooLarge => format!(
                "{path} announces a header of {header_size} bytes, more than the format allows (100000000): \
                 it is damaged or no safetensors file; write it again, in that format"
            ),
            SafeTensorError::InvalidHeaderLength => format!(
                "{path} announces a header of {header_size} bytes but has {size} bytes in all: \
                 it is truncated or no safetensors file; copy or write it again"
            ),
            SafeTensorError::MetadataIncompleteBuffer => format!(
                "{path} has {size} bytes, not what its header describes: it is truncated or damaged; \
                 copy or write it again"
            ),
            error => format!("{path} is no valid safetensors file ({error}): write it again, in that format"),
        })
    }
}

/// The tensors of a file.
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    parsed: SafeTensors<'a>,
}

/// A tensor as it lies in its file, with what an error needs to name it.
pub(crate) struct Tensor<'a> {
    pub(crate) view: TensorView<'a>,
    name: String,
    path: &'a Path,
}

impl<'a> Tensors<'a> {
    pub(crate) fn find(&self, name: &str) -> Option<Tensor<'a>> {
        let view = self.parsed.tensor(name).ok()?;
        Some(Tensor { view, name: name.to_owned(), path: self.path })
    }

    /// The error that `name` is not in the file.
    pub(crate) fn missing(&self, name: &str, remedy: &str) -> Failure {
        let mut names = self.parsed.names();
        names.sort_unstable();
        let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
        let there = match names.len().checked_sub(NAMES_SHOWN) {
            _ if names.is_empty() => "it has none".to_owned(),
            None | Some(0) => format!("it has {shown}"),
            Some(more) => format!("it has {shown} and {more} more"),
        };
        Failure::new(format!("{} has no tensor `{name}` ({there}): {remedy}", self.path.display()))
    }
}

impl Tensor<'_> {
    /// An error about this tensor: which it is, its type and shape, then `complaint`.
    pub(crate) fn unfit(&self, complaint: &str) -> Failure {
        let (dtype, shape) = (self.view.dtype(), self.view.shape());
        Failure::new(format!("tensor `{}` of {} is {dtype} {shape:?}: {complaint}", self.name, self.path.display()))
    }
}
