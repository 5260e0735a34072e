//! `torpor conformance` as its users call it: exit codes, reports, refusals.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn conformance(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torpor"))
        .arg("conformance")
        .args(args)
        .output()
        .expect("torpor runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_kept_requirement_ends_with_code_0_and_three_reports() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().to_str().expect("a path in UTF-8");
    let output = conformance(&["--filter", "ZERO-01", "--report", report]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let json: Value =
        serde_json::from_slice(&fs::read(dir.path().join("report.json")).expect("a report")).expect("JSON");
    assert_eq!(json["schemaVersion"], 2);
    assert_eq!(
        (&json["summary"]["fail"], &json["summary"]["error"]),
        (&Value::from(0), &Value::from(0))
    );
    let kept = |requirement: &&Value| requirement["id"] == "ZERO-01";
    let requirement = json["requirements"]
        .as_array()
        .expect("a list")
        .iter()
        .find(kept)
        .expect("the requirement");
    assert_eq!(requirement["result"], "pass");
    for file in ["junit.xml", "report.html"] {
        assert!(
            fs::metadata(dir.path().join(file)).expect("a file").len() > 0,
            "{file} is empty"
        );
    }
}

/// As in a container image that holds one static binary and nothing else.
#[test]
fn a_machine_without_certificate_authorities_can_judge_what_is_reached_by_http() {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args([
            "conformance",
            "--quiet",
            "--filter",
            "interpreter-state-survives@kubernetes",
        ])
        .envs([("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")])
        .output()
        .expect("torpor runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_filter_that_matches_nothing_is_a_usage_error() {
    let output = conformance(&["--filter", "no-such-thing"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("no-such-thing"));
}

#[test]
fn a_bad_scenario_file_is_refused_with_line_and_column() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("written");
    write(
        &dir.path().join("mine.yaml"),
        "id: mine\ntitle: A claim\nrequirements: [CTX-01]\nvia: [e2b]\nsteps:\n  - dance: {}\n",
    );
    let output = conformance(&["--scenarios", dir.path().to_str().expect("a path")]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("mine.yaml:6:") && said.contains("dance"), "{said}");
}

#[test]
fn a_target_without_an_address_is_refused() {
    let refused = |target: &str, url: &str, what: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
            .args(["conformance", "--target", target])
            .env_remove("KUBECONFIG")
            .envs([("E2B_API_URL", url), ("E2B_API_KEY", "e2b_00")])
            .output()
            .expect("torpor runs");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(what), "{said}");
    };
    refused("e2b", "", "--target e2b needs --e2b-url URL or E2B_API_URL");
    refused("e2b", "nowhere", "give http:// or https:// and a host");
    refused(
        "kubeconfig",
        "http://127.0.0.1:1",
        "--target kubeconfig needs --kubeconfig FILE or KUBECONFIG",
    );
}

