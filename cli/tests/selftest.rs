//! The suite's own strength: every deliberately faulty implementation is caught by the cases that it names, and by
//! none that has nothing to do with it.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::process::Command;

use serde_json::Value;

fn selftest() -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["selftest", "--output", "json"])
        .output();
    let output = output.expect("torpor runs");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn every_fault_is_caught_by_the_cases_that_it_names_and_by_no_control() {
    let verdicts = selftest();
    assert!(verdicts.len() >= 40, "{} faults", verdicts.len());
    for verdict in &verdicts {
        assert_eq!(verdict["ok"], true, "{verdict:#}");
        assert_eq!(verdict["wronglyFailed"], Value::Array(Vec::new()), "{verdict:#}");
        assert_ne!(verdict["mustPass"], Value::Array(Vec::new()), "{verdict:#}");
    }
    let named = [
        ("paused-before-pod-gone", "paused-is-never-early"),
        ("resume-starts-fresh", "interpreter-state-survives@kubernetes"),
        ("resume-starts-fresh", "files-survive@e2b"),
    ];
    for (fault, scenario) in named {
        let verdict = verdicts
            .iter()
            .find(|verdict| verdict["fault"] == fault)
            .expect("the fault was tried");
        let caught_by = verdict["caughtBy"].as_array().expect("a list");
        assert!(
            caught_by.iter().any(|case| case == scenario),
            "{scenario} does not catch {fault}: {verdict:#}"
        );
    }
}

#[test]
fn an_unknown_fault_is_a_usage_error_that_lists_the_known_ones() {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["selftest", "--fault", "nonsense"])
        .output();
    let output = output.expect("torpor runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("resume-starts-fresh"));
}
