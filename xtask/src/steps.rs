//! Steps that follow one another until one fails, and how long each took.

use std::time::{Duration, Instant};

use crate::commands::Result;

/// The steps that have run, the last of which may have failed.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<Step>);

#[derive(Debug)]
struct Step {
    name: String,
    time: Duration,
    passed: bool,
}

impl Steps {
    /// Runs a step under its heading.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n=== {name}");
        let start = Instant::now();
        let result = step().map_err(|message| format!("{name}: {message}"));
        self.0.push(Step { name: name.to_owned(), time: start.elapsed(), passed: result.is_ok() });
        result
    }

    /// What each step took, what they took together, and whether all of them passed: on the last line.
    pub(crate) fn print(&self) {
        println!("\n=== how long each step took");
        for Step { name, time, passed } in &self.0 {
            println!("{:>7.1} s  {name}{}", time.as_secs_f64(), if *passed { "" } else { ": FAILED" });
        }
        let total: Duration = self.0.iter().map(|step| step.time).sum();
        let minutes = total.as_secs_f64() / 60.0;
        match self.0.iter().find(|step| !step.passed) {
            None => println!("=== all {} steps passed in {minutes:.1} minutes", self.0.len()),
            Some(Step { name, .. }) => println!("=== failed after {minutes:.1} minutes: {name}"),
        }
    }
}
