//! What a kernel moves and executes, counted while its PTX is executed on the CPU.

use kdloss::cuda::params::{RowRecord, Totals};
use kdloss::cuda::raw::{Batch, Labels, Matrix};
use kdloss::cuda::specialisation::KERNEL;
use kdloss::{DType, Target};
use ptx::{Access, Launch, Memory, Module, Options, launch};

use crate::cases::Case;

/// Rows that are executed, by one cluster.
const ROWS: usize = 2;

/// Averages over the elements of some rows.
#[derive(Debug, Clone, Copy)]
pub struct Executed {
    /// Bytes read from global memory and written to it.
    pub bytes: f64,
    /// Instructions of PTX.
    pub instructions: f64,
    /// Those of them that the special-function unit executes.
    pub special_functions: f64,
}

impl Executed {
    /// Executes the case's kernel.
    pub fn count(case: &Case, ptx: &str) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{:?}: {error}", case.plan);
        let module = Module::parse(ptx).map_err(|error| failed(&error))?;
        let kernel = module.kernel(KERNEL).ok_or_else(|| failed(&"no kernel"))?;
        let elements = ROWS * case.vocab as usize;
        let mut memory = Memory::new();
        let [student, teacher, gradient] = ["student", "teacher", "gradient"].map(|name| {
            let (access, seed) =
                if name == "gradient" { (Access::Write, 0) } else { (Access::Read, name.len() as u64) };
            let buffer = memory.allocate(name, &logits(case.dtype, elements, seed), access, 0);
            Matrix::new(memory.address(buffer), elements, case.dtype, ROWS, case.vocab as usize)
        });
        let labels: Vec<u8> = (0..ROWS as i64).flat_map(|row| (row + 5).to_le_bytes()).collect();
        let labels = memory.allocate("labels", &labels, Access::Read, 0);
        let batch = Batch::new(student).with_teacher(teacher).with_labels(Labels::i64(memory.address(labels), ROWS));
        let placed = batch.check(&case.loss(), Target::Separate(gradient)).map_err(|error| failed(&error))?;
        let mut params = placed.params;
        let records = memory.allocate_fresh("records", ROWS * size_of::<RowRecord>(), Access::ReadWrite, 0);
        let totals = memory.allocate("totals", &[0; size_of::<Totals>()], Access::ReadWrite, 0);
        (params.records, params.totals) = (memory.address(records), memory.address(totals));
        params.slots = case.plan.slots;
        let shape = Launch {
            grid: case.plan.cluster,
            threads: case.plan.threads,
            cluster: case.plan.cluster,
            dynamic_shared_bytes: case.plan.shared_bytes as usize,
            parameters: bytemuck::bytes_of(&params),
        };
        let report = launch(kernel, &shape, &mut memory, &Options::default()).map_err(|fault| failed(&fault))?;
        let bytes: u64 = memory.all_traffic().map(|(_, traffic)| traffic.read + traffic.written).sum();
        let per_element = |count: u64| count as f64 / elements as f64;
        Ok(Self {
            bytes: per_element(bytes),
            instructions: per_element(report.instructions()),
            special_functions: per_element(report.special_functions()),
        })
    }
}

/// Logits that lie in a hill from -8 to 8, as bytes.
fn logits(dtype: DType, count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Xorshift, Marsaglia 2003.
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let hill = (0..count).map(|_| 4.0 * (uniform() + uniform() + uniform() + uniform()) - 8.0);
    match dtype {
        DType::F32 => hill.flat_map(f32::to_le_bytes).collect(),
        // The upper half of an f32 is the next bf16 towards 0.
        _ => hill.flat_map(|logit| ((logit.to_bits() >> 16) as u16).to_le_bytes()).collect(),
    }
}
