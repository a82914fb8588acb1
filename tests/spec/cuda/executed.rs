//! The CUDA kernels as implementations of the specification: compiled by NVRTC, executed on the CPU.

use kdloss::cuda::Placed;
use kdloss::cuda::params::{Params, RowRecord, Totals};
use kdloss::cuda::plan::{self, DeviceLimits, Plan, Problem, STATIC_SHARED};
use kdloss::cuda::raw::{Batch, Labels, Matrix};
use kdloss::cuda::specialisation::{KERNEL, Residency};
use kdloss::{LossValue, Result, Target};
use ptx::{Access, Buffer, Fault, Launch, Memory, Options, Report, launch};

use crate::case::{Case, LabelVec, Layout, Table};
use crate::contract::close;
use crate::cuda::kernels::{self, Edit};
use crate::implementations::{Implementation, MARK, Outcome, outcome};

/// How a case is run: where rows are kept, and by how many.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub residency: Residency,
    /// What the kernel is compiled for.
    pub architecture: &'static str,
    /// CTAs of a cluster, where rows are wide enough.
    pub cluster: u32,
    /// Threads of a CTA; `None` for as many as the plan says.
    pub threads: Option<u32>,
    pub seed: u64,
    /// Whether approximations are off by up to 2 units in the last place.
    pub noise: bool,
    /// Bytes by which matrices start behind a multiple of 256: student, teacher, gradient.
    pub misalignment: [usize; 3],
    pub edit: Edit,
    /// A factor of the gradient that lies on the device.
    pub grad_scale: Option<f32>,
}

impl Gpu {
    pub fn new(residency: Residency) -> Self {
        let cluster = if residency == Residency::Cluster { 3 } else { 1 };
        Self {
            residency,
            architecture: "compute_90",
            cluster,
            threads: None,
            seed: 1,
            noise: true,
            misalignment: [0; 3],
            edit: Edit::default(),
            grad_scale: None,
        }
    }

    pub fn name(&self) -> &'static str {
        match self.residency {
            Residency::Block => "cuda block",
            Residency::Cluster => "cuda cluster",
            _ => "cuda stream",
        }
    }

    /// A GPU on which the planner chooses this residency.
    fn plan(&self, problem: &Problem) -> Plan {
        let limits = |per_cta: u32| DeviceLimits::new(90, 2, per_cta, per_cta + 2048);
        let enough = limits(1 << 22).with_largest_cluster(1);
        let mut plan = match self.residency {
            Residency::Stream => plan::plan(problem, &limits(0)),
            Residency::Block => plan::plan(problem, &enough),
            _ => {
                let whole = plan::plan(problem, &enough);
                let bytes = whole.shared_bytes / whole.slots.max(1) * whole.slots.div_ceil(self.cluster);
                let cluster = DeviceLimits::new(90, 2 * self.cluster, bytes + STATIC_SHARED, 1 << 30);
                plan::plan(problem, &cluster)
            }
        };
        if let Some(threads) = self.threads {
            plan.threads = threads;
        }
        plan
    }
}

/// What is left of a launch.
pub struct Run {
    placed: Placed,
    pub memory: Memory,
    pub plan: Plan,
    pub report: std::result::Result<Report, Fault>,
    pub student: Buffer,
    pub gradient: Option<Buffer>,
    records: Buffer,
    totals: Buffer,
}

/// Every residency, each with a gradient of its own and in place; and a GPU that computes two numbers by one instruction.
pub fn all() -> Vec<Implementation> {
    if !kernels::are_there() {
        return Vec::new();
    }
    let mut all = Vec::new();
    for residency in [Residency::Block, Residency::Cluster, Residency::Stream] {
        let gpu = Gpu::new(residency);
        all.push(Implementation { name: gpu.name(), contract_factor: 2.0, run: Box::new(move |case| run(&gpu, case)) });
    }
    let gpu = Gpu::new(Residency::Cluster);
    let run_there = Box::new(move |case: &Case| run_in_place(&gpu, case));
    all.push(Implementation { name: "cuda cluster in place", contract_factor: 2.0, run: run_there });
    let gpu = Gpu { architecture: "compute_100", ..Gpu::new(Residency::Cluster) };
    let run_packed = Box::new(move |case: &Case| run(&gpu, case));
    all.push(Implementation { name: "cuda cluster, packed", contract_factor: 2.0, run: run_packed });
    all
}

/// With a gradient of its own.
pub fn run(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let run = execute(gpu, case, Target::Separate(()))?;
    let value = run.read(case)?;
    Ok(outcome(case, value, run.gradient_of(case)))
}

/// With the gradient over the student's logits.
pub fn run_in_place(gpu: &Gpu, case: &Case) -> Result<Outcome> {
    let run = execute(gpu, case, Target::InPlace)?;
    let value = run.read(case)?;
    let mut written = case.student.clone();
    written.buffer = written.buffer.with_bytes(run.memory.bytes(run.student));
    Ok(outcome(case, value, written))
}

