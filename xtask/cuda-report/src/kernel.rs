//! What the compilers make of a kernel, and what its two loops issue for an element.

use std::path::PathBuf;
use std::process::Command;

use kdloss::cuda::nvrtc::compile;
use kdloss::cuda::specialisation::Terms;

use crate::cases::KernelKey;
use crate::categories::{CATEGORIES, category};
use crate::sass::{self, Round};
use crate::tools::{self, Assembled, output_of};

/// NVIDIA's programs beside the run-time compiler.
#[derive(Debug)]
pub struct Tools {
    ptxas: PathBuf,
    nvdisasm: PathBuf,
}

impl Tools {
    /// The programs that variables name.
    pub fn from_environment() -> Result<Self, String> {
        let tool = |variable: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{variable} must name the tool, as `cargo xtask cuda-report` does"))
        };
        Ok(Self { ptxas: tool("KDLOSS_PTXAS")?, nvdisasm: tool("KDLOSS_NVDISASM")? })
    }

    /// The versions of the three, as they tell them.
    pub fn versions(&self, ptx: &str) -> Result<[String; 3], String> {
        let nvrtc = version_in(ptx)?;
        let ptxas = version_in(&output_of(Command::new(&self.ptxas).arg("--version"))?)?;
        let nvdisasm = version_in(&output_of(Command::new(&self.nvdisasm).arg("--version"))?)?;
        Ok([format!("NVRTC {nvrtc}"), format!("ptxas {ptxas}"), format!("nvdisasm {nvdisasm}")])
    }
}

/// What follows `V` in `Cuda compilation tools, release 12.9, V12.9.86`.
fn version_in(text: &str) -> Result<String, String> {
    let line = text.lines().find(|line| line.contains("Cuda compilation tools"));
    let version = line.and_then(|line| line.rsplit_once(", V")).map(|(_, version)| version.trim().to_owned());
    version.ok_or_else(|| "a tool does not tell its version".to_owned())
}

/// A kernel, compiled.
#[derive(Debug)]
pub struct Kernel {
    pub key: KernelKey,
    pub ptx: String,
    pub assembled: Assembled,
    /// Instructions of machine code for an element, in the loops of the first pass and of the second.
    pub passes: [f64; 2],
    /// The same, by category.
    pub by_category: [f64; CATEGORIES.len()],
    /// Additions, multiplications and fused ones of `f32` for an element: a packed instruction does two.
    pub float_operations: f64,
}

impl Kernel {
    pub fn compile(key: KernelKey, tools: &Tools) -> Result<Self, String> {
        let named = |error: String| format!("{key:?}: {error}");
        let virtual_architecture = format!("compute_{}", key.architecture);
        let compiled = compile(&key.specialisation, &virtual_architecture);
        let ptx = compiled.map_err(|error| named(error.to_string()))?.ptx;
        let assembled = tools::assemble(&tools.ptxas, &ptx, key.architecture).map_err(named)?;
        let text = tools::disassemble(&tools.nvdisasm, &assembled.code).map_err(named)?;
        let rounds = sass::loops(&text);
        let [first, second] = rounds.as_slice() else {
            return Err(named(format!("{} loops with exponentials instead of two", rounds.len())));
        };
        let exponentials = exponentials(key.specialisation.terms);
        let mut kernel =
            Self { key, ptx, assembled, passes: [0.0; 2], by_category: Default::default(), float_operations: 0.0 };
        for (pass, round) in [first, second].into_iter().enumerate() {
            kernel.count(pass, round, f64::from(round.special_functions) / exponentials[pass]).map_err(named)?;
        }
        Ok(kernel)
    }

    /// Counts a round of the loop of a pass, which is for so many elements.
    fn count(&mut self, pass: usize, round: &Round, elements: f64) -> Result<(), String> {
        for mnemonic in &round.mnemonics {
            self.passes[pass] += 1.0 / elements;
            self.by_category[category(mnemonic)?] += 1.0 / elements;
            self.float_operations += float_operations(mnemonic) / elements;
        }
        Ok(())
    }

    /// Instructions of machine code for an element.
    pub fn instructions(&self) -> f64 {
        self.passes.iter().sum()
    }

    /// Exponentials by the special-function unit for an element.
    pub fn special_functions(&self) -> f64 {
        let per_pass = exponentials(self.key.specialisation.terms);
        per_pass.iter().sum()
    }
}

/// Exponentials of an element in each pass that the special-function unit computes, with both terms.
fn exponentials(terms: Terms) -> [f64; 2] {
    if terms == Terms::Both { [2.0, 3.0] } else { [2.0, 2.0] }
}

/// Additions, multiplications or fused ones of `f32` that an instruction does.
fn float_operations(mnemonic: &str) -> f64 {
    match mnemonic.split('.').next() {
        Some("FADD" | "FMUL" | "FFMA") => 1.0,
        Some("FADD2" | "FMUL2" | "FFMA2") => 2.0,
        _ => 0.0,
    }
}
