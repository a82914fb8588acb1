//! Everything that computes the loss.

use std::sync::Once;

use kdloss::cpu::{GradientStores, Instructions, Options};
use kdloss::{DType, LossValue, Result, cpu, reference};

use crate::case::{Case, Table};

/// What an implementation made of a case.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub value: LossValue,
    /// The gradient of the classes, row by row.
    pub gradient: Vec<f64>,
    /// The gradient as it was written, with its layout; `None` where the implementation has no storage of its own.
    pub written: Option<Table>,
}

type Run = Box<dyn Fn(&Case) -> Result<Outcome> + Sync>;

/// One way to compute the loss.
pub struct Implementation {
    pub name: &'static str,
    /// How many times the accuracy contract it may take: 1, or 2 on a GPU.
    pub contract_factor: f64,
    pub run: Run,
}

/// The mark that a gradient holds before it is written.
pub const MARK: f32 = 7.0;

/// Every implementation but the reference.
pub fn all() -> Vec<Implementation> {
    let cpu = |name, run| Implementation { name, contract_factor: 1.0, run };
    #[allow(unused_mut)]
    let mut all = vec![
        cpu("cpu", Box::new(run_cpu)),
        cpu("cpu in place", Box::new(run_cpu_in_place)),
        cpu("cpu on one thread", Box::new(|case| on_threads(1, || run_cpu(case)))),
        cpu("cpu past the caches", Box::new(|case| run_with(streaming(), case))),
    ];
    for set in available_instructions() {
        let name = match set {
            Instructions::Avx512 => "cpu by avx512",
            Instructions::Avx2 => "cpu by avx2",
            _ => "cpu by portable loops",
        };
        all.push(cpu(name, Box::new(move |case| run_with(Options::new().with_instructions(set), case))));
    }
    #[cfg(feature = "wgpu")]
    all.extend(crate::wgpu::device::all());
    #[cfg(feature = "cuda")]
    {
        all.extend(crate::cuda::executed::all());
        all.extend(crate::cuda::device::all());
    }
    all
}

/// Whether `cargo xtask test --all` runs, which leaves nothing to a covering set.
#[allow(dead_code, reason = "without CUDA there is nothing that takes long")]
pub fn everything() -> bool {
    std::env::var_os("KDLOSS_TEST_ALL").is_some()
}

/// Every implementation, but for those of CUDA one at a time: which one, `turn` says. Where there is no GPU an executor of PTX
/// takes the place of one, and seconds for what others do in milliseconds. Whoever asks for each of at least seven turns has
/// asked for each implementation; `cargo xtask test --all` always gets all of them.
pub fn in_turn(turn: usize) -> Vec<Implementation> {
    #[allow(unused_mut)]
    let mut all = all();
    #[cfg(feature = "cuda")]
    if !everything() {
        let is_of_cuda = |implementation: &Implementation| implementation.name.starts_with("cuda");
        let of_cuda = all.iter().filter(|implementation| is_of_cuda(implementation)).count();
        let mut index = 0;
        all.retain(|implementation| {
            index += usize::from(is_of_cuda(implementation));
            !is_of_cuda(implementation) || (index - 1) % of_cuda == turn % of_cuda
        });
    }
    #[cfg(not(feature = "cuda"))]
    let _ = turn;
    all
}

/// What takes the CPU path's own ways with a tile; on an executed GPU it would take minutes.
pub fn of_the_cpu() -> Vec<Implementation> {
    all().into_iter().filter(|implementation| implementation.name.starts_with("cpu")).collect()
}

/// Every implementation, the reference first.
pub fn all_and_reference() -> Vec<Implementation> {
    let mut all = all();
    all.insert(0, Implementation { name: "reference", contract_factor: 1.0, run: Box::new(run_reference) });
    all
}

pub fn run_reference(case: &Case) -> Result<Outcome> {
    let (value, gradient) = reference::forward_backward(&case.loss, &case.batch())?;
    Ok(Outcome { value, gradient, written: None })
}

/// The sets that this processor has. Says once which ones it lacks.
pub fn available_instructions() -> impl Iterator<Item = Instructions> {
    static SAY: Once = Once::new();
    SAY.call_once(|| {
        for set in Instructions::ALL.into_iter().filter(|set| !set.is_available()) {
            eprintln!("skipped: the loops by {set}, which this processor lacks");
        }
    });
    Instructions::ALL.into_iter().filter(|set| set.is_available())
}

fn streaming() -> Options {
    Options::new().with_gradient_stores(GradientStores::Streaming)
}

pub fn run_cpu(case: &Case) -> Result<Outcome> {
    run_with(Options::new(), case)
}

fn run_with(options: Options, case: &Case) -> Result<Outcome> {
    let mut gradient = Table::filled(case.student.rows, case.gradient, MARK);
    let value = options.forward_backward(&case.loss, &case.batch(), &mut gradient.matrix_mut())?;
    let forward = options.forward(&case.loss, &case.batch())?;
    assert_eq!(format!("{forward:?}"), format!("{value:?}"), "forward alone differs");
    Ok(outcome(case, value, gradient))
}

fn run_cpu_in_place(case: &Case) -> Result<Outcome> {
    let mut student = case.student.clone();
    let value = cpu::forward_backward_in_place(&case.loss, &mut case.batch_in_place(&mut student))?;
    Ok(outcome(case, value, student))
}

pub fn outcome(case: &Case, value: LossValue, written: Table) -> Outcome {
    let vocab = case.batch().vocab();
    let gradient = (0..written.rows).flat_map(|row| written.row(row, vocab)).map(f64::from).collect();
    Outcome { value, gradient, written: Some(written) }
}

/// Runs on a pool of `threads` threads.
pub fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

pub const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];
