//! Where a gradient goes: through symbolic links, to pipes and devices, which all stay what they are.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use safetensors::SafeTensors;

use super::support::{Folder, eval, f32s, gradient, noise, run};

fn batch(folder: &Folder) -> PathBuf {
    let tensors = [f32s("student", &[4, 50], &noise(1, 200)), f32s("teacher", &[4, 50], &noise(2, 200))];
    folder.save("batch.safetensors", &tensors)
}

fn eval_into(folder: &Folder, output: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("kdloss"));
    command.arg("eval").arg(batch(folder)).args(["--alpha", "0", "--grad-out"]).arg(output);
    command
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).expect("there").is_symlink()
}

#[track_caller]
fn assert_is_gradient(bytes: &[u8]) {
    let file = SafeTensors::deserialize(bytes).expect("a safetensors file and nothing else");
    assert_eq!(file.tensor("grad").expect("there").shape(), [4, 50]);
}

/// First by a link of our own: a program that replaces links must not get at the system's.
#[test]
fn stdout_is_written_to_and_stays() {
    let folder = Folder::new();
    let ours = folder.path("stdout");
    symlink("/dev/stdout", &ours).expect("linked");
    for path in [ours.as_path(), Path::new("/dev/stdout")] {
        let output = eval_into(&folder, path).stdout(Stdio::piped()).output().expect("it ran");
        assert!(output.status.success(), "{output:?}");
        assert!(is_link(&ours) && is_link(Path::new("/dev/stdout")));
        assert_is_gradient(&output.stdout);
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(report.contains("gradient [4, 50] written to"), "{report}");

        let redirected = folder.path("redirected");
        let status =
            eval_into(&folder, path).stdout(File::create(&redirected).expect("created")).stderr(Stdio::null()).status();
        assert!(status.expect("it ran").success());
        assert_is_gradient(&fs::read(&redirected).expect("there"));
    }
}

#[test]
fn links_are_written_through() {
    let folder = Folder::new();
    let target = folder.write("target", b"old");
    let (link, further, dangling) = (folder.path("link"), folder.path("further"), folder.path("dangling"));
    symlink("target", &link).expect("linked");
    symlink("link", &further).expect("linked");
    symlink("new", &dangling).expect("linked");
    for (path, leads_to) in [(&link, &target), (&further, &target), (&dangling, &folder.path("new"))] {
        eval(&batch(&folder), &format!("--alpha 0 --grad-out {}", path.display()));
        assert!(is_link(path), "{}", path.display());
        assert_eq!(gradient(leads_to).0, [4, 50]);
        fs::write(&target, b"old").expect("written");
    }
    // Also where the link leads to an input.
    let input = folder.path("input");
    symlink("batch.safetensors", &input).expect("linked");
    let args = format!("--alpha 0 --grad-out {}", input.display());
    assert!(super::support::error(run("eval", &batch(&folder), &args)).contains("also an input"));
    let names = ["batch.safetensors", "dangling", "further", "input", "link", "new", "target"];
    assert_eq!(folder.names(), names);
}

#[test]
fn pipes_and_devices_are_written_to_directly() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).expect("read")
    });
    let written = eval_into(&folder, &pipe).output().expect("it ran");
    let is_pipe = fs::symlink_metadata(&pipe).expect("there").file_type().is_fifo();
    assert!(written.status.success() && is_pipe, "{written:?}");
    assert_is_gradient(&reader.join().expect("it read"));

    let null = folder.path("null");
    symlink("/dev/null", &null).expect("linked");
    let answer = eval(&batch(&folder), &format!("--alpha 0 --grad-out {}", null.display()));
    assert!(answer["loss"].is_f64() && is_link(&null));
    assert!(fs::metadata("/dev/null").expect("there").file_type().is_char_device());
    assert_eq!(folder.names(), ["batch.safetensors", "null", "pipe"]);
}

#[test]
fn a_reader_of_the_gradient_that_leaves_is_no_error() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = eval_into(&folder, Path::new("/dev/stdout")).stdout(writer).output().expect("it ran");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