/// Launches the kernel on a case.
pub fn execute(gpu: &Gpu, case: &Case, target: Target<()>) -> Result<Run> {
    let mut memory = Memory::new();
    let [student_shift, teacher_shift, gradient_shift] = gpu.misalignment;
    let in_place = target == Target::InPlace;
    let student_access = if in_place { Access::ReadWrite } else { Access::Read };
    let student = memory.allocate("student", &case.student.buffer.to_bytes(), student_access, student_shift);
    let teacher = case.teacher.as_ref();
    let teacher =
        teacher.map(|teacher| memory.allocate("teacher", &teacher.buffer.to_bytes(), Access::Read, teacher_shift));
    let rows = case.student.rows;
    let marked = Table::filled(rows, case.gradient, MARK).buffer.to_bytes();
    let separate =
        (target == Target::Separate(())).then(|| memory.allocate("gradient", &marked, Access::Write, gradient_shift));

    let mut batch = Batch::new(matrix(&memory, student, &case.student));
    if let (Some(buffer), Some(table)) = (teacher, &case.teacher) {
        batch = batch.with_teacher(matrix(&memory, buffer, table));
    }
    if let Some(labels) = &case.labels {
        let (bytes, is_wide) = match labels {
            LabelVec::I64(labels) => (labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>(), true),
            LabelVec::I32(labels) => (labels.iter().flat_map(|label| label.to_le_bytes()).collect(), false),
        };
        let len = bytes.len() / if is_wide { 8 } else { 4 };
        let buffer = memory.allocate("labels", &bytes, Access::Read, 0);
        let address = memory.address(buffer);
        batch = batch.with_labels(if is_wide { Labels::i64(address, len) } else { Labels::i32(address, len) });
    }
    if let Some(vocab) = case.vocab {
        batch = batch.with_vocab(vocab);
    }
    if let Some(scale) = &case.row_grad_scale {
        let bytes: Vec<u8> = scale.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let buffer = memory.allocate("row_grad_scale", &bytes, Access::Read, 0);
        batch = batch.with_row_grad_scale(memory.address(buffer), scale.len());
    }
    if let Some(scale) = gpu.grad_scale {
        let buffer = memory.allocate("grad_scale", &scale.to_le_bytes(), Access::Read, 0);
        batch = batch.with_grad_scale(memory.address(buffer));
    }
    let target = match (target, separate) {
        (Target::InPlace, _) => Target::InPlace,
        (_, Some(buffer)) => Target::Separate(matrix(&memory, buffer, &Table::filled(rows, case.gradient, MARK))),
        _ => Target::None,
    };
    let placed = batch.check(&case.loss, target)?;
    let (mut params, plan) = (placed.params, gpu.plan(&placed.problem));
    let records = memory.allocate_fresh("records", rows * size_of::<RowRecord>(), Access::ReadWrite, 0);
    let totals = memory.allocate("totals", &[0; size_of::<Totals>()], Access::ReadWrite, 0);
    params.records = memory.address(records);
    params.totals = memory.address(totals);
    params.slots = plan.slots;
    let report = launch_plan(gpu, &plan, &params, &mut memory);
    Ok(Run { memory, placed, plan, report, student, gradient: separate, records, totals })
}

fn launch_plan(gpu: &Gpu, plan: &Plan, params: &Params, memory: &mut Memory) -> std::result::Result<Report, Fault> {
    kernels::with_module(&plan.specialisation, gpu.architecture, &gpu.edit, |module| {
        let kernel =
            module.and_then(|module| module.kernel(KERNEL)).expect("an edit must leave a kernel that compiles");
        assert!(kernel.static_shared_bytes <= STATIC_SHARED as usize);
        let shape = Launch {
            grid: plan.grid,
            threads: plan.threads,
            cluster: plan.cluster,
            dynamic_shared_bytes: plan.shared_bytes as usize,
            parameters: bytemuck::bytes_of(params),
        };
        launch(kernel, &shape, memory, &Options { seed: gpu.seed, noise: gpu.noise, ..Options::default() })
    })
}

fn matrix(memory: &Memory, buffer: Buffer, table: &Table) -> Matrix {
    let Layout { dtype, cols, row_stride } = table.layout;
    let len = memory.bytes(buffer).len() / dtype.size();
    Matrix::new(memory.address(buffer), len, dtype, table.rows, cols).with_row_stride(row_stride)
}

impl Run {
    /// The gradient, as it lies in its own buffer.
    pub fn gradient_of(&self, case: &Case) -> Table {
        let mut gradient = Table::filled(case.student.rows, case.gradient, MARK);
        if let Some(buffer) = self.gradient {
            gradient.buffer = gradient.buffer.with_bytes(self.memory.bytes(buffer));
        }
        gradient
    }

    /// Each byte of the gradient is written exactly once, and none between its rows.
    fn check_writes(&self, case: &Case) {
        let Some(buffer) = self.gradient else { return };
        let Layout { dtype, cols, row_stride } = case.gradient;
        for (index, &count) in self.memory.writes(buffer).iter().enumerate() {
            let is_of_a_row = index / dtype.size() % row_stride < cols;
            assert_eq!(count, u8::from(is_of_a_row), "byte {index} of the gradient: {:?}", self.plan);
        }
    }

    /// What the launch left, as a host reads it. A fault is a failed test.
    pub fn read(&self, case: &Case) -> Result<LossValue> {
        if let Err(fault) = &self.report {
            panic!("{:?}: {fault}", self.plan);
        }
        let totals: Totals = bytemuck::pod_read_unaligned(self.memory.bytes(self.totals));
        let records: Vec<RowRecord> = bytemuck::pod_collect_to_vec(self.memory.bytes(self.records));
        assert_eq!(totals.ticket, 0, "the workspace can be used again");
        self.check_writes(case);
        let value = self.placed.read(&totals, &records)?;
        for (total, want) in [(totals.loss, Some(value.loss)), (totals.hard, value.hard), (totals.soft, value.soft)] {
            let want = want.unwrap_or(0.0);
            assert!(close(total, want, 1e-6 * want.abs()), "totals on the device: {total} is not {want}");
        }
        Ok(value)
    }
}
