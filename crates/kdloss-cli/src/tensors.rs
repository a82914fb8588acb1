//! Safetensors files, mapped into memory: nothing is read before it is needed.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorView};

use crate::failure::{Failure, Result};
use crate::foreign;

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and this program maps them as they are");

/// Names shown when one that was asked for is not there.
const NAMES_SHOWN: usize = 12;

/// The most that the format allows, in bytes; a longer one is a file of another kind.
const LONGEST_HEADER: u64 = 100_000_000;

/// A mapped file.
pub(crate) struct TensorFile {
    path: PathBuf,
    map: Mmap,
}

impl TensorFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable =
            |error| Failure::new(format!("cannot read {}: {error}: check its name and permissions", path.display()));
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

    /// Reads the header; where it is none, says what kind of file this is instead.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>> {
        self.read_header().map_err(|failure| match foreign::explain(&self.path, &self.map) {
            Some(explanation) => Failure::new(explanation),
            None => failure,
        })
    }

    /// Reads the header, and checks that it describes exactly the bytes that follow it.
    ///
    /// [`safetensors::SafeTensors::deserialize`] does the same, but adds up sizes without a check for overflow, and its
    /// errors do not tell the sizes.
    fn read_header(&self) -> Result<Tensors<'_>> {
        let (header, data) = self.header_and_data()?;
        let path = self.path.display();
        let metadata: Metadata = serde_json::from_slice(header).map_err(|error| {
            Failure::new(format!(
                "{path} is no valid safetensors file (its JSON header: {error}): write it again, in that format"
            ))
        })?;
        let (described, found) = (metadata.data_len(), data.len());
        if described != found {
            return Err(Failure::new(format!(
                "{path} describes tensors of {described} bytes but holds {found}: it is truncated or damaged; \
                 copy or write it again"
            )));
        }
        Ok(Tensors { path: &self.path, metadata, data })
    }

    /// The two parts that follow the header's length, the first eight bytes.
    fn header_and_data(&self) -> Result<(&[u8], &[u8])> {
        let (path, size) = (self.path.display(), self.map.len());
        let Some((length, rest)) = self.map.split_first_chunk() else {
            return Err(Failure::new(format!(
                "{path} has {size} bytes, too few for a safetensors file: write it again"
            )));
        };
        let length = u64::from_le_bytes(*length);
        if length > LONGEST_HEADER {
            return Err(Failure::new(format!(
                "{path} announces a header of {length} bytes, more than the format allows ({LONGEST_HEADER}): \
                 it is damaged or no safetensors file; write it again, in that format"
            )));
        }
        usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(|| {
            Failure::new(format!(
                "{path} announces a header of {length} bytes but has {size} bytes in all: \
                 it is truncated or no safetensors file; copy or write it again"
            ))
        })
    }
}

/// The tensors of a file.
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    metadata: Metadata,
    data: &'a [u8],
}

/// A tensor as it lies in its file, with what an error needs to name it.
pub(crate) struct Tensor<'a> {
    pub(crate) view: TensorView<'a>,
    name: String,
    path: &'a Path,
}

impl<'a> Tensors<'a> {
    pub(crate) fn find(&self, name: &str) -> Option<Tensor<'a>> {
        let info = self.metadata.info(name)?;
        let bytes = self.data.get(info.data_offsets.0..info.data_offsets.1)?;
        let view = TensorView::new(info.dtype, info.shape.clone(), bytes).ok()?;
        Some(Tensor { view, name: name.to_owned(), path: self.path })
    }

    /// The error that `name` is not in the file.
    pub(crate) fn missing(&self, name: &str, remedy: &str) -> Failure {
        let mut names = self.metadata.offset_keys();
        names.sort_unstable();
        let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
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

    /// The error that its elements, which cannot be read where they lie, have no room elsewhere.
    pub(crate) fn without_room(&self) -> Failure {
        self.unfit(
            "it is copied, since its elements lie unaligned, are converted or are shifted, and the copy does not fit in \
             memory: write it again with the safetensors library, which aligns, as F32, F16 or BF16",
        )
    }
}
