//! The registers of a warp: each is 32 lanes wide, so that one instruction is one loop over lanes.
//!
//! A register belongs to one of three files: narrow (16 and 32 bits), wide (64 bits), and predicates (a bit to a lane).
//! Immediate numbers and special registers are registers too, filled when a warp starts. Every read checks that the
//! active lanes have been written; a read that has not is remembered, and reported once the instruction is over.

pub(crate) const LANES: usize = 32;

/// A register by its number within its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Register {
    Narrow(usize),
    Wide(usize),
    Predicate(usize),
}

/// What a lane of a file holds.
pub(crate) trait Raw: Copy + Default + PartialEq {
    fn file(registers: &Registers) -> &File<Self>;
    fn file_mut(registers: &mut Registers) -> &mut File<Self>;
}

/// A number as an instruction's type says: how it lies in a register.
pub(crate) trait Number: Copy {
    type Raw: Raw;
    fn from_raw(raw: Self::Raw) -> Self;
    fn to_raw(self) -> Self::Raw;
}

macro_rules! number {
    ($type:ty, $raw:ty, $from:expr, $to:expr) => {
        impl Number for $type {
            type Raw = $raw;
            #[inline(always)]
            fn from_raw(raw: $raw) -> Self {
                let from: fn($raw) -> $type = $from;
                from(raw)
            }
            #[inline(always)]
            fn to_raw(self) -> $raw {
                let to: fn($type) -> $raw = $to;
                to(self)
            }
        }
    };
}
number!(u16, u32, |raw| raw as u16, u32::from);
number!(i16, u32, |raw| raw as i16, |value| u32::from(value as u16));
number!(u32, u32, |raw| raw, |value| value);
number!(i32, u32, |raw| raw as i32, |value| value as u32);
number!(f32, u32, f32::from_bits, f32::to_bits);
number!(u64, u64, |raw| raw, |value| value);
number!(i64, u64, |raw| raw as i64, |value| value as u64);
number!(f64, u64, f64::from_bits, f64::to_bits);

/// One file.
#[derive(Debug, Clone, Default)]
pub(crate) struct File<R> {
    lanes: Vec<[R; LANES]>,
    written: Vec<u32>,
}

impl<R: Raw> File<R> {
    pub(crate) fn add(&mut self) -> usize {
        self.lanes.push([R::default(); LANES]);
        self.written.push(0);
        self.lanes.len() - 1
    }

    pub(crate) fn fill(&mut self, register: usize, value: R) {
        self.lanes[register] = [value; LANES];
        self.written[register] = u32::MAX;
    }
}

/// All registers of a warp.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registers {
    narrow: File<u32>,
    wide: File<u64>,
    predicates: Vec<u32>,
    predicates_written: Vec<u32>,
    /// Whether a lane was read that had never been written.
    pub(crate) unwritten_read: bool,
    /// What moves the results of approximations, if anything does.
    pub(crate) noise: Option<u64>,
}

impl Raw for u32 {
    fn file(registers: &Registers) -> &File<u32> {
        &registers.narrow
    }
    fn file_mut(registers: &mut Registers) -> &mut File<u32> {
        &mut registers.narrow
    }
}

impl Raw for u64 {
    fn file(registers: &Registers) -> &File<u64> {
        &registers.wide
    }
    fn file_mut(registers: &mut Registers) -> &mut File<u64> {
        &mut registers.wide
    }
}

impl Registers {
    pub(crate) fn add_predicate(&mut self) -> usize {
        self.predicates.push(0);
        self.predicates_written.push(0);
        self.predicates.len() - 1
    }

    /// The lanes of a register.
    #[inline(always)]
    pub(crate) fn read<R: Raw>(&mut self, register: usize, mask: u32) -> [R; LANES] {
        let file = R::file(self);
        let lanes = file.lanes[register];
        if mask & !file.written[register] != 0 {
            self.unwritten_read = true;
        }
        lanes
    }

    /// Sets the active lanes of a register.
    #[inline(always)]
    pub(crate) fn write<R: Raw>(&mut self, register: usize, mask: u32, values: [R; LANES]) {
        let file = R::file_mut(self);
        file.written[register] |= mask;
        let lanes = &mut file.lanes[register];
        if mask == u32::MAX {
            *lanes = values;
        } else {
            for lane in 0..LANES {
                lanes[lane] = if mask >> lane & 1 != 0 { values[lane] } else { lanes[lane] };
            }
        }
    }

    /// Makes lanes of a register as if they had never been written.
    pub(crate) fn forget(&mut self, register: Register, mask: u32) {
        match register {
            Register::Narrow(register) => self.narrow.written[register] &= !mask,
            Register::Wide(register) => self.wide.written[register] &= !mask,
            Register::Predicate(register) => self.predicates_written[register] &= !mask,
        }
    }

    #[inline(always)]
    pub(crate) fn read_predicate(&mut self, register: usize, mask: u32) -> u32 {
        if mask & !self.predicates_written[register] != 0 {
            self.unwritten_read = true;
        }
        self.predicates[register]
    }

    #[inline(always)]
    pub(crate) fn write_predicate(&mut self, register: usize, mask: u32, value: u32) {
        self.predicates_written[register] |= mask;
        self.predicates[register] = self.predicates[register] & !mask | value & mask;
    }

    /// The lanes of a narrow or wide register as addresses.
    pub(crate) fn read_address(&mut self, register: Register, mask: u32) -> [u64; LANES] {
        match register {
            Register::Narrow(register) => self.read::<u32>(register, mask).map(u64::from),
            Register::Wide(register) | Register::Predicate(register) => self.read::<u64>(register, mask),
        }
    }
}
