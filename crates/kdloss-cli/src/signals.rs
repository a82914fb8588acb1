//! Signals that end the program: Ctrl-C, `kill`, a terminal that closes.

/// Has `clean_up` run before one of the signals ends the program, which then ends as by the signal itself. What `clean_up`
/// returns is held until the end. Only the first call counts; a signal that the program was started to ignore, as by
/// `nohup`, remains ignored.
#[cfg(unix)]
pub(crate) fn before_termination<G: 'static>(clean_up: fn() -> G) {
    use std::sync::{Once, mpsc};

    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // Once the handlers are in place, there must be a thread that reads what they tell: it installs them itself.
        let (installed, wait) = mpsc::channel();
        let watch = move || {
            let signals = watched();
            // The other side waits, unless it is gone with the program.
            let _ = installed.send(());
            if let Some(signal) = signals.and_then(|mut signals| signals.forever().next()) {
                let _held = clean_up();
                // It does not return: the signal has its usual effect, which is the end.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
        };
        if std::thread::Builder::new().name("signals".into()).spawn(watch).is_ok() {
            // An error says that the thread has ended, and then nothing is watched.
            let _ = wait.recv();
        }
    });
}

/// The signals that are not ignored, watched from now on.
#[cfg(unix)]
fn watched() -> Option<signal_hook::iterator::Signals> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    let signals = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal));
    signal_hook::iterator::Signals::new(signals).ok()
}

#[cfg(unix)]
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: a `sigaction` of zeros is one without a handler.
    let mut current: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only writes the present one, to a place that lives.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut current) };
    asked == 0 && current.sa_sigaction == libc::SIG_IGN
}

/// Elsewhere than on Unix, the system ends the program at once.
#[cfg(not(unix))]
pub(crate) fn before_termination<G>(_: fn() -> G) {}
