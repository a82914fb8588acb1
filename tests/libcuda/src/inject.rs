//! What tests ask of the mock: how often functions were called, and that some fail. All of it is of the calling thread, so
//! that tests that run at the same time do not meet.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::abi::Text;
use crate::status::Status;

/// A call that is to fail.
struct Planned {
    function: String,
    /// Its number among the thread's calls of the function, from 1.
    call: u64,
    status: Status,
}

#[derive(Default)]
struct Ledger {
    calls: HashMap<String, u64>,
    planned: Vec<Planned>,
    execution: Option<Status>,
}

thread_local! {
    static LEDGER: RefCell<Ledger> = RefCell::default();
}

impl Ledger {
    /// Counts a call, and says how it fails if it does.
    fn count(&mut self, function: &str) -> Result<(), Status> {
        let calls = self.calls.entry(function.to_owned()).or_default();
        *calls += 1;
        let due = self.planned.iter().position(|planned| planned.function == function && planned.call == *calls);
        due.map_or(Ok(()), |due| Err(self.planned.swap_remove(due).status))
    }
}

/// Runs the body of a function of the library.
pub(crate) fn enter(function: &str, body: impl FnOnce() -> Result<(), Status>) -> Status {
    let guarded = AssertUnwindSafe(|| {
        LEDGER.with_borrow_mut(|ledger| ledger.count(function))?;
        body()
    });
    match catch_unwind(guarded) {
        Ok(Ok(())) => Status::SUCCESS,
        Ok(Err(status)) => status,
        Err(_) => Status::UNKNOWN,
    }
}

/// How the kernel that is launched now fails when it runs, if a test has asked for that.
pub(crate) fn take_failing_execution() -> Option<Status> {
    LEDGER.with_borrow_mut(|ledger| ledger.execution.take())
}

/// Lets a call of a function return a code and do nothing else: the next of this thread if `nth` is 1, and so on.
#[unsafe(no_mangle)]
extern "C" fn kdloss_mock_fail(function: Text, nth: u32, code: u32) {
    let Ok(function) = function.string() else { return };
    LEDGER.with_borrow_mut(|ledger| {
        let call = ledger.calls.get(&function).copied().unwrap_or_default() + u64::from(nth);
        ledger.planned.push(Planned { function, call, status: Status(code) });
    });
}

/// Lets the next kernel that this thread launches fail when it runs.
#[unsafe(no_mangle)]
extern "C" fn kdloss_mock_fail_execution(code: u32) {
    LEDGER.with_borrow_mut(|ledger| ledger.execution = Some(Status(code)));
}

/// How often this thread has called a function, failing calls among them.
#[unsafe(no_mangle)]
extern "C" fn kdloss_mock_calls(function: Text) -> u64 {
    let Ok(function) = function.string() else { return 0 };
    LEDGER.with_borrow(|ledger| ledger.calls.get(&function).copied().unwrap_or_default())
}
