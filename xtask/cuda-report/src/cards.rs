//! Cards, as their makers describe them.

use kdloss::cuda::plan::DeviceLimits;

/// What bounds a kernel on a card.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    pub name: &'static str,
    pub limits: DeviceLimits,
    /// Bytes that memory moves in a second.
    pub bandwidth: f64,
    /// Clock cycles in a second, at the highest boost.
    pub clock: f64,
    /// Bytes of the second-level cache.
    pub cache: f64,
    /// Where the figures stand.
    pub source: &'static str,
}

/// Limits of a compute capability: "Technical Specifications per Compute Capability" of the CUDA C++ Programming Guide.
#[derive(Debug, Clone, Copy)]
pub struct Capability {
    /// Threads of a multiprocessor.
    pub threads: u32,
    /// CTAs of a multiprocessor.
    pub ctas: u32,
    /// Additions, multiplications and fused ones of `f32` that a multiprocessor does in a clock cycle: "Throughput of Native
    /// Arithmetic Instructions" of the same guide.
    pub float_operations: f64,
}

/// Registers of a multiprocessor, on every capability.
pub const REGISTERS: u32 = 65_536;
/// A warp's registers are allotted in pieces of so many.
pub const REGISTER_PIECE: u32 = 256;
/// Shared memory that the system takes of each CTA's, in bytes.
pub const RESERVED_SHARED: u32 = 1024;
/// Special functions that a multiprocessor does in a clock cycle: 16 on every capability that is looked at.
pub const SPECIAL_FUNCTIONS: f64 = 16.0;
/// Warps whose next instruction a multiprocessor issues in a clock cycle, one for each of its schedulers.
pub const SCHEDULERS: f64 = 4.0;

/// The limits of a compute capability, such as 90 for 9.0.
pub fn capability(architecture: u32) -> Capability {
    let (threads, ctas, float_operations) = match architecture {
        80 => (2048, 32, 64.0),
        89 => (1536, 24, 128.0),
        120 => (1536, 24, 128.0),
        _ => (2048, 32, 128.0),
    };
    Capability { threads, ctas, float_operations }
}

/// The cards that the report is about.
pub fn all() -> [Card; 6] {
    let card = |name, limits, bandwidth: f64, clock: f64, cache: f64, source| Card {
        name,
        limits,
        bandwidth: bandwidth * 1e9,
        clock: clock * 1e9,
        cache: cache * 1024.0 * 1024.0,
        source,
    };
    [
        card(
            "A100 80GB SXM",
            DeviceLimits::new(80, 108, 166_912, 167_936),
            2039.0,
            1.41,
            40.0,
            "NVIDIA A100 datasheet (80GB SXM: 2,039 GB/s); A100 architecture whitepaper, table \"Comparison of NVIDIA Data \
             Center GPUs\" (108 SMs, 1410 MHz, 40 MB)",
        ),
        card(
            "H100 SXM",
            DeviceLimits::new(90, 132, 232_448, 233_472),
            3350.0,
            1.98,
            50.0,
            "NVIDIA H100 datasheet (3.35 TB/s; 67 TFLOPS of FP32 are 132 × 128 × 2 at 1.98 GHz); H100 architecture \
             whitepaper (132 SMs, 50 MB)",
        ),
        card(
            "H200 SXM",
            DeviceLimits::new(90, 132, 232_448, 233_472),
            4800.0,
            1.98,
            50.0,
            "NVIDIA H200 datasheet (4.8 TB/s; 67 TFLOPS of FP32); SMs and cache as H100",
        ),
        card(
            "B200",
            DeviceLimits::new(100, 148, 232_448, 233_472),
            8000.0,
            1.98,
            126.0,
            "NVIDIA DGX B200 datasheet (64 TB/s for eight); SMs and cache as CUDA's device query tells them \
             (chipsandcheese.com, \"NVIDIA's B200\"); clock not in a datasheet: from 75 TFLOPS of FP32, which are 148 × 128 × 2 \
             at 1.98 GHz",
        ),
        card(
            "RTX 4090",
            DeviceLimits::new(89, 128, 101_376, 102_400),
            1008.0,
            2.52,
            72.0,
            "NVIDIA Ada GPU architecture whitepaper, table of the GeForce RTX 4090 (1008 GB/sec, 128 SMs, 2520 MHz, 73728 KB)",
        ),
        card(
            "RTX 5090",
            DeviceLimits::new(120, 170, 101_376, 102_400),
            1792.0,
            2.407,
            96.0,
            "NVIDIA RTX Blackwell GPU architecture whitepaper, table of the GeForce RTX 5090 (1792 GB/sec, 170 SMs, 2407 MHz, \
             98304 KB)",
        ),
    ]
}
