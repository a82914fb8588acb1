//! Global memory: allocations far apart, each of whose bytes knows whether and by whom it has been written.

use std::ops::Range;

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
    is_freed: bool,
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
    region: u64,
    allocations: Vec<Allocation>,
}

/// Address bits within an allocation.
const OFFSET_BITS: u32 = 40;

/// Address bits that count the allocations of a region.
const COUNT_BITS: u32 = 20;

impl Memory {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing yet, at addresses that no memory of another region has: those of up to 16 GPUs that share an address space.
    #[must_use]
    pub fn of_region(region: u8) -> Self {
        Self { region: u64::from(region) << (OFFSET_BITS + COUNT_BITS), allocations: Vec::new() }
    }

    /// The region that an address lies in.
    #[must_use]
    pub fn region_of(address: u64) -> u8 {
        (address >> (OFFSET_BITS + COUNT_BITS)) as u8
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
            base: self.region + ((index as u64 + 1) << OFFSET_BITS) + 256 + misalignment as u64,
            initialised: vec![initialised; bytes.len()],
            writes: vec![0; bytes.len()],
            stamps: Vec::new(),
            is_freed: false,
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

    /// The allocation of an address, and the place in it of so many bytes that an instruction accesses.
    pub(crate) fn find(&mut self, address: u64, bytes: usize) -> Result<(&mut Allocation, usize), FaultKind> {
        let (index, offset) = self.place(address, bytes)?;
        let allocation = &mut self.allocations[index];
        if !address.is_multiple_of(bytes as u64) {
            return Err(FaultKind::Misaligned { place: allocation.name.clone(), offset: offset as i64, bytes });
        }
        Ok((allocation, offset))
    }

    /// The index of an address's allocation, and the place in it of so many bytes.
    fn place(&self, address: u64, bytes: usize) -> Result<(usize, usize), FaultKind> {
        let index = address.checked_sub(self.region).and_then(|address| (address >> OFFSET_BITS).checked_sub(1));
        let index = index.map_or(usize::MAX, |index| index as usize);
        let Some(allocation) = self.allocations.get(index) else {
            return Err(FaultKind::OutOfBounds { place: "nothing".to_owned(), offset: address as i64, bytes });
        };
        let offset = address.wrapping_sub(allocation.base) as i64;
        let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(bytes));
        if end.is_none_or(|end| end > allocation.bytes.len()) {
            return Err(FaultKind::OutOfBounds { place: allocation.name.clone(), offset, bytes });
        }
        Ok((index, offset as usize))
    }
}

/// What a host does with memory, by addresses: no alignment, no [`Access`], no counting.
impl Memory {
    /// The addresses of the allocation that an address lies in.
    #[must_use]
    pub fn range(&self, address: u64) -> Option<Range<u64>> {
        let (index, _) = self.place(address, 1).ok()?;
        let allocation = &self.allocations[index];
        Some(allocation.base..allocation.base + allocation.bytes.len() as u64)
    }

    /// Ends the allocation that begins at an address: what touches it from now on is a fault.
    ///
    /// # Errors
    ///
    /// [`FaultKind::OutOfBounds`] if none begins there.
    pub fn free(&mut self, address: u64) -> Result<(), FaultKind> {
        let (index, offset) = self.place(address, 0)?;
        let allocation = &mut self.allocations[index];
        let place = allocation.name.clone();
        if offset != 0 || allocation.is_freed {
            return Err(FaultKind::OutOfBounds { place, offset: offset as i64, bytes: 0 });
        }
        allocation.name = format!("{place}, which has been freed");
        allocation.is_freed = true;
        (allocation.bytes, allocation.initialised) = (Vec::new(), Vec::new());
        (allocation.writes, allocation.stamps) = (Vec::new(), Vec::new());
        Ok(())
    }

    /// Writes bytes.
    ///
    /// # Errors
    ///
    /// [`FaultKind::OutOfBounds`].
    pub fn upload(&mut self, address: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        let (index, offset) = self.place(address, bytes.len())?;
        let allocation = &mut self.allocations[index];
        allocation.bytes[offset..][..bytes.len()].copy_from_slice(bytes);
        allocation.initialised[offset..][..bytes.len()].fill(true);
        Ok(())
    }

    /// Reads bytes that have been written.
    ///
    /// # Errors
    ///
    /// [`FaultKind::OutOfBounds`] or [`FaultKind::Uninitialised`].
    pub fn download(&self, address: u64, bytes: usize) -> Result<&[u8], FaultKind> {
        let (index, offset) = self.place(address, bytes)?;
        let allocation = &self.allocations[index];
        if !allocation.initialised[offset..][..bytes].iter().all(|&byte| byte) {
            let place = allocation.name.clone();
            return Err(FaultKind::Uninitialised { place, offset: offset as i64, bytes });
        }
        Ok(&allocation.bytes[offset..][..bytes])
    }

    /// Copies bytes; those that nobody has written stay such.
    ///
    /// # Errors
    ///
    /// [`FaultKind::OutOfBounds`].
    pub fn copy(&mut self, to: u64, from: u64, bytes: usize) -> Result<(), FaultKind> {
        let (source, start) = self.place(from, bytes)?;
        let (target, offset) = self.place(to, bytes)?;
        let source = &self.allocations[source];
        let content = source.bytes[start..][..bytes].to_vec();
        let initialised = source.initialised[start..][..bytes].to_vec();
        let target = &mut self.allocations[target];
        target.bytes[offset..][..bytes].copy_from_slice(&content);
        target.initialised[offset..][..bytes].copy_from_slice(&initialised);
        Ok(())
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
