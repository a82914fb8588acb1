//! Options that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where the logits are.
#[derive(Debug, Args)]
pub struct LogitsArgs {
    /// File with the tensors, in the safetensors format
    ///
    /// Logits are [N, V] or [B, S, V], which is B·S rows; F32, F16, BF16, or F64, which is converted to F32. Student and
    /// teacher may differ in type and width. Classes are the last axis: of images, [B, C, H, W], save
    /// `logits.permute(0, 2, 3, 1).flatten(0, 2).contiguous()`. The file is mapped, and only what is converted or lies
    /// unaligned is copied: leave it unchanged while the program runs.
    pub file: PathBuf,

    /// File with the teacher's logits, if it is another one
    #[arg(long, value_name = "FILE")]
    pub teacher_file: Option<PathBuf>,

    /// Name of the student's tensor [default: student]
    #[arg(long, value_name = "NAME")]
    pub(crate) student: Option<String>,

    /// Name of the teacher's tensor [default: teacher]
    #[arg(long, value_name = "NAME")]
    pub(crate) teacher: Option<String>,

    /// How many columns are classes; the others are padding [default: the smaller width]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) vocab: Option<usize>,

    /// Make an error of what is otherwise a warning on stderr
    ///
    /// Warned about are logits that look like probabilities, more than a twentieth of the teacher's columns dropped
    /// because the student is narrower (unless --vocab is given), and a loss that is NaN.
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    /// The first that is built in and has a GPU: cuda, wgpu; else cpu. Never a software adapter
    Auto,
    /// The scalar f64 oracle: slow, and right
    Reference,
    /// The processor's cores
    Cpu,
    /// Any GPU, through WGSL kernels; a software adapter where there is no other
    Wgpu,
    /// NVIDIA GPUs, through CUDA kernels; CUDA_VISIBLE_DEVICES decides which of several
    Cuda,
}
