//! Why a command stops: one line, which names the value and the remedy.

use std::fmt;
use std::io;

use crate::remedy::remedy;

/// What a command comes to.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// Something the person at the terminal can put right.
    Message(String),
    /// Nobody reads stdout any more.
    ClosedPipe,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self {
            Self::Message(message) => message,
            Self::ClosedPipe => "nobody reads the output",
        };
        // Names of tensors and files come from outside: they must not break the line or steer the terminal.
        for character in message.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl From<kdloss::Error> for Failure {
    fn from(error: kdloss::Error) -> Self {
        match remedy(&error) {
            Some(remedy) => Self::new(format!("{error}: {remedy}")),
            None => Self::new(error.to_string()),
        }
    }
}

/// Writing a result to stdout is the one place where an [`io::Error`] says enough by itself.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::new(format!("cannot write to stdout: {error}")),
        }
    }
}
