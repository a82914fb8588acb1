//! Launching a kernel: clusters of CTAs, whose warps take turns in an order that a seed decides.

use std::collections::BTreeMap;

use crate::fault::{Fault, FaultKind};
use crate::history::History;
use crate::memory::Memory;
use crate::module::Kernel;
use crate::shared::Shared;
use crate::warp::{Position, State, Warp};

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// CTAs.
    pub grid: u32,
    /// Threads of a CTA, a multiple of 32.
    pub threads: u32,
    /// CTAs of a cluster; 1 where there are none.
    pub cluster: u32,
    /// Bytes of dynamic shared memory.
    pub dynamic_shared_bytes: usize,
    /// The parameters, as the kernel lays them out.
    pub parameters: &'a [u8],
}

/// How a launch is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Decides the order in which warps take turns, and the noise.
    pub seed: u64,
    /// Whether approximations are off by up to 2 units in the last place.
    pub noise: bool,
    /// Clusters that run at the same time.
    pub resident_clusters: usize,
    /// Instructions of a warp after which the launch is given up.
    pub limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, noise: false, resident_clusters: 2, limit: 1 << 40 }
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Instructions that threads have executed, by mnemonic.
    pub by_mnemonic: BTreeMap<String, u64>,
}

impl Report {
    /// All of them.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.by_mnemonic.values().sum()
    }

    /// Those of the special-function unit.
    #[must_use]
    pub fn special_functions(&self) -> u64 {
        let special = ["ex2", "lg2", "rcp", "rsqrt", "sqrt", "sin", "cos", "tanh", "div"];
        let is_special = |mnemonic: &str| special.contains(&mnemonic.split('.').next().unwrap_or_default());
        // Divisions and square roots of f32 begin with an approximation; those of integers and f64 do otherwise.
        let counted = self.by_mnemonic.iter().filter(|(mnemonic, _)| is_special(mnemonic) && mnemonic.ends_with("f32"));
        counted.map(|(_, count)| count).sum()
    }
}

/// A CTA that runs.
pub(crate) struct Cta {
    pub(crate) position: Position,
    pub(crate) shared: Shared,
    pub(crate) warps: Vec<Option<Warp>>,
    pub(crate) counted: u32,
    pub(crate) cluster_barriers: u32,
}

/// CTAs that may read each other's shared memory.
pub(crate) type Cluster = Vec<Cta>;

/// A launch that goes on.
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) memory: &'a mut Memory,
    pub(crate) parameters: &'a [u8],
    pub(crate) histories: Vec<History>,
    pub(crate) clock: u64,
    pub(crate) counts: Vec<u64>,
    pub(crate) limit: u64,
    random: u64,
}

/// Runs a kernel to its end.
///
/// # Errors
///
/// [`Fault`], the first that any thread commits.
pub fn launch(kernel: &Kernel, launch: &Launch<'_>, memory: &mut Memory, options: &Options) -> Result<Report, Fault> {
    check(kernel, launch)?;
    memory.begin_launch();
    let mut machine = Machine {
        kernel,
        memory,
        parameters: launch.parameters,
        histories: vec![History::default(); launch.grid as usize],
        clock: 0,
        counts: vec![0; kernel.instructions.len()],
        limit: options.limit,
        random: options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
    };
    let mut waiting = (0..launch.grid / launch.cluster).map(|cluster| start(kernel, launch, options, cluster));
    let mut running: Vec<Cluster> = waiting.by_ref().take(options.resident_clusters.max(1)).collect();
    while !running.is_empty() {
        machine.take_a_turn(&mut running)?;
        let ended = running.iter().position(|cluster| cluster.iter().all(|cta| !cta.is_running()));
        if let Some(ended) = ended {
            match waiting.next() {
                Some(cluster) => running[ended] = cluster,
                None => drop(running.swap_remove(ended)),
            }
        }
    }
    let mut report = Report::default();
    for (instruction, &count) in kernel.instructions.iter().zip(&machine.counts) {
        *report.by_mnemonic.entry(instruction.mnemonic.clone()).or_default() += count;
    }
    Ok(report)
}

fn check(kernel: &Kernel, launch: &Launch<'_>) -> Result<(), Fault> {
    let refused = |reason: String| Fault {
        kind: FaultKind::Refused { reason },
        cta: 0,
        thread: 0,
        line: 0,
        text: kernel.name.clone(),
    };
    if launch.threads == 0 || !launch.threads.is_multiple_of(32) || launch.threads > 1024 {
        return Err(refused(format!("{} threads", launch.threads)));
    }
    if launch.cluster == 0 || launch.cluster > 8 || launch.grid == 0 || !launch.grid.is_multiple_of(launch.cluster) {
        return Err(refused(format!("{} CTAs in clusters of {}", launch.grid, launch.cluster)));
    }
    if launch.parameters.len() != kernel.parameter_bytes {
        let (given, wanted) = (launch.parameters.len(), kernel.parameter_bytes);
        return Err(refused(format!("{given} bytes of parameters instead of {wanted}")));
    }
    Ok(())
}