#[test]
fn the_address_that_sdks_read_is_judged_where_no_other_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args([
            "conformance",
            "--target",
            "e2b",
            "--quiet",
            "--filter",
            "interpreter-state-survives",
        ])
        .envs([("E2B_API_URL", "http://127.0.0.1:1"), ("E2B_API_KEY", "e2b_00")])
        .output()
        .expect("torpor runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn a_label_takes_the_cases_that_have_it_and_one_that_none_has_is_a_usage_error() {
    let output = conformance(&["--label", "smoke", "--filter", "paused-has-no-pod", "--jobs", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("1 cases against embedded"));
    let output = conformance(&["--label", "smoke", "--label", "smoky"]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(
        said.contains("--label smoky: no scenario has it; there are ") && said.contains("smoke"),
        "{said}"
    );
    let output = conformance(&["--label", "smoke", "--filter", "no-such-thing"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--filter no-such-thing and --label smoke"));
}

#[test]
fn a_wrong_option_is_a_usage_error_and_help_is_not() {
    assert_eq!(conformance(&["--no-such-option"]).status.code(), Some(3));
    let help = conformance(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exit codes"));
}

#[test]
fn an_expected_failure_that_passes_is_stale_and_ends_with_code_1() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("known.yaml");
    let entry = "expectedFailures:\n  - {id: ZERO-01, owner: me, reason: known, expires: 2999-01-01}\n";
    fs::write(&file, entry).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    let output = conformance(&["--filter", "paused-has-no-pod", "--expected-failures", file]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("stale expectation of me: ZERO-01: what it names passes now"),
        "{said}"
    );
}

#[test]
fn what_is_left_out_needs_a_reason_and_an_id_that_exists() {
    let skip = |args: &[&str]| conformance(&[&["--filter", "ZERO-01"], args].concat());
    let output = skip(&["--skip", "paused-has-no-pod"]);
    assert_eq!(output.status.code(), Some(3));
    let output = skip(&["--skip", "ZERO-99", "--skip-reason", "none"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--skip ZERO-99: no such case, scenario or requirement"));
    let output = skip(&["--skip", "ZERO-01", "--skip-reason", "a", "--skip-reason", "b"]);
    assert_eq!(output.status.code(), Some(3));
    let output = skip(&["--skip", "ZERO-01", "--skip-reason", "no time"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}

#[test]
fn a_fault_that_is_not_known_or_could_not_be_put_in_is_a_usage_error() {
    let unknown = conformance(&["--fault", "no-such-fault"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        text(&unknown.stderr).contains("no-such-fault"),
        "{}",
        text(&unknown.stderr)
    );
    let elsewhere = conformance(&["--target", "e2b", "--fault", "paused-before-pod-gone"]);
    assert_eq!(elsewhere.status.code(), Some(3));
    assert!(
        text(&elsewhere.stderr).contains("--fault"),
        "{}",
        text(&elsewhere.stderr)
    );
}

#[test]
fn a_bad_file_of_expected_failures_is_refused_with_line_and_column() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("known.yaml");
    fs::write(&file, "expectedFailures:\n  - {id: ZERO-01, owner: me, because: x}\n").expect("written");
    let output = conformance(&["--expected-failures", file.to_str().expect("a path in UTF-8")]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("known.yaml:2:"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn another_profile_asks_and_reads_the_same_cases_in_its_own_words() {
    let output = conformance(&[
        "--profile",
        "sigs",
        "--filter",
        "paused-has-no-pod",
        "--filter",
        "created-paused",
    ]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    for case in ["created-paused-starts-nothing", "paused-has-no-pod"] {
        let passed = |line: &str| line.starts_with("pass ") && line.ends_with(case);
        assert!(said.lines().any(passed), "{case}: {said}");
    }
}

#[test]
fn a_profile_that_does_not_fit_what_is_served_does_not_pass() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.yaml");
    let mine = "name: mine\nextends: kruise\nkubernetes:\n  status:\n    paused: {condition: Asleep}\n";
    fs::write(&path, mine).expect("written");
    let path = path.to_str().expect("a path");
    let output = conformance(&["--profile", path, "--filter", "pause-and-resume-reach-their-state"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("condition Asleep of `sandbox` is absent"), "{said}");
}

#[test]
fn a_profile_or_a_capability_that_makes_no_sense_is_a_usage_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("mine.yaml");
    fs::write(&path, "name: mine\nextends: kruise\nkubernetes:\n  pod-name: box\n").expect("written");
    let file = path.to_str().expect("a path");
    for (args, why) in [
        (["--profile", "nope"], "expected one of kruise"),
        (["--profile", file], "mine.yaml:4:3"),
        (["--profile", "no/such/file.yaml"], "read the profile no/such/file.yaml"),
        (["--capabilities", file], "mine.yaml"),
    ] {
        let output = conformance(&args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{args:?} {said}");
        assert!(said.contains(why), "{args:?} {said}");
    }
}

#[test]
fn a_storage_directory_that_is_not_there_is_a_usage_error_and_not_an_empty_store() {
    let output = conformance(&["--target", "e2b", "--storage", "no/such/folder"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--storage no/such/folder: no such directory"), "{said}");
}

/// A report of one requirement, in a folder.
fn report_in(dir: &Path) -> Output {
    conformance(&[
        "--quiet",
        "--filter",
        "ZERO-01",
        "--report",
        dir.to_str().expect("a path"),
        "--report-yaml",
    ])
}

fn report(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torpor"))
        .arg("report")
        .args(args)
        .output()
        .expect("torpor runs")
}

#[test]
fn a_quiet_run_says_the_verdict_only_and_its_report_is_verified_shown_and_compared() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = report_in(dir.path());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("conformant in what was selected"),
        "{said}"
    );
    let file = dir.path().join("report.json");
    let (folder, file) = (dir.path().to_str().expect("a path"), file.to_str().expect("a path"));

    let verified = report(&["verify", folder]);
    let said = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1));
    assert!(
        said.contains("wrong: it is of selected cases only (ZERO-01)") && said.contains("rejected"),
        "{said}"
    );
    for form in ["report.json", "report.yaml"] {
        let form = dir.path().join(form);
        let verified = report(&["verify", "--allow-partial", form.to_str().expect("a path")]);
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
        assert!(text(&verified.stdout).contains("no signature"));
    }
    assert!(text(&report(&["show", folder]).stdout).contains("ZERO-01"));
    assert!(text(&report(&["show", folder, "--output", "markdown"]).stdout).starts_with("## ✅ embedded: conformant"));
    assert_eq!(report(&["diff", folder, file]).status.code(), Some(0));

    let edited = fs::read_to_string(file)
        .expect("a report")
        .replace("\"result\": \"pass\"", "\"result\": \"fail\"");
    fs::write(file, edited).expect("written");
    let verified = report(&["verify", "--allow-partial", "--output", "json", file]);
    let said: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(
        (verified.status.code(), &said["accepted"]),
        (Some(1), &Value::from(false))
    );
    let yaml = dir.path().join("report.yaml");
    let compared = report(&["diff", yaml.to_str().expect("a path"), file]);
    assert_eq!(compared.status.code(), Some(1), "{}", text(&compared.stdout));
    assert!(text(&compared.stdout).contains("regression   pass"));
}

#[test]
fn a_report_of_selected_cases_is_accepted_where_that_is_asked_for_and_called_so() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(report_in(dir.path()).status.code(), Some(0));
    let folder = dir.path().to_str().expect("a path");
    let refused = report(&["verify", "--require-conformant", "--output", "json", folder]);
    let said: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(
        (&said["accepted"], &said["partial"]),
        (&Value::from(false), &Value::from(true))
    );
    let accepted = report(&["verify", "--require-conformant", "--allow-partial", folder]);
    let said = text(&accepted.stdout);
    assert_eq!(accepted.status.code(), Some(0), "{said}");
    assert!(
        said.contains("embedded: conformant in what was selected (profile kruise, "),
        "{said}"
    );
}

#[test]
fn a_report_that_is_rejected_for_its_verdict_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let folder = dir.path().to_str().expect("a path");
    let left_out = ["--skip", "ZERO-01", "--skip-reason", "no time", "--report", folder];
    let output = conformance(&[&["--quiet", "--filter", "paused-has-no-pod"], &left_out[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let verified = report(&["verify", "--allow-partial", folder]);
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stdout));
    let required = report(&["verify", "--allow-partial", "--require-conformant", folder]);
    let said = text(&required.stdout);
    assert_eq!(required.status.code(), Some(1), "{said}");
    assert!(
        said.contains("rejected: it does not say conformant; it says embedded: not conformant in what was selected"),
        "{said}"
    );
}

#[test]
fn what_is_no_report_is_a_usage_error_that_says_so() {
    let output = report(&["verify", "no-such-file.json"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("read no-such-file.json"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_reference_is_conformant_and_every_requirement_is_spoken_of_by_a_case_that_was_executed() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = conformance(&["--report", dir.path().to_str().expect("a path in UTF-8")]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let json: Value =
        serde_json::from_slice(&fs::read(dir.path().join("report.json")).expect("a report")).expect("JSON");
    let silent: Vec<&Value> = json["requirements"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|requirement| requirement["result"] != "pass" && requirement["untestable"].is_null())
        .map(|requirement| &requirement["id"])
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}
