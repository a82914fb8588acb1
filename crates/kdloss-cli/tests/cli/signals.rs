//! Signals end the program as they always do, and leave no temporary file behind.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::Folder;

const PATIENCE: Duration = Duration::from_secs(60);

/// A run that would last for days, with its temporary file in the folder; `trap` is what the shell does before.
fn long_run(folder: &Folder, trap: &str) -> Child {
    let bench = "bench --backend cpu --rows 16 --vocab 1000 --dtype f32 --rounds 1000000000 --plot";
    let child = Command::new("sh")
        .args(["-c", &format!("{trap} exec \"$0\" \"$@\"")])
        .arg(assert_cmd::cargo::cargo_bin!("kdloss"))
        .args(bench.split(' '))
        .arg(folder.path("plot.png"))
        .env("RAYON_NUM_THREADS", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_for("a temporary file", || folder.names().iter().any(|name| name.starts_with(".kdloss-")));
    child
}

fn wait_for(what: &str, mut has_come: impl FnMut() -> bool) {
    let start = Instant::now();
    while !has_come() {
        assert!(start.elapsed() < PATIENCE, "{what} has not come");
        sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn no_file_stays_behind() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let folder = Folder::new();
        let mut child = long_run(&folder, "");
        send(signal, &child);
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(number), "{signal}: {status}");
        assert_eq!(folder.names(), [""; 0], "{signal}");
    }
}

/// As `nohup` has it.
#[test]
fn a_signal_that_is_ignored_remains_so() {
    let folder = Folder::new();
    let mut child = long_run(&folder, "trap '' HUP;");
    send("HUP", &child);
    sleep(Duration::from_millis(200));
    assert!(child.try_wait().expect("asked").is_none(), "the signal was not ignored");
    assert_eq!(folder.names().len(), 1);
    send("TERM", &child);
    assert_eq!(child.wait().expect("it ends").signal(), Some(15));
    assert_eq!(folder.names(), [""; 0]);
}
