//! What a CTA has done that orders its memory accesses towards other CTAs: barriers, fences and atomic operations.
//!
//! A write may be read by another CTA after the pattern of a release and an acquire: the writer, or a thread that a barrier
//! puts after it, executes a fence and then an atomic operation; the reader, or a thread that a barrier puts before it,
//! executes a later atomic operation and then a fence. (That both are on the same word is not looked at.)

/// Something that threads of a warp did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// When, by the CTA's own count of events.
    pub(crate) tick: u32,
    pub(crate) warp: usize,
    pub(crate) mask: u32,
}

impl Event {
    fn shares_a_thread_with(self, other: Self) -> bool {
        self.warp == other.warp && self.mask & other.mask != 0
    }
}

/// The events of one CTA.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    tick: u32,
    barriers: Vec<u32>,
    fences: Vec<Event>,
    /// With the clock that orders the atomic operations of all CTAs.
    atomics: Vec<(Event, u64)>,
}

impl History {
    /// The tick of what happens now, before the next event.
    pub(crate) fn tick(&self) -> u32 {
        self.tick
    }

    pub(crate) fn pass_barrier(&mut self) {
        self.tick += 2;
        self.barriers.push(self.tick - 1);
    }

    pub(crate) fn pass_fence(&mut self, warp: usize, mask: u32) {
        self.tick += 2;
        self.fences.push(Event { tick: self.tick - 1, warp, mask });
    }

    pub(crate) fn pass_atomic(&mut self, clock: u64, warp: usize, mask: u32) {
        self.tick += 2;
        self.atomics.push((Event { tick: self.tick - 1, warp, mask }, clock));
    }

    /// Whether one thing is bound to come before another: a thread did both, or a barrier lies between.
    fn are_ordered(&self, first: Event, second: Event) -> bool {
        let between = |&barrier: &u32| first.tick < barrier && barrier < second.tick;
        first.tick < second.tick && (first.shares_a_thread_with(second) || self.barriers.iter().any(between))
    }

    /// The clock of the first release of a write.
    pub(crate) fn released(&self, write: Event) -> Option<u64> {
        let fenced = |atomic: Event| {
            self.fences.iter().any(|&fence| self.are_ordered(write, fence) && self.are_ordered(fence, atomic))
        };
        self.atomics.iter().filter(|(atomic, _)| fenced(*atomic)).map(|(_, clock)| *clock).min()
    }

    /// Whether a read comes after an acquire of what was released at a clock.
    pub(crate) fn has_acquired(&self, read: Event, released: u64) -> bool {
        self.atomics.iter().any(|&(atomic, clock)| {
            clock > released
                && self.fences.iter().any(|&fence| self.are_ordered(atomic, fence) && self.are_ordered(fence, read))
        })
    }
}
