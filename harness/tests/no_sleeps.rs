//! The suite waits for conditions. A fixed sleep is too long on a fast machine and too short on
//! a slow one.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::path::{Path, PathBuf};

/// Where resting without a condition is right, with why.
const ALLOWED: [(&str, &str); 2] = [
    (
        "src/history/watches.rs",
        "rests before a request that failed is tried again, longer each time",
    ),
    (
        "src/run/canaries/interpreter.rs",
        "code that a sandbox is given takes its time, so that a pause finds it under way",
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// The lines of a text that sleep, comments left aside.
fn sleeps(text: &str) -> Vec<&str> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let call = concat!("sleep", "(");
    let lines = text.lines().filter(is_code);
    lines
        .filter(|line| line.contains(call) || line.contains(concat!("sleep", "_until(")))
        .collect()
}

#[test]
fn no_source_of_the_suite_sleeps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [root.join("src"), root.join("tests")];
    let files: Vec<PathBuf> = files.iter().flat_map(|folder| sources(folder)).collect();
    assert!(files.len() > 40, "{} files", files.len());
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let allowed = usize::from(ALLOWED.iter().any(|(known, _)| *known == name));
        if sleeps(&text).len() != allowed {
            found.push((name, sleeps(&text).join("; ")));
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_sleep_is_found_wherever_it_stands_but_in_a_comment() {
    let call = concat!("sleep", "(second)");
    let text = format!("// {call}\n    std::thread::{call};\nlet x = 1;\n");
    assert_eq!(sleeps(&text), [format!("    std::thread::{call};")]);
}