fn start(kernel: &Kernel, launch: &Launch<'_>, options: &Options, cluster: u32) -> Cluster {
    let ctas = (0..launch.cluster).map(|rank| {
        let position = Position {
            cta: cluster * launch.cluster + rank,
            rank,
            cluster: launch.cluster,
            grid: launch.grid,
            threads: launch.threads,
        };
        let noise = options.noise.then_some(options.seed);
        let warps = (0..launch.threads as usize / 32).map(|index| Some(Warp::new(kernel, index, position, noise)));
        let shared = Shared::new(kernel.static_shared_bytes.next_multiple_of(16) + launch.dynamic_shared_bytes);
        Cta { position, shared, warps: warps.collect(), counted: 0, cluster_barriers: 0 }
    });
    ctas.collect()
}

impl Cta {
    pub(crate) fn is_running(&self) -> bool {
        self.warps.iter().flatten().any(|warp| warp.state != State::Done)
    }
}

impl Machine<'_> {
    /// A number by chance (xorshift, Marsaglia 2003).
    pub(crate) fn chance(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize
    }

    /// Lets some warp that can run execute some instructions.
    fn take_a_turn(&mut self, running: &mut [Cluster]) -> Result<(), Fault> {
        let mut ready = Vec::new();
        for (cluster_index, cluster) in running.iter().enumerate() {
            for (cta_index, cta) in cluster.iter().enumerate() {
                let runs = |warp: &Warp| warp.state == State::Runs;
                let ready_warps = cta.warps.iter().flatten().filter(|warp| runs(warp));
                ready.extend(ready_warps.map(|warp| (cluster_index, cta_index, warp.index)));
            }
        }
        let Some(&(cluster, cta, warp)) = ready.get(self.chance() % ready.len().max(1)) else {
            return Err(stuck(running));
        };
        // Long turns mostly, which are fast, and sometimes short ones, which interleave.
        let turn = if self.chance().is_multiple_of(4) { 1 + self.chance() % 64 } else { 4096 };
        self.run(&mut running[cluster], cta, warp, turn)?;
        self.release(&mut running[cluster], cta)
    }

    /// Lets go what waits at a barrier to which all have come.
    fn release(&mut self, cluster: &mut Cluster, cta_index: usize) -> Result<(), Fault> {
        let cta = &mut cluster[cta_index];
        if !cta.is_running() && !cta.shared.may_end(cta.cluster_barriers) {
            let (kind, text) = (FaultKind::LeftEarly, "at its end".to_owned());
            return Err(Fault { kind, cta: cta.position.cta, thread: 0, line: 0, text });
        }
        let waiting = cta.warps.iter().flatten().filter(|warp| matches!(warp.state, State::AtBarrier(_))).count();
        if waiting > 0 && waiting == cta.warps.len() {
            self.histories[cta.position.cta as usize].pass_barrier();
            let counted = std::mem::take(&mut cta.counted);
            for warp in cta.warps.iter_mut().flatten() {
                if let State::AtBarrier(Some(register)) = warp.state {
                    warp.registers.write::<u32>(register, u32::MAX, [counted; 32]);
                }
                warp.state = State::Runs;
                warp.barriers += 1;
            }
        }
        let fewest = cluster.iter().flat_map(|cta| cta.warps.iter().flatten()).map(|warp| warp.cluster_arrivals).min();
        for cta in cluster.iter_mut() {
            for warp in cta.warps.iter_mut().flatten() {
                if warp.state == State::AtClusterWait && fewest >= Some(warp.cluster_arrivals) {
                    warp.state = State::Runs;
                    warp.barriers += 1;
                    warp.cluster_barriers += 1;
                    if warp.cluster_barriers > cta.cluster_barriers {
                        cta.cluster_barriers = warp.cluster_barriers;
                        self.histories[cta.position.cta as usize].pass_barrier();
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why nothing can run.
fn stuck(running: &[Cluster]) -> Fault {
    let all = || running.iter().flatten().flat_map(|cta| cta.warps.iter().flatten().map(move |warp| (cta, warp)));
    let someone_left = running.iter().any(|cluster| {
        let mut warps = cluster.iter().flat_map(|cta| cta.warps.iter().flatten());
        warps.any(|warp| warp.state == State::Done)
    });
    let (cta, thread) = all()
        .find(|(_, warp)| warp.state != State::Done)
        .map_or((0, 0), |(cta, warp)| (cta.position.cta, 32 * warp.index as u32));
    let kind = if someone_left { FaultKind::Abandoned } else { FaultKind::Deadlock };
    Fault { kind, cta, thread, line: 0, text: "at a barrier".to_owned() }
}
