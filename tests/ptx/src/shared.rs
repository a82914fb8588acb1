//! The shared memory of a CTA, which knows of each word who has touched it since which barrier.
//!
//! A warp counts the barriers that it has passed: those of its CTA (those of the cluster among them), and those of the
//! cluster. Two accesses of threads of one CTA are ordered if the first count differs between them; of threads of
//! different CTAs, if the second does. Writes come from the CTA itself: nothing here writes to another's memory.

use crate::fault::FaultKind;

/// Who accesses, and how many barriers it has passed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accessor {
    pub(crate) thread: u16,
    /// Barriers of the CTA and of the cluster.
    pub(crate) barriers: u32,
    /// Barriers of the cluster alone.
    pub(crate) cluster_barriers: u32,
}

/// A thread that cannot be: several have read.
const SEVERAL: u16 = u16::MAX;
const NEVER: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Word {
    is_written: bool,
    writer: u16,
    reader: u16,
    written_at: u32,
    written_at_cluster: u32,
    read_at: u32,
    read_remotely_at: u32,
}

const FRESH: Word = Word {
    is_written: false,
    writer: 0,
    reader: 0,
    written_at: NEVER,
    written_at_cluster: NEVER,
    read_at: NEVER,
    read_remotely_at: NEVER,
};

/// The shared memory of one CTA.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    bytes: Vec<u8>,
    words: Vec<Word>,
    /// The most cluster barriers that another CTA had passed when it read here.
    last_remote_read: Option<u32>,
}

impl Shared {
    pub(crate) fn new(len: usize) -> Self {
        Self { bytes: vec![0xff; len], words: vec![FRESH; len.div_ceil(4)], last_remote_read: None }
    }

    fn check(&self, address: u64, bytes: usize) -> Result<usize, FaultKind> {
        let (place, offset) = (|| "shared memory".to_owned(), address as i64);
        let fits = usize::try_from(address).is_ok_and(|start| start.saturating_add(bytes) <= self.bytes.len());
        if !fits {
            return Err(FaultKind::OutOfBounds { place: place(), offset, bytes });
        }
        if !address.is_multiple_of(bytes as u64) {
            return Err(FaultKind::Misaligned { place: place(), offset, bytes });
        }
        Ok(address as usize)
    }

    /// A read by a thread of the CTA, and the words of it that nobody has written. Some may be: compilers read a vector
    /// for the sake of three of its four words. But not all.
    pub(crate) fn read(&mut self, address: u64, bytes: usize, accessor: Accessor) -> Result<(&[u8], u32), FaultKind> {
        let start = self.check(address, bytes)?;
        let words = &mut self.words[start / 4..(start + bytes).div_ceil(4)];
        let unwritten = words.iter().rev().fold(0, |bits, word| bits << 1 | u32::from(!word.is_written));
        if unwritten.count_ones() as usize == words.len() {
            return Err(uninitialised(start, bytes));
        }
        for word in words.iter_mut().filter(|word| word.is_written) {
            if word.written_at == accessor.barriers && word.writer != accessor.thread {
                return Err(race(start, word.writer));
            }
            let is_first = word.read_at != accessor.barriers || word.reader == accessor.thread;
            word.reader = if is_first { accessor.thread } else { SEVERAL };
            word.read_at = accessor.barriers;
        }
        Ok((&self.bytes[start..start + bytes], unwritten))
    }

    /// A read by a thread of another CTA of the cluster.
    pub(crate) fn read_remotely(&mut self, address: u64, bytes: usize, accessor: Accessor) -> Result<&[u8], FaultKind> {
        let start = self.check(address, bytes)?;
        for word in &mut self.words[start / 4..(start + bytes).div_ceil(4)] {
            if !word.is_written {
                return Err(uninitialised(start, bytes));
            }
            if word.written_at_cluster == accessor.cluster_barriers {
                return Err(race(start, word.writer));
            }
            word.read_remotely_at = accessor.cluster_barriers;
        }
        self.last_remote_read = self.last_remote_read.max(Some(accessor.cluster_barriers));
        Ok(&self.bytes[start..start + bytes])
    }

    /// Whether a cluster barrier lies between the last read by another CTA and the end of this one, which has passed so many.
    pub(crate) fn may_end(&self, cluster_barriers: u32) -> bool {
        self.last_remote_read.is_none_or(|read| read < cluster_barriers)
    }

    /// A write by a thread of the CTA.
    pub(crate) fn write(&mut self, address: u64, bytes: &[u8], accessor: Accessor) -> Result<(), FaultKind> {
        let start = self.check(address, bytes.len())?;
        for word in &mut self.words[start / 4..(start + bytes.len()).div_ceil(4)] {
            if word.written_at == accessor.barriers && word.writer != accessor.thread {
                return Err(race(start, word.writer));
            }
            if word.read_at == accessor.barriers && word.reader != accessor.thread {
                return Err(race(start, word.reader));
            }
            if word.read_remotely_at == accessor.cluster_barriers {
                return Err(race(start, SEVERAL));
            }
            word.is_written = true;
            word.writer = accessor.thread;
            word.written_at = accessor.barriers;
            word.written_at_cluster = accessor.cluster_barriers;
        }
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// The bytes of an atomic operation, which races with nothing atomic.
    pub(crate) fn atomic(&mut self, address: u64, bytes: usize) -> Result<&mut [u8], FaultKind> {
        let start = self.check(address, bytes)?;
        if self.words[start / 4..(start + bytes).div_ceil(4)].iter().any(|word| !word.is_written) {
            return Err(uninitialised(start, bytes));
        }
        Ok(&mut self.bytes[start..start + bytes])
    }
}

fn uninitialised(start: usize, bytes: usize) -> FaultKind {
    FaultKind::Uninitialised { place: "shared memory".to_owned(), offset: start as i64, bytes }
}

fn race(start: usize, other: u16) -> FaultKind {
    let other = if other == SEVERAL { "several or another CTA's".to_owned() } else { other.to_string() };
    FaultKind::Race { offset: start as i64, other }
}
