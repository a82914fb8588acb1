//! The pieces of work that streams queue and graphs hold, and how each is done.

use std::sync::Arc;
use std::time::Instant;

use crate::abi::{Handle, Host};
use crate::driver::Driver;
use crate::fault::Failure;
use crate::launch::Launch;
use crate::status::Status;
use crate::stream::Point;

/// A piece of work.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Launch(Launch),
    /// Writes bytes: a copy from the host, or a fill.
    Write {
        to: u64,
        content: Arc<[u8]>,
    },
    /// A copy from pinned memory, which is read only now.
    FromPinned {
        to: u64,
        from: Host,
        bytes: usize,
    },
    /// A copy to the host.
    ToHost {
        to: Host,
        is_pinned: bool,
        from: u64,
        bytes: usize,
    },
    Copy {
        to: u64,
        from: u64,
        bytes: usize,
    },
    Free(u64),
    /// Tells an event that this point of the stream is reached.
    Record(Handle),
    Wait(Point),
}

impl Driver {
    /// Does a piece of work of a context's stream.
    pub(crate) fn run(&mut self, context: Handle, work: Work) -> Result<(), Failure> {
        match work {
            Work::Launch(launch) => self.run_launch(context, &launch)?,
            Work::Write { to, content } => self.device_of(to).memory.upload(to, &content)?,
            Work::FromPinned { to, from, bytes } => {
                self.check_pinned(from, bytes)?;
                self.device_of(to).memory.upload(to, &from.read(bytes)?)?;
            }
            Work::ToHost { to, is_pinned, from, bytes } => {
                if is_pinned {
                    self.check_pinned(to, bytes)?;
                }
                to.write(self.device_of(from).memory.download(from, bytes)?)?;
            }
            Work::Copy { to, from, bytes } => self.copy(to, from, bytes)?,
            Work::Free(address) => self.device_of(address).free(address)?,
            Work::Record(event) => {
                // Nobody asks an event that is destroyed.
                if let Ok(event) = self.events.get_mut(event) {
                    event.reached = Some(Instant::now());
                }
            }
            Work::Wait(point) => self.run_until(point),
        }
        Ok(())
    }

    fn check_pinned(&self, address: Host, bytes: usize) -> Result<(), Failure> {
        if self.is_pinned(address, bytes) {
            return Ok(());
        }
        let text = format!("{bytes} bytes of the host's memory are copied after they have been freed");
        Err(Failure { status: Status::ILLEGAL_ADDRESS, text })
    }
}
