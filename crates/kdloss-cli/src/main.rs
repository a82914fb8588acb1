//! The process: its allocator, its exit code. What the commands do is in the library beside it.

use std::process::ExitCode;

use kdloss_cli::{Counting, Failure, Program, run};

/// `kdloss bench` tells how much memory the loss takes.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    // SAFETY: the program has just started, and has no thread but this one.
    #[cfg(feature = "wgpu")]
    unsafe {
        kdloss_cli::leave_out_device_select_layer();
    }
    match run(Program::from_arguments().command, &mut std::io::stdout().lock()) {
        // Whoever closed the pipe, as `head` does, has read what it wanted.
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}
