//! A warp: its registers, and the groups into which branches have split its lanes.

use crate::fault::FaultKind;
use crate::module::Kernel;
use crate::registers::{LANES, Registers};
use crate::shared::Accessor;

/// Lanes that are at the same instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub(crate) place: usize,
    pub(crate) mask: u32,
    /// Whether it stands at an instruction that needs lanes of other groups too.
    pub(crate) waits: bool,
}

/// What a warp is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Runs,
    /// At a barrier of its CTA; if that counts, the register of the result.
    AtBarrier(Option<usize>),
    AtClusterWait,
    Done,
}

#[derive(Debug)]
pub(crate) struct Warp {
    pub(crate) registers: Registers,
    pub(crate) groups: Vec<Group>,
    pub(crate) live: u32,
    pub(crate) index: usize,
    pub(crate) state: State,
    pub(crate) barriers: u32,
    pub(crate) cluster_barriers: u32,
    pub(crate) cluster_arrivals: u32,
}

/// Where a CTA is in its launch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) cta: u32,
    pub(crate) rank: u32,
    pub(crate) cluster: u32,
    pub(crate) grid: u32,
    pub(crate) threads: u32,
}

impl Warp {
    pub(crate) fn new(kernel: &Kernel, index: usize, position: Position, noise: Option<u64>) -> Self {
        let mut registers = kernel.registers.clone();
        registers.noise = noise;
        for (name, &register) in &kernel.special {
            let lanes = std::array::from_fn(|lane| special(name, (index * LANES + lane) as u32, position));
            registers.write::<u32>(register, u32::MAX, lanes);
        }
        Self {
            registers,
            groups: vec![Group { place: 0, mask: u32::MAX, waits: false }],
            live: u32::MAX,
            index,
            state: State::Runs,
            barriers: 0,
            cluster_barriers: 0,
            cluster_arrivals: 0,
        }
    }

    pub(crate) fn accessor(&self, lane: usize) -> Accessor {
        Accessor {
            thread: (self.index * LANES + lane) as u16,
            barriers: self.barriers,
            cluster_barriers: self.cluster_barriers,
        }
    }

    /// The group to go on with: the one furthest behind, so that groups meet again, or by chance another.
    pub(crate) fn choose_group(&mut self, chance: impl FnOnce() -> usize) -> Result<usize, FaultKind> {
        if self.groups.len() == 1 && !self.groups[0].waits {
            return Ok(0);
        }
        let ready: Vec<usize> = (0..self.groups.len()).filter(|&index| !self.groups[index].waits).collect();
        if ready.is_empty() {
            let missing = self.live & !self.groups[0].mask;
            return Err(FaultKind::Divergent { missing });
        }
        let chance = chance();
        if chance.is_multiple_of(16) {
            return Ok(ready[chance / 16 % ready.len()]);
        }
        Ok(ready.into_iter().min_by_key(|&index| self.groups[index].place).unwrap_or(0))
    }

    /// Makes one group of those that are at the same instruction.
    pub(crate) fn merge_groups(&mut self) {
        let mut first = 0;
        while first < self.groups.len() {
            let mut second = first + 1;
            while second < self.groups.len() {
                if self.groups[first].place == self.groups[second].place {
                    let merged = self.groups.swap_remove(second);
                    self.groups[first].mask |= merged.mask;
                    self.groups[first].waits = false;
                } else {
                    second += 1;
                }
            }
            first += 1;
        }
    }
}

fn special(name: &str, thread: u32, position: Position) -> u32 {
    match name {
        "tid.x" => thread,
        "laneid" => thread % LANES as u32,
        "ntid.x" => position.threads,
        "ctaid.x" => position.cta,
        "nctaid.x" => position.grid,
        "cluster_ctarank" | "cluster_ctaid.x" => position.rank,
        "cluster_nctarank" => position.cluster,
        "clusterid.x" => position.cta / position.cluster,
        "nclusterid.x" => position.grid / position.cluster,
        // The other dimensions of threads.
        _ => 0,
    }
}
