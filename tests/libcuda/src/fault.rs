//! What goes wrong while queued work runs: a context keeps the first, as a GPU does, and answers with it ever after.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr::null;

use ptx::{Fault, FaultKind};

use crate::abi::Handle;
use crate::context;
use crate::driver::{self, Driver};
use crate::status::Status;

/// Why a context is of no use any more.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) text: String,
}

impl From<FaultKind> for Failure {
    fn from(kind: FaultKind) -> Self {
        let text = kind.to_string();
        let status = match kind {
            FaultKind::OutOfBounds { .. } | FaultKind::Uninitialised { .. } | FaultKind::Forbidden { .. } => {
                Status::ILLEGAL_ADDRESS
            }
            FaultKind::Misaligned { .. } => Status::MISALIGNED_ADDRESS,
            FaultKind::TooLong => Status::LAUNCH_TIMEOUT,
            _ => Status::LAUNCH_FAILED,
        };
        Self { status, text }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let text = fault.to_string();
        Self { text, ..Self::from(fault.kind) }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self { status, text: format!("a test asked for code {}", status.0) }
    }
}

impl Driver {
    /// Lets a context fail: whatever it has been given is not done.
    pub(crate) fn fail(&mut self, context: Handle, failure: Failure) {
        if let Ok(context) = self.contexts.get_mut(context) {
            context.failure.get_or_insert(failure);
        }
        self.streams.values_mut().filter(|stream| stream.context == context).for_each(|stream| stream.give_up());
    }

    /// A context that exists and has not failed.
    pub(crate) fn check(&self, context: Handle) -> Result<(), Status> {
        let context = self.contexts.get(context).map_err(|_| Status::INVALID_CONTEXT)?;
        context.failure.as_ref().map_or(Ok(()), |failure| Err(failure.status))
    }
}

thread_local! {
    /// Why the thread's last refused call was refused, where that was told.
    static REFUSAL: RefCell<String> = const { RefCell::new(String::new()) };
    static ANSWER: RefCell<CString> = RefCell::default();
}

/// Keeps why something is refused, where its status says too little.
pub(crate) fn refuse<T>(status: Status, why: String) -> Result<T, Status> {
    REFUSAL.set(why);
    Err(status)
}

/// Why the thread's last refused call was refused, if that was told.
pub(crate) fn refusal() -> String {
    REFUSAL.with_borrow(String::clone)
}

/// What made the current context fail, or else why this thread's last call was refused; null if there is nothing to tell.
/// The string is the library's until the thread's next call of this function.
#[unsafe(no_mangle)]
extern "C" fn kdloss_mock_last_fault() -> *const c_char {
    let failure = driver::with(|driver| {
        let current = context::current().ok_or(Status::INVALID_CONTEXT)?;
        Ok(driver.contexts.get(current)?.failure.as_ref().map(|failure| failure.text.clone()))
    });
    let text = failure.ok().flatten().unwrap_or_else(refusal);
    if text.is_empty() {
        return null();
    }
    ANSWER.set(CString::new(text).unwrap_or_default());
    ANSWER.with_borrow(|answer| answer.as_ptr())
}

/// Lets the current context forget that it has failed.
#[unsafe(no_mangle)]
extern "C" fn kdloss_mock_reset_context() {
    // Where there is no context there is nothing to forget.
    let _ = driver::with(|driver| {
        let current = context::current().ok_or(Status::INVALID_CONTEXT)?;
        driver.contexts.get_mut(current)?.failure = None;
        Ok(())
    });
}
