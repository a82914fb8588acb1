//! What this machine is: facts for `doctor`, and the name of the device that computes.

use std::fs;
use std::thread;

use kdloss::cpu;

/// The processor and how many threads compute, in one line.
pub(crate) fn device() -> String {
    let threads = rayon::current_num_threads();
    format!("{} ({threads} {})", processor(), if threads == 1 { "thread" } else { "threads" })
}

/// The processor's name as the system tells it, else its architecture.
pub(crate) fn processor() -> String {
    let named = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name"));
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Cores that this process may use; 0 if the system does not tell.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(0, usize::from)
}

/// Total and available memory in bytes, where the system tells them.
pub(crate) fn memory() -> (Option<u64>, Option<u64>) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |name| Some(field(&text, name)?.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024);
    (bytes("MemTotal"), bytes("MemAvailable"))
}

/// The vector instructions found on this processor, of those that matter to the loss.
pub(crate) fn vector_instructions() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let candidates = [
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("f16c", is_x86_feature_detected!("f16c")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512dq", is_x86_feature_detected!("avx512dq")),
            ("avx512vl", is_x86_feature_detected!("avx512vl")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        found.extend(candidates.iter().filter(|(_, here)| *here).map(|(name, _)| *name));
    }
    #[cfg(target_arch = "aarch64")]
    found.push("neon");
    found
}

/// The vector instructions that `kdloss::cpu` computes by, and what changes them.
pub(crate) fn instructions() -> String {
    let available = cpu::Instructions::ALL.into_iter().filter(|set| set.is_available()).map(cpu::Instructions::name);
    let choice = format!("KDLOSS_CPU changes it: {}", available.collect::<Vec<_>>().join(", "));
    match cpu::instructions() {
        Ok(set) => format!("{set} ({choice})"),
        Err(error) => format!("nothing: {error}"),
    }
}

/// The first `name : value` line of a text such as `/proc/cpuinfo`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}
