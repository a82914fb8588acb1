//! PyTorch, in a process of its own that computes when it is told to (`pytorch.py`).

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Result;
use crate::shape::{Contestant, Shape};

pub(crate) struct Python {
    process: Child,
    conversation: RefCell<Conversation>,
}

struct Conversation {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    pub(crate) fn start(interpreter: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/pytorch.py");
        let mut command = Command::new(interpreter);
        let mut process = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take().ok_or("no way to speak to Python")?;
        let stdout = BufReader::new(process.stdout.take().ok_or("no way to hear Python")?);
        let mut conversation = Conversation { stdin, stdout };
        println!("{}", conversation.hear()?);
        Ok(Self { process, conversation: RefCell::new(conversation) })
    }

    /// PyTorch's two ways, on logits of this shape.
    pub(crate) fn contestants(&mut self, shape: Shape) -> Result<[PyTorch<'_>; 2]> {
        let Shape { rows, vocab, .. } = shape;
        let conversation = &self.conversation;
        conversation.borrow_mut().ask(&format!("load {rows} {vocab} {}", shape.dtype()))?;
        Ok([("PyTorch 2.15, eager", "eager"), ("PyTorch 2.15, compiled", "compiled")].map(|(name, command)| PyTorch {
            name,
            command,
            conversation,
        }))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Conversation {
    fn ask(&mut self, question: &str) -> Result<String> {
        writeln!(self.stdin, "{question}")?;
        self.stdin.flush()?;
        self.hear()
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err("Python has ended: what it printed above says why".into());
        }
        Ok(line.trim().to_owned())
    }
}

pub(crate) struct PyTorch<'p> {
    name: &'static str,
    command: &'static str,
    conversation: &'p RefCell<Conversation>,
}

impl Contestant for PyTorch<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self) -> Result<f64> {
        Ok(self.conversation.borrow_mut().ask(self.command)?.parse()?)
    }
}
