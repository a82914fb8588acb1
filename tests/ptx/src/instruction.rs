//! What instructions are made of once they have been read.

use crate::arithmetic::Compute;
use crate::registers::Register;

/// One instruction.
pub(crate) struct Instruction {
    pub(crate) action: Action,
    /// The predicate that says which lanes take part, and whether it is negated.
    pub(crate) guard: Option<(usize, bool)>,
    /// The mnemonic with its types, such as `add.f32`.
    pub(crate) mnemonic: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// What an instruction does.
pub(crate) enum Action {
    Compute(Compute),
    Branch {
        target: usize,
    },
    Exit,
    Trap,
    Load(Transfer),
    Store(Transfer),
    Atomic(Atomic),
    /// `bar.sync` of the whole CTA.
    Barrier,
    /// `bar.red.popc`: how many threads have the predicate.
    CountingBarrier {
        result: usize,
        predicate: usize,
        negated: bool,
    },
    ClusterArrive,
    ClusterWait,
    Fence,
    Shuffle {
        d: usize,
        a: usize,
        lane: usize,
        clamp: usize,
        mask: usize,
        mode: ShuffleMode,
    },
    Vote {
        result: Register,
        predicate: usize,
        negated: bool,
        mask: usize,
        mode: VoteMode,
    },
    MapRank {
        d: Register,
        address: Register,
        rank: usize,
    },
}

/// A load or a store.
pub(crate) struct Transfer {
    pub(crate) space: Space,
    pub(crate) address: Register,
    pub(crate) offset: i64,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub(crate) element: usize,
    pub(crate) signed: bool,
    /// One register, or those of a vector.
    pub(crate) registers: Vec<Register>,
}

/// An atomic operation on 4 bytes.
pub(crate) struct Atomic {
    pub(crate) space: Space,
    pub(crate) address: Register,
    pub(crate) offset: i64,
    pub(crate) result: Option<usize>,
    pub(crate) operand: usize,
    pub(crate) operation: fn(u32, u32) -> u32,
}

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Parameters,
    Global,
    Shared,
    /// Shared memory of any CTA of the cluster, its rank in the upper bits of the address.
    Cluster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShuffleMode {
    Butterfly,
    Up,
    Down,
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VoteMode {
    All,
    Any,
    Ballot,
}

/// Bits of a cluster address below the rank.
pub(crate) const RANK_SHIFT: u32 = 24;
