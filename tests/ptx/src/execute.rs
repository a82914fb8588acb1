//! Executing the instructions of one warp, as far as its turn goes.

use crate::fault::{Fault, FaultKind};
use crate::history::Event;
use crate::instruction::{Action, Atomic, Instruction, RANK_SHIFT, ShuffleMode, Space, Transfer, VoteMode};
use crate::launch::{Cluster, Machine};
use crate::memory::Stamp;
use crate::registers::{LANES, Register, Registers};
use crate::warp::{State, Warp};

/// What comes after an instruction.
enum Next {
    /// The following one.
    Follows,
    /// Another, for the lanes of a mask.
    Branches(usize, u32),
    /// Nothing, for the lanes of a mask.
    Ends(u32),
    /// The following one, once others have come.
    Blocks(State),
    /// The same one, once other lanes are there.
    Needs,
}

impl Machine<'_> {
    /// Lets a warp execute up to so many instructions, or until it has to wait.
    pub(crate) fn run(&mut self, cluster: &mut Cluster, cta: usize, warp: usize, turn: usize) -> Result<(), Fault> {
        let Some(mut warp) = cluster[cta].warps[warp].take() else { return Ok(()) };
        let index = warp.index;
        for _ in 0..turn {
            self.step(cluster, cta, &mut warp)?;
            if warp.state != State::Runs {
                break;
            }
        }
        cluster[cta].warps[index] = Some(warp);
        Ok(())
    }

    fn step(&mut self, cluster: &mut Cluster, cta: usize, warp: &mut Warp) -> Result<(), Fault> {
        let kernel = self.kernel;
        let (position, first_thread) = (cluster[cta].position.cta, (warp.index * LANES) as u32);
        let fault = |kind, mask: u32, instruction: &Instruction| Fault {
            kind,
            cta: position,
            thread: first_thread + mask.trailing_zeros() % 32,
            line: instruction.line,
            text: instruction.text.clone(),
        };
        let index = match warp.choose_group(|| self.chance()) {
            Ok(index) => index,
            Err(kind) => return Err(fault(kind, warp.groups[0].mask, &kernel.instructions[warp.groups[0].place])),
        };
        let group = warp.groups[index];
        let Some(instruction) = kernel.instructions.get(group.place) else {
            let last = &kernel.instructions[kernel.instructions.len() - 1];
            return Err(fault(FaultKind::Deadlock, group.mask, last));
        };
        let active = match instruction.guard {
            None => group.mask,
            Some((predicate, negated)) => {
                let value = warp.registers.read_predicate(predicate, group.mask);
                group.mask & if negated { !value } else { value }
            }
        };
        self.limit = self.limit.wrapping_sub(1);
        if self.limit == 0 {
            return Err(fault(FaultKind::TooLong, active, instruction));
        }
        let next = self.perform(cluster, cta, warp, instruction, active);
        // The fault to tell of is the register that nobody has written, not what comes of it, such as a wild address.
        let next = if warp.registers.unwritten_read { Err(FaultKind::UnwrittenRegister) } else { next };
        let next = next.map_err(|kind| fault(kind, active, instruction))?;
        if !matches!(next, Next::Needs) {
            self.counts[group.place] += u64::from(group.mask.count_ones());
        }
        self.go_on(warp, index, next);
        Ok(())
    }

    fn go_on(&mut self, warp: &mut Warp, index: usize, next: Next) {
        let group = &mut warp.groups[index];
        match next {
            Next::Follows => group.place += 1,
            Next::Blocks(state) => {
                group.place += 1;
                warp.state = state;
            }
            Next::Needs => group.waits = true,
            Next::Branches(target, mask) if mask == group.mask => group.place = target,
            Next::Branches(_, 0) => group.place += 1,
            Next::Branches(target, mask) => {
                group.mask &= !mask;
                group.place += 1;
                warp.groups.push(crate::warp::Group { place: target, mask, waits: false });
            }
            Next::Ends(mask) => {
                warp.live &= !mask;
                group.mask &= !mask;
                group.place += 1;
                if group.mask == 0 {
                    warp.groups.swap_remove(index);
                }
                if warp.groups.is_empty() {
                    warp.state = State::Done;
                }
                // Whoever waits for these lanes is to find that they will not come.
                warp.groups.iter_mut().for_each(|group| group.waits = false);
            }
        }
        if warp.groups.len() > 1 {
            warp.merge_groups();
        }
    }

    fn perform(
        &mut self,
        cluster: &mut Cluster,
        cta: usize,
        warp: &mut Warp,
        instruction: &Instruction,
        active: u32,
    ) -> Result<Next, FaultKind> {
        if active == 0 {
            return Ok(Next::Follows);
        }
        match &instruction.action {
            Action::Compute(compute) => {
                compute(&mut warp.registers, active);
                Ok(Next::Follows)
            }
            Action::Branch { target } => Ok(Next::Branches(*target, active)),
            Action::Exit => Ok(Next::Ends(active)),
            Action::Trap => Err(FaultKind::Refused { reason: "trap".to_owned() }),
            Action::Load(transfer) => self.load(cluster, cta, warp, transfer, active),
            Action::Store(transfer) => self.store(cluster, cta, warp, transfer, active),
            Action::Atomic(atomic) => self.atomic(cluster, cta, warp, atomic, active),
            Action::Fence => {
                self.histories[cluster[cta].position.cta as usize].pass_fence(warp.index, active);
                Ok(Next::Follows)
            }
            Action::Barrier if needs_others(warp, active) => Ok(Next::Needs),
            Action::Barrier => whole_warp(warp).map(|()| Next::Blocks(State::AtBarrier(None))),
            Action::CountingBarrier { .. } if needs_others(warp, active) => Ok(Next::Needs),
            Action::CountingBarrier { result, predicate, negated } => {
                whole_warp(warp)?;
                let value = warp.registers.read_predicate(*predicate, active);
                cluster[cta].counted += (if *negated { !value } else { value } & active).count_ones();
                Ok(Next::Blocks(State::AtBarrier(Some(*result))))
            }
            Action::ClusterArrive | Action::ClusterWait if needs_others(warp, active) => Ok(Next::Needs),
            Action::ClusterArrive => {
                whole_warp(warp)?;
                warp.cluster_arrivals += 1;
                Ok(Next::Follows)
            }
            Action::ClusterWait => Ok(Next::Blocks(State::AtClusterWait)),
            Action::Shuffle { d, a, lane, clamp, mask, mode } => {
                if needs_members(warp, *mask, active)? {
                    return Ok(Next::Needs);
                }
                shuffle(&mut warp.registers, active, [*d, *a, *lane, *clamp], *mode);
                Ok(Next::Follows)
            }
            Action::Vote { result, predicate, negated, mask, mode } => {
                if needs_members(warp, *mask, active)? {
                    return Ok(Next::Needs);
                }
                vote(&mut warp.registers, active, *result, (*predicate, *negated), *mode);
                Ok(Next::Follows)
            }
            Action::MapRank { d, address, rank } => {
                let addresses = warp.registers.read_address(*address, active);
                let ranks = warp.registers.read::<u32>(*rank, active);
                let size = cluster.len() as u32;
                if let Some(rank) = lanes(active).map(|lane| ranks[lane]).find(|&rank| rank >= size) {
                    return Err(FaultKind::Gone { rank });
                }
                let mapped = |lane: usize| u64::from(ranks[lane] + 1) << RANK_SHIFT | addresses[lane];
                match *d {
                    Register::Narrow(d) => {
                        warp.registers.write::<u32>(d, active, std::array::from_fn(|lane| mapped(lane) as u32));
                    }
                    Register::Wide(d) | Register::Predicate(d) => {
                        warp.registers.write::<u64>(d, active, std::array::from_fn(mapped));
                    }
                }
                Ok(Next::Follows)
            }
        }
    }

    fn load(
        &mut self,
        cluster: &mut Cluster,
        cta: usize,
        warp: &mut Warp,
        transfer: &Transfer,
        active: u32,
    ) -> Result<Next, FaultKind> {
        if active == 0 {
            return Ok(Next::Follows);
        }
        let addresses = warp.registers.read_address(transfer.address, active);
        let (count, element) = (transfer.registers.len(), transfer.element);
        let size = count * element;
        let own = cluster[cta].position.cta;
        let mut loaded = [[0u64; LANES]; 4];
        let mut previous = None;
        // Lanes for which a register's part of the vector has never been written.
        let mut unwritten = [0u32; 4];
        for lane in lanes(active) {
            let address = addresses[lane].wrapping_add_signed(transfer.offset);
            let accessor = warp.accessor(lane);
            let bytes = match transfer.space {
                Space::Parameters => {
                    let start = address as usize;
                    let out_of_bounds = FaultKind::OutOfBounds {
                        place: "the parameters".to_owned(),
                        offset: address as i64,
                        bytes: size,
                    };
                    self.parameters.get(start..start + size).ok_or(out_of_bounds)?
                }
                Space::Global => {
                    let histories = &self.histories;
                    let visible = |stamp: Stamp| {
                        if stamp.cta == own + 1 {
                            return None;
                        }
                        let (writer, reader) = (&histories[stamp.cta as usize - 1], &histories[own as usize]);
                        match writer.released(event_of(stamp.thread, stamp.tick)) {
                            None => Some("the writer's"),
                            Some(clock) if reader.has_acquired(event_of(accessor.thread, reader.tick()), clock) => None,
                            Some(_) => Some("the reader's"),
                        }
                    };
                    let (allocation, offset) = self.memory.find(address, size)?;
                    allocation.traffic.accesses[size.ilog2() as usize] += 1;
                    // Lanes that read one address together are served together.
                    allocation.traffic.read += if previous == Some(address) { 0 } else { size as u64 };
                    previous = Some(address);
                    allocation.read(offset, size, visible)?
                }
                Space::Shared => {
                    let (bytes, words) = cluster[cta].shared.read(address, size, accessor)?;
                    for (index, lanes) in unwritten.iter_mut().enumerate().take(count) {
                        let in_words = ((1u64 << element.div_ceil(4)) - 1) as u32;
                        *lanes |= u32::from(words >> (index * element / 4) & in_words != 0) << lane;
                    }
                    bytes
                }
                Space::Cluster => {
                    let rank = (address >> RANK_SHIFT) as u32;
                    let target = rank.checked_sub(1).and_then(|rank| cluster.get_mut(rank as usize));
                    let target = target.ok_or(FaultKind::Gone { rank })?;
                    let address = address & ((1 << RANK_SHIFT) - 1);
                    if target.position.cta == own {
                        target.shared.read(address, size, accessor)?.0
                    } else if target.is_running() {
                        target.shared.read_remotely(address, size, accessor)?
                    } else {
                        return Err(FaultKind::Gone { rank: rank - 1 });
                    }
                }
            };
            for (index, bytes) in bytes.chunks_exact(element).enumerate() {
                loaded[index][lane] = widened(bytes, transfer.signed);
            }
        }
        for ((values, register), unwritten) in loaded.iter().zip(&transfer.registers).zip(unwritten) {
            match *register {
                Register::Narrow(register) => warp.registers.write(register, active, values.map(|value| value as u32)),
                Register::Wide(register) => warp.registers.write(register, active, *values),
                Register::Predicate(_) => {}
            }
            warp.registers.forget(*register, unwritten);
        }
        Ok(Next::Follows)
    }

    fn store(
        &mut self,
        cluster: &mut Cluster,
        cta: usize,
        warp: &mut Warp,
        transfer: &Transfer,
        active: u32,
    ) -> Result<Next, FaultKind> {
        if active == 0 {
            return Ok(Next::Follows);
        }
        let addresses = warp.registers.read_address(transfer.address, active);
        let (count, element) = (transfer.registers.len(), transfer.element);
        let mut values = [[0u64; LANES]; 4];
        for (values, register) in values.iter_mut().zip(&transfer.registers) {
            *values = warp.registers.read_address(*register, active);
        }
        let position = cluster[cta].position.cta;
        let tick = self.histories[position as usize].tick();
        for lane in lanes(active) {
            let address = addresses[lane].wrapping_add_signed(transfer.offset);
            let mut bytes = [0u8; 32];
            for index in 0..count {
                let value = values[index][lane].to_le_bytes();
                bytes[index * element..(index + 1) * element].copy_from_slice(&value[..element]);
            }
            let bytes = &bytes[..count * element];
            let accessor = warp.accessor(lane);
            match transfer.space {
                Space::Shared => cluster[cta].shared.write(address, bytes, accessor)?,
                Space::Global => {
                    let (allocation, offset) = self.memory.find(address, bytes.len())?;
                    allocation.traffic.written += bytes.len() as u64;
                    allocation.traffic.accesses[bytes.len().ilog2() as usize] += 1;
                    allocation.write(offset, bytes, Stamp { cta: position + 1, thread: accessor.thread, tick })?;
                }
                Space::Parameters | Space::Cluster => {
                    return Err(FaultKind::Forbidden { place: "this kind of memory".to_owned() });
                }
            }
        }
        Ok(Next::Follows)
    }

    fn atomic(
        &mut self,
        cluster: &mut Cluster,
        cta: usize,
        warp: &mut Warp,
        atomic: &Atomic,
        active: u32,
    ) -> Result<Next, FaultKind> {
        let addresses = warp.registers.read_address(atomic.address, active);
        let operands = warp.registers.read::<u32>(atomic.operand, active);
        let mut before = [0u32; LANES];
        if atomic.space == Space::Global {
            self.clock += 1;
            self.histories[cluster[cta].position.cta as usize].pass_atomic(self.clock, warp.index, active);
        }
        for lane in lanes(active) {
            let address = addresses[lane].wrapping_add_signed(atomic.offset);
            let apply = |bytes: [u8; 4]| {
                let old = u32::from_le_bytes(bytes);
                (old, (atomic.operation)(old, operands[lane]).to_le_bytes())
            };
            before[lane] = if atomic.space == Space::Shared {
                let bytes = cluster[cta].shared.atomic(address, 4)?;
                let (old, new) = apply([bytes[0], bytes[1], bytes[2], bytes[3]]);
                bytes.copy_from_slice(&new);
                old
            } else {
                let (allocation, offset) = self.memory.find(address, 4)?;
                let bytes = allocation.read(offset, 4, |_| None)?;
                let (old, new) = apply([bytes[0], bytes[1], bytes[2], bytes[3]]);
                allocation.write(offset, &new, Stamp::default())?;
                allocation.traffic.read += 4;
                allocation.traffic.written += 4;
                old
            };
        }
        if let Some(result) = atomic.result {
            warp.registers.write(result, active, before);
        }
        Ok(Next::Follows)
    }
}

