//! `kdloss bench`: its lines, its table, its plot. How fast it is, is not for a test to say.

use std::fs;

use serde_json::Value;

use super::support::{Folder, error, flowing, kdloss, keys, number, printed};

fn output(args: &str) -> String {
    let mut process = kdloss(["bench"]);
    process.args(args.split_whitespace());
    printed(process)
}

fn lines(args: &str) -> Vec<Value> {
    output(args).lines().map(|line| serde_json::from_str(line).expect("a JSON object to a line")).collect()
}

const SMALL: &str = "--rows 4 --vocab 1000,3001 --rounds 3 --threads 1";

#[test]
fn there_is_a_json_line_for_each_storage_type_and_vocabulary() {
    let lines = lines(&format!("{SMALL} --backend cpu --dtype f32,f16,bf16 --json"));
    let expected = ["backend", "dtype", "rows", "vocab", "median_ms", "spread_ms", "floor_ms", "ratio_to_floor"];
    let mut shapes = Vec::new();
    for line in &lines {
        assert_eq!(keys(line), expected);
        assert_eq!((&line["backend"], &line["rows"]), (&"cpu".into(), &4.into()));
        assert!(number(line, "median_ms") > 0.0 && number(line, "floor_ms") > 0.0 && number(line, "spread_ms") >= 0.0);
        assert!(number(line, "ratio_to_floor") > 0.0);
        shapes.push((line["dtype"].as_str().expect("a name"), line["vocab"].as_u64().expect("a number")));
    }
    let expected = [("f32", 1000), ("f32", 3001), ("f16", 1000), ("f16", 3001), ("bf16", 1000), ("bf16", 3001)];
    assert_eq!(shapes, expected);
}

#[test]
fn people_get_a_table_that_says_what_was_measured() {
    let text = flowing(&output(&format!("{SMALL} --backend cpu")));
    for part in ["cpu on", "forward + backward", "4 rows", "3001", "bf16", "GB/s", "tokens/s", "extra memory", "rounds"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let text = flowing(&output(&format!("{SMALL} --backend cpu --forward-only")));
    assert!(text.contains(": forward, 4 rows"), "{text}");
}

#[test]
fn the_plot_is_a_picture() {
    let folder = Folder::new();
    for (name, magic) in [("bench.png", &b"\x89PNG"[..]), ("bench.svg", b"<svg")] {
        let path = folder.path(name);
        output(&format!("{SMALL} --backend cpu --plot {}", path.display()));
        assert!(fs::read(path).expect("a picture").starts_with(magic), "{name}");
    }
    let mut process = kdloss(["bench", "--plot", "bench.txt"]);
    process.args(SMALL.split_whitespace());
    assert!(error(process).contains(".png or .svg"));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let mut process = kdloss(["bench", "--backend", "reference"]);
    process.args(SMALL.split_whitespace());
    assert!(error(process).contains("cpu, wgpu or cuda"));
    let mut process = kdloss(["bench", "--backend", "cpu", "--temperature", "0"]);
    process.args(SMALL.split_whitespace());
    assert!(error(process).contains("temperature 0 cannot be used"));
    kdloss(["bench", "--rows", "0"]).assert().code(2);
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_is_measured_where_there_is_an_adapter() {
    if !super::wgpu::an_adapter_is_there() {
        return;
    }
    let lines = lines(&format!("{SMALL} --backend wgpu --json"));
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["backend"] == "wgpu" && number(line, "median_ms") > 0.0));
}
