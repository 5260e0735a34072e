//! What vendors are told and given: the commands of their page exist, and the CI action does what it says.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "this test needs only the root of the repository")]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const TORPOR: &str = env!("CARGO_BIN_EXE_torpor");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn help(command: &[&str]) -> String {
    let output = Command::new(TORPOR)
        .args(command)
        .arg("--help")
        .output()
        .expect("torpor runs");
    text(&output.stdout)
}

/// The options that a text mentions.
fn options(page: &str) -> BTreeSet<String> {
    let words = page.split(|letter: char| !(letter.is_ascii_lowercase() || letter == '-'));
    words
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_option_that_the_page_for_vendors_names_exists() {
    let page = fs::read_to_string(support::root().join("docs/vendors.md")).expect("the page");
    let ours = page
        .lines()
        .filter(|line| !line.contains("cargo ") && !line.contains("docker "));
    let named = options(&ours.collect::<Vec<_>>().join("\n"));
    let commands: [&[&str]; 4] = [
        &["conformance"],
        &["report", "show"],
        &["report", "verify"],
        &["report", "diff"],
    ];
    let known: BTreeSet<String> = commands.iter().flat_map(|command| options(&help(command))).collect();
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty() && named.len() > 10, "{unknown:?} of {named:?}");
}

#[test]
fn the_files_of_the_ci_action_are_yaml_and_name_inputs_that_it_has() {
    let read = |file: &str| fs::read_to_string(support::root().join("deploy/action").join(file)).expect("a file");
    let action: serde_json::Value = serde_saphyr::from_str(&read("action.yml")).expect("YAML");
    let inputs = action["inputs"].as_object().expect("inputs");
    let text = read("action.yml");
    for used in text.split("inputs.").skip(1) {
        let name: String = used.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(inputs.contains_key(&name), "{name}");
    }
    let workflow: serde_json::Value = serde_saphyr::from_str(&read("kind.yaml")).expect("YAML");
    let steps = workflow["jobs"]["kind"]["steps"].as_array().expect("steps");
    let suite = steps.last().expect("a step");
    for name in suite["with"].as_object().expect("inputs").keys() {
        assert!(inputs.contains_key(name), "{name}");
    }
}

/// The step of the action, as GitHub would run it in `folder`.
fn step(folder: &Path, args: &str, baseline: &str) -> Output {
    Command::new("bash")
        .arg(support::root().join("deploy/action/run"))
        .current_dir(folder)
        .env("TORPOR", TORPOR)
        .env("ARGS", args)
        .env("REPORT", "report")
        .env("BASELINE", baseline)
        .env("GITHUB_STEP_SUMMARY", folder.join("summary"))
        .env("GITHUB_OUTPUT", folder.join("output"))
        .output()
        .expect("bash runs")
}

#[test]
fn the_ci_action_shows_the_summary_tells_the_verdict_and_ends_as_the_suite_does() {
    let folder = tempfile::tempdir().expect("a directory");
    let read = |file: &str| fs::read_to_string(folder.path().join(file)).expect("a file");
    let selected = "--filter paused-has-no-pod --filter files-survive";
    let output = step(folder.path(), &format!("{selected} --name \"Acme's $(id) 2.1\""), "");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(
        read("summary").starts_with("## ✅ Acme's $(id) 2.1: conformant"),
        "{}",
        read("summary")
    );
    assert_eq!(read("output"), "verdict=conformant\n");

    // What held before and is not even claimed now fails the step, although the suite finds nothing wrong.
    fs::write(folder.path().join("before.json"), read("report/report.json")).expect("written");
    fs::write(folder.path().join("fewer.yaml"), "[kubernetes, e2b]").expect("written");
    for (claims, code) in [("", 0), ("--capabilities fewer.yaml", 1)] {
        let output = step(folder.path(), &format!("{selected} {claims}"), "before.json");
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{claims}: {said}");
        assert!(said.contains("compared with before.json"), "{said}");
        assert!(said.contains("\nconformant in what was selected"), "{said}");
    }
}

#[test]
fn the_ci_action_tells_no_verdict_of_a_run_that_never_happened() {
    let folder = tempfile::tempdir().expect("a directory");
    let reports = folder.path().join("report");
    fs::create_dir(&reports).expect("a folder");
    for (args, code) in [
        ("--target e2b --e2b-url http://127.0.0.1:1 --e2b-api-key e2b_00", 2),
        ("--no-such-option", 3),
    ] {
        fs::write(reports.join("summary.md"), "## ✅ of before: conformant\n").expect("written");
        fs::write(reports.join("report.json"), "{\n  \"verdict\": \"conformant\",\n}\n").expect("written");
        let output = step(folder.path(), args, "");
        assert_eq!(output.status.code(), Some(code), "{args}: {}", text(&output.stderr));
        for told in ["output", "summary"] {
            let told = fs::read_to_string(folder.path().join(told)).unwrap_or_default();
            assert_eq!(told, "", "{args}");
        }
    }
}

#[test]
fn the_ci_action_refuses_options_that_make_no_sense() {
    let folder = tempfile::tempdir().expect("a directory");
    for args in ["--filter 'unmatched", "--no-such-option"] {
        let output = step(folder.path(), args, "");
        assert_eq!(output.status.code(), Some(3), "{args}: {}", text(&output.stderr));
    }
}
