//! `torpor conformance --engine criu`: what is promised of context, with real processes in Docker containers.
//!
//! Where Docker or the image of a sandbox is missing the cases are *ignored*, with the reason in their names.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use torpor_runtime::docker_lacks;

type Case = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Each starts as many containers as a small machine can bear.
    args.test_threads = Some(1);
    let cases: [(&str, Case); 2] = [
        ("context_is_kept_in_full_by_real_processes", context_is_kept),
        ("a_mistake_is_found_with_real_processes_as_well", a_mistake_is_found),
    ];
    let lacks = docker_lacks();
    let trials = cases.map(|(name, case)| {
        let trial = Trial::test(name, case);
        match &lacks {
            Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
            None => trial,
        }
    });
    libtest_mimic::run(&args, trials.into()).exit_code()
}

fn conformance(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["conformance", "--engine", "criu"])
        .args(args)
        .output()
        .expect("torpor runs")
}

fn said(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

/// Every requirement of context, and every way into a sandbox: none of these may be left out.
fn context_is_kept() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let report = dir.path().to_str().expect("a path in UTF-8");
    let output = conformance(&["--filter", "CTX", "--filter", "E2B-07", "--report", report]);
    if output.status.code() != Some(0) {
        return Err(said(&output).into());
    }
    let json: Value = serde_json::from_slice(&fs::read(dir.path().join("report.json"))?)?;
    let result = |listed: &Value| Some((listed["id"].as_str()?.to_owned(), listed["result"].as_str()?.to_owned()));
    let all = |list: &str| -> BTreeMap<String, String> {
        let listed = json[list].as_array().into_iter().flatten();
        listed.filter_map(result).collect()
    };
    let requirements = all("requirements");
    let wanted = (1..=12).map(|nth| format!("CTX-{nth:02}")).chain(["E2B-07".to_owned()]);
    for id in wanted {
        let found = requirements.get(&id).map(String::as_str);
        assert_eq!(found, Some("pass"), "{id}: {}", said(&output));
    }
    let cases = all("cases");
    for id in [
        "commands-and-terminals-work-after-a-pause",
        "watches-work-after-a-pause",
        "program-goes-on",
        "what-was-under-way-ends-once",
    ] {
        assert_eq!(
            cases.get(id).map(String::as_str),
            Some("pass"),
            "{id}: {}",
            said(&output)
        );
    }
    Ok(())
}

fn a_mistake_is_found() -> Result<(), Failed> {
    let output = conformance(&[
        "--fault",
        "listener-dead-after-resume",
        "--filter",
        "connections-end-with-the-pause",
    ]);
    let text = said(&output);
    if output.status.code() == Some(1) && text.contains("1 failed") {
        return Ok(());
    }
    Err(format!("ended with {}:\n{text}", output.status).into())
}
