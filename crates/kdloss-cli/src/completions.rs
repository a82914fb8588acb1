//! `kdloss completions`: what a shell needs to complete the program's options.

use std::io::Write;

use clap::CommandFactory;

use crate::args::{CompletionsArgs, Program};
use crate::failure::Result;

pub(crate) fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Result<()> {
    // Written to memory first: the generator takes a pipe that is closed for a bug.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Program::command(), "kdloss", &mut script);
    out.write_all(&script)?;
    Ok(())
}
