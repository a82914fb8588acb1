//! A file whose elements lie unaligned, where memory has no room for a copy of it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::support::{Folder, error};

const WIDTH: usize = 32_768;
const ROWS: usize = 1024;

/// 128 MiB of zeros that take no room on the disk, behind a header of odd length.
fn unpadded(folder: &Folder) -> PathBuf {
    let size = ROWS * WIDTH * 4;
    let header = format!(r#"{{"teacher":{{"dtype":"F32","shape":[{ROWS},{WIDTH}],"data_offsets":[0,{size}]}}}}"#);
    let header = format!("{header:width$}", width = header.len().next_multiple_of(8) + 1);
    let path = folder.path("unpadded.safetensors");
    let mut file = File::create(&path).expect("created");
    file.write_all(&(header.len() as u64).to_le_bytes()).expect("written");
    file.write_all(header.as_bytes()).expect("written");
    file.set_len((8 + header.len() + size) as u64).expect("set");
    path
}

/// Runs in an address space that has room for the map of the file, but for no copy of it.
fn limited(args: &[&str]) -> assert_cmd::Command {
    let mut shell = assert_cmd::Command::new("sh");
    let program = assert_cmd::cargo::cargo_bin!("kdloss");
    shell.args(["-c", "ulimit -v 262144; exec \"$0\" \"$@\""]).arg(program).args(args);
    shell.envs([("RAYON_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "1")]);
    shell
}

#[test]
fn unaligned_logits_are_read_in_pieces_where_rows_are() {
    let folder = Folder::new();
    let path = unpadded(&folder);
    let file = path.to_str().expect("text");
    let output = limited(&["temperature", file, "--temperatures", "1", "--json"]).assert().success();
    let stdout = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(stdout.contains("\"rows\":1024"), "{stdout}");
}

#[test]
fn a_copy_without_room_is_an_error() {
    let folder = Folder::new();
    let path = unpadded(&folder);
    let file = path.to_str().expect("text");
    let line = error(limited(&["eval", file, "--alpha", "0", "--student", "teacher"]));
    for part in ["`teacher`", "unaligned", "fit in memory", "write it again"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}
