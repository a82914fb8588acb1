//! What can be wrong with a module, or go wrong while it runs.

/// A module that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PTX line {line}: {problem}: {text}")]
pub struct ParseError {
    /// Line of the module, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// The statement.
    pub text: String,
}

/// Something that a kernel must not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (CTA {cta}, thread {thread}, PTX line {line}: {text})")]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// CTA of the grid.
    pub cta: u32,
    /// Thread of the CTA.
    pub thread: u32,
    /// Line of the module, from 1.
    pub line: usize,
    /// The instruction.
    pub text: String,
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// An address outside every allocation, or beyond the end of one.
    #[error("out of bounds: {bytes} bytes at byte {offset} of {place}")]
    OutOfBounds {
        /// The allocation, or the kind of memory.
        place: String,
        /// Where in it.
        offset: i64,
        /// How much was to be accessed.
        bytes: usize,
    },
    /// An address that is no multiple of the access's size.
    #[error("misaligned: {bytes} bytes at byte {offset} of {place}")]
    Misaligned {
        /// The allocation, or the kind of memory.
        place: String,
        /// Where in it.
        offset: i64,
        /// How much was to be accessed.
        bytes: usize,
    },
    /// A write to what is only to be read, or a read of what is only to be written.
    #[error("{place} is not to be accessed so")]
    Forbidden {
        /// The allocation.
        place: String,
    },
    /// A read of bytes that nobody has written.
    #[error("uninitialised: {bytes} bytes at byte {offset} of {place}")]
    Uninitialised {
        /// The allocation, or the kind of memory.
        place: String,
        /// Where in it.
        offset: i64,
        /// How much was to be accessed.
        bytes: usize,
    },
    /// A read of a register that nobody has written.
    #[error("a register is read that was never written")]
    UnwrittenRegister,
    /// Two threads, the same shared memory, one of them writing, and no barrier in between.
    #[error("race in shared memory at byte {offset}, with thread {other}")]
    Race {
        /// Where.
        offset: i64,
        /// The other thread, or that there are several.
        other: String,
    },
    /// A read of what another CTA has written and no fence has made visible.
    #[error("byte {offset} of {place} was written by CTA {writer} and is not visible yet: {missing} fence is missing")]
    NotVisible {
        /// The allocation.
        place: String,
        /// Where in it.
        offset: i64,
        /// Who wrote it.
        writer: u32,
        /// Whose fence is missing: `the writer's` or `the reader's`.
        missing: &'static str,
    },
    /// A synchronising instruction that some of the lanes it names do not reach.
    #[error("divergent: lanes {missing:#010x} do not arrive")]
    Divergent {
        /// The lanes.
        missing: u32,
    },
    /// A barrier that a warp does not reach because it has ended.
    #[error("a barrier waits for threads that have exited")]
    Abandoned,
    /// Warps that wait for each other at different barriers.
    #[error("deadlock: every warp waits")]
    Deadlock,
    /// Shared memory of a CTA that has exited, or is not in the cluster.
    #[error("CTA {rank} of the cluster is not there")]
    Gone {
        /// Its rank.
        rank: u32,
    },
    /// A CTA that exits although nothing makes it wait for the reads that others make of its shared memory.
    #[error("the CTA exits while another of its cluster may still read its shared memory")]
    LeftEarly,
    /// More instructions than were allowed.
    #[error("more instructions than were allowed: an endless loop?")]
    TooLong,
    /// A launch that no GPU would take.
    #[error("launch refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
}
