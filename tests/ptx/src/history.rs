//! When a CTA has passed barriers and executed fences: what decides which of its writes others may read.
//!
//! A write becomes visible to other CTAs by a fence that comes after it: of the thread that wrote, or of any thread of the
//! CTA if a barrier lies between. A reader has to have executed a fence since, itself or before a barrier.

/// A fence.
#[derive(Debug, Clone, Copy)]
struct Fence {
    tick: u32,
    clock: u64,
    warp: usize,
    mask: u32,
}

/// Barriers and fences of one CTA. Each is a tick of its own clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    tick: u32,
    barriers: Vec<u32>,
    fences: Vec<Fence>,
}

impl History {
    pub(crate) fn tick(&self) -> u32 {
        self.tick
    }

    pub(crate) fn pass_barrier(&mut self) {
        self.tick += 1;
        self.barriers.push(self.tick);
    }

    /// `clock` orders fences of all CTAs.
    pub(crate) fn pass_fence(&mut self, clock: u64, warp: usize, mask: u32) {
        self.tick += 1;
        self.fences.push(Fence { tick: self.tick, clock, warp, mask });
    }

    /// When a write by a thread at a tick became visible.
    pub(crate) fn visible_since(&self, thread: u16, tick: u32) -> Option<u64> {
        let covers = |fence: &&Fence| {
            fence.tick > tick
                && (fence.is_of(thread) || self.barriers.iter().any(|&barrier| barrier > tick && barrier < fence.tick))
        };
        self.fences.iter().filter(covers).map(|fence| fence.clock).min()
    }

    /// Whether a thread may rely on what became visible at a clock.
    pub(crate) fn has_acquired(&self, thread: u16, clock: u64) -> bool {
        self.fences.iter().any(|fence| {
            fence.clock > clock
                && (fence.is_of(thread) || self.barriers.iter().any(|&barrier| barrier > fence.tick))
        })
    }
}

impl Fence {
    fn is_of(&self, thread: u16) -> bool {
        usize::from(thread) / 32 == self.warp && self.mask >> (thread % 32) & 1 != 0
    }
}
