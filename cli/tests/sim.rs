//! `torpor sim` as its user runs it: what it finds is a scenario file that replays it.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A controller that keeps a context over the first pause only.
const FAULT: [&str; 2] = ["--fault", "second-checkpoint-ignored"];

fn torpor(args: &[&str]) -> Output {
    let torpor = Command::new(env!("CARGO_BIN_EXE_torpor")).args(args).output();
    torpor.expect("torpor runs")
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}\n{err}")
}

fn replay(folder: &Path, id: &str, more: &[&str]) -> Output {
    let folder = folder.to_str().expect("a path of text");
    let args = ["conformance", "--scenarios", folder, "--filter", id];
    torpor(&[&args, more].concat())
}

#[test]
fn random_histories_hold_on_the_reference() {
    let output = torpor(&[
        "sim",
        "--seed",
        "11",
        "--runs",
        "4",
        "--steps",
        "12",
        "--sandboxes",
        "2",
    ]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("seed 11: 4 sequences of up to 12 deeds"), "{said}");
    assert_eq!(said.matches("pass ").count(), 4, "{said}");
}

#[test]
fn what_fails_is_shrunk_and_written_as_a_scenario_that_replays_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = folder.path().to_str().expect("a path of text");
    // Of what this seed does, nothing races: another run of the same deeds, or of some, ends as the first did.
    let options = [
        "sim",
        "--seed",
        "77",
        "--runs",
        "1",
        "--steps",
        "10",
        "--sandboxes",
        "2",
        "--patience",
        "10",
        "--write",
        write,
    ];
    let output = torpor(&[&options[..], &FAULT].concat());
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let file = std::fs::read_dir(folder.path()).expect("the directory").next();
    let file = file.expect("a file was written").expect("it can be read").path();
    let scenario = std::fs::read_to_string(&file).expect("the scenario");
    assert!(said.contains("run 0 fails each time"), "{said}");
    assert!(said.contains(&scenario), "what was printed is what was written: {said}");
    // Two pauses with a write between them lose it, and nothing else matters.
    let pauses = scenario
        .lines()
        .filter(|line| line.trim_start().starts_with("- pause"))
        .count();
    assert!(pauses <= 2, "{scenario}");
    let id = file.file_stem().and_then(|name| name.to_str()).expect("a name");
    let (faulty, reference) = (replay(folder.path(), id, &FAULT), replay(folder.path(), id, &[]));
    assert_eq!(faulty.status.code(), Some(1), "{}", text(&faulty));
    assert_eq!(reference.status.code(), Some(0), "{}", text(&reference));
}

#[test]
fn a_reader_that_leaves_ends_it_without_a_panic() {
    let mut torpor = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["selftest", "--list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("torpor starts");
    drop(torpor.stdout.take());
    let output = torpor.wait_with_output().expect("torpor ends");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
