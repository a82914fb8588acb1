//! Global memory: allocations far apart, each of whose bytes knows whether and by whom it has been written.

use crate::fault::FaultKind;

/// Who may do what with an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Kernels read it.
    Read,
    /// Kernels read and write it.
    ReadWrite,
    /// Kernels write it.
    Write,
}

/// An allocation's place in [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer(usize);

/// Who wrote two bytes last, in the launch that goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// CTA of the grid, from 1; 0 if nobody has.
    pub(crate) cta: u32,
    pub(crate) thread: u16,
    /// Barriers and fences that the CTA had seen.
    pub(crate) tick: u32,
}

/// One allocation.
#[derive(Debug, Clone)]
pub(crate) struct Allocation {
    pub(crate) name: String,
    base: u64,
    bytes: Vec<u8>,
    access: Access,
    initialised: Vec<bool>,
    writes: Vec<u8>,
    stamps: Vec<Stamp>,
    pub(crate) traffic: Traffic,
}

/// What kernels have moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read. Lanes of a warp that read the same address together count once.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Accesses by threads, by the logarithm of their size: 1, 2, 4, 8, 16 bytes.
    pub accesses: [u64; 5],
}

/// Global memory. Addresses are never 0 and never used again.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    allocations: Vec<Allocation>,
}

/// Address bits within an allocation.
const OFFSET_BITS: u32 = 40;

impl Memory {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An allocation that holds these bytes, at an address that is `misalignment` beyond a multiple of 256.
    pub fn allocate(&mut self, name: &str, bytes: &[u8], access: Access, misalignment: usize) -> Buffer {
        self.add(name, bytes.to_vec(), true, access, misalignment)
    }

    /// An allocation whose bytes must be written before they are read.
    pub fn allocate_fresh(&mut self, name: &str, len: usize, access: Access, misalignment: usize) -> Buffer {
        self.add(name, vec![0xff; len], false, access, misalignment)
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>, initialised: bool, access: Access, misalignment: usize) -> Buffer {
        let index = self.allocations.len();
        self.allocations.push(Allocation {
            name: name.to_owned(),
            base: ((index as u64 + 1) << OFFSET_BITS) + 256 + misalignment as u64,
            initialised: vec![initialised; bytes.len()],
            writes: vec![0; bytes.len()],
            stamps: Vec::new(),
            bytes,
            access,
            traffic: Traffic::default(),
        });
        Buffer(index)
    }

    /// The device address of an allocation.
    #[must_use]
    pub fn address(&self, buffer: Buffer) -> u64 {
        self.allocations[buffer.0].base
    }

    /// The bytes of an allocation.
    #[must_use]
    pub fn bytes(&self, buffer: Buffer) -> &[u8] {
        &self.allocations[buffer.0].bytes
    }

    /// How often kernels have written each byte of an allocation, up to 255 times.
    #[must_use]
    pub fn writes(&self, buffer: Buffer) -> &[u8] {
        &self.allocations[buffer.0].writes
    }

    /// What kernels have moved from and to an allocation.
    #[must_use]
    pub fn traffic(&self, buffer: Buffer) -> Traffic {
        self.allocations[buffer.0].traffic
    }

    /// Every allocation's name and traffic.
    pub fn all_traffic(&self) -> impl Iterator<Item = (&str, Traffic)> {
        self.allocations.iter().map(|allocation| (allocation.name.as_str(), allocation.traffic))
    }

    /// Forgets who wrote what: a launch begins, and sees all that came before it.
    pub(crate) fn begin_launch(&mut self) {
        self.allocations.iter_mut().for_each(|allocation| allocation.stamps.clear());
    }

    /// The allocation of an address, and the place in it of so many bytes.
    pub(crate) fn find(&mut self, address: u64, bytes: usize) -> Result<(&mut Allocation, usize), FaultKind> {
        let index = (address >> OFFSET_BITS) as usize;
        let Some(allocation) = index.checked_sub(1).and_then(|index| self.allocations.get_mut(index)) else {
            return Err(FaultKind::OutOfBounds { place: "nothing".to_owned(), offset: address as i64, bytes });
        };
        let offset = address.wrapping_sub(allocation.base) as i64;
        let place = || allocation.name.clone();
        let fits = usize::try_from(offset).is_ok_and(|offset| offset + bytes <= allocation.bytes.len());
        if !fits {
            return Err(FaultKind::OutOfBounds { place: place(), offset, bytes });
        }
        if !address.is_multiple_of(bytes as u64) {
            return Err(FaultKind::Misaligned { place: place(), offset, bytes });
        }
        Ok((allocation, offset as usize))
    }
}

impl Allocation {
    /// Reads bytes that have been written; what a kernel has written is up to `is_visible`.
    pub(crate) fn read(
        &self,
        offset: usize,
        bytes: usize,
        is_visible: impl Fn(Stamp) -> Option<&'static str>,
    ) -> Result<&[u8], FaultKind> {
        if self.access == Access::Write {
            return Err(FaultKind::Forbidden { place: self.name.clone() });
        }
        let range = offset..offset + bytes;
        if !self.initialised[range.clone()].iter().all(|&byte| byte) {
            return Err(FaultKind::Uninitialised { place: self.name.clone(), offset: offset as i64, bytes });
        }
        if !self.stamps.is_empty() {
            for &stamp in &self.stamps[offset / 2..(offset + bytes).div_ceil(2)] {
                if let Some(missing) = (stamp.cta != 0).then(|| is_visible(stamp)).flatten() {
                    let (place, writer) = (self.name.clone(), stamp.cta - 1);
                    return Err(FaultKind::NotVisible { place, offset: offset as i64, writer, missing });
                }
            }
        }
        Ok(&self.bytes[range])
    }

    /// Writes bytes.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8], stamp: Stamp) -> Result<(), FaultKind> {
        if self.access == Access::Read {
            return Err(FaultKind::Forbidden { place: self.name.clone() });
        }
        let range = offset..offset + bytes.len();
        self.bytes[range.clone()].copy_from_slice(bytes);
        self.initialised[range.clone()].fill(true);
        self.writes[range].iter_mut().for_each(|count| *count = count.saturating_add(1));
        if self.stamps.is_empty() {
            self.stamps = vec![Stamp::default(); self.bytes.len().div_ceil(2)];
        }
        self.stamps[offset / 2..(offset + bytes.len()).div_ceil(2)].fill(stamp);
        Ok(())
    }
}