/// What a thread does at a tick.
fn event_of(thread: u16, tick: u32) -> Event {
    Event { tick, warp: usize::from(thread) / LANES, mask: 1 << (usize::from(thread) % LANES) }
}

/// The lanes of a mask.
fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 != 0)
}

fn widened(bytes: &[u8], signed: bool) -> u64 {
    let mut wide = [if signed && bytes[bytes.len() - 1] & 0x80 != 0 { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

/// Whether lanes that have not ended are elsewhere.
fn needs_others(warp: &Warp, active: u32) -> bool {
    active != warp.live
}

/// A barrier is for all threads of a warp.
fn whole_warp(warp: &Warp) -> Result<(), FaultKind> {
    if warp.live == u32::MAX { Ok(()) } else { Err(FaultKind::Abandoned) }
}

/// Whether lanes of a member mask are not there yet. A lane must name itself, and none that has ended.
fn needs_members(warp: &mut Warp, mask: usize, active: u32) -> Result<bool, FaultKind> {
    let masks = warp.registers.read::<u32>(mask, active);
    let members = lanes(active).map(|lane| masks[lane]).fold(0, |all, mask| all | mask);
    if members & !warp.live != 0 || active & !members != 0 || lanes(active).any(|lane| masks[lane] != members) {
        return Err(FaultKind::Divergent { missing: (members & !warp.live) | (active & !members) });
    }
    Ok(members & !active != 0)
}

/// `clamp` holds the clamp in its low 5 bits and the mask of segments in bits 8 to 12.
fn shuffle(registers: &mut Registers, active: u32, [d, a, lane, clamp]: [usize; 4], mode: ShuffleMode) {
    let values = registers.read::<u32>(a, active);
    let (by, clamp) = (registers.read::<u32>(lane, active), registers.read::<u32>(clamp, active));
    let source = |lane: usize| {
        let (segments, clamp, by) = (clamp[lane] >> 8 & 0x1f, clamp[lane] & 0x1f, by[lane] & 0x1f);
        let own = lane as u32;
        let last = (own & segments) | (clamp & !segments);
        let first = own & segments;
        let (wanted, exists) = match mode {
            ShuffleMode::Up => (own.wrapping_sub(by), own >= by && own - by >= last),
            ShuffleMode::Down => (own + by, own + by <= last),
            ShuffleMode::Butterfly => (own ^ by, own ^ by <= last),
            ShuffleMode::Index => (first | (by & !segments), first | (by & !segments) <= last),
        };
        (if exists { wanted } else { own }) as usize
    };
    registers.write(d, active, std::array::from_fn(|lane| values[source(lane) % LANES]));
}

fn vote(registers: &mut Registers, active: u32, result: Register, predicate: (usize, bool), mode: VoteMode) {
    let value = registers.read_predicate(predicate.0, active);
    let ballot = active & if predicate.1 { !value } else { value };
    let all = |condition: bool| if condition { u32::MAX } else { 0 };
    match (result, mode) {
        (Register::Predicate(d), VoteMode::Any) => registers.write_predicate(d, active, all(ballot != 0)),
        (Register::Predicate(d), VoteMode::All) => registers.write_predicate(d, active, all(ballot == active)),
        (Register::Narrow(d), VoteMode::Ballot) => registers.write(d, active, [ballot; LANES]),
        _ => {}
    }
}
