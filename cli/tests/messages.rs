//! Bad input to `torpor conformance`: said before anything is run, with what to do, and the exit code of a wrong command.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// What it says to these arguments, with the exit code of a command that made no sense.
fn refused(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .arg("conformance")
        .args(args)
        .env_remove("KUBECONFIG")
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing was run");
    said
}

/// What is said of an E2B API at this address, where the suite could not find out anything.
fn undecided(url: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args([
            "conformance",
            "--target",
            "e2b",
            "--e2b-api-key",
            "e2b_00",
            "--e2b-url",
            url,
        ])
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "nothing was run");
    said
}

#[test]
fn an_e2b_api_that_does_not_answer_or_refuses_the_key_is_told_once_and_nothing_is_run() {
    let said = undecided("http://127.0.0.1:1");
    assert!(said.contains("does not answer") && said.contains("--e2b-url"), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody asks");
        let asked = stream.read(&mut [0; 4096]).expect("a request");
        let answer = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).expect("an answer");
        asked
    });
    let said = undecided(&url);
    assert!(
        said.contains("answers 401 to the key; is --e2b-api-key right?"),
        "{said}"
    );
    assert!(server.join().expect("the server") > 0);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[test]
fn a_folder_without_scenarios_is_refused_rather_than_left_out() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = text(folder.path());
    let said = refused(&["--scenarios", path]);
    assert!(said.contains(&format!("{path}: no scenario is in it")), "{said}");
    let missing = folder.path().join("nowhere");
    let said = refused(&["--scenarios", text(&missing)]);
    // A file as a whole has no line.
    assert!(
        said.contains("nowhere: read scenarios: No such file") && !said.contains(":0:0"),
        "{said}"
    );
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_named_once_with_the_reason() {
    let folder = tempfile::tempdir().expect("a directory");
    let missing = folder.path().join("kubeconfig");
    let said = refused(&["--target", "kubeconfig", "--kubeconfig", text(&missing)]);
    assert!(said.contains("read the kubeconfig"), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
    std::fs::write(&missing, "not: [a kubeconfig\n").expect("a file");
    let said = refused(&["--target", "kubeconfig", "--kubeconfig", text(&missing)]);
    assert!(said.contains("line 1"), "{said}");
}

#[test]
fn an_option_of_another_target_is_refused_and_never_judges_torpor_under_the_name_of_a_vendor() {
    let vendor = [
        "--kubeconfig",
        "/nonexistent/acme.yaml",
        "--e2b-url",
        "https://api.acme.example",
        "--name",
        "Acme 2.1",
    ];
    let said = refused(&vendor);
    assert!(
        said.contains("--kubeconfig goes with --target kubeconfig")
            && said.contains("--e2b-url goes with --target e2b"),
        "{said}"
    );
    for (args, right) in [
        (&["--storage", "/nonexistent"][..], "--target kubeconfig"),
        (&["--image", "acme/plane"], "--target container"),
        (&["--load", "acme/controller:dev"], "--target kind"),
        (&["--target", "e2b", "--engine", "monty"], "--target embedded"),
    ] {
        let said = refused(args);
        assert!(said.contains(&format!("{} goes with", args[args.len() - 2])), "{said}");
        assert!(said.contains(right), "{said}");
    }
}

#[test]
fn what_the_environment_sets_for_other_programs_is_no_reason_to_refuse() {
    let folder = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["conformance", "--quiet", "--filter", "paused-has-no-pod"])
        .args(["--capability", "commands", "--report", text(folder.path())])
        .envs([("KUBECONFIG", "/nonexistent"), ("E2B_API_KEY", "e2b_00")])
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report = std::fs::read_to_string(folder.path().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let claims = report["claims"].as_array().expect("claims");
    assert!(claims.iter().any(|claim| claim == "commands"), "{claims:?}");
}

#[test]
fn a_report_that_has_no_place_is_refused_before_the_run() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let said = refused(&["--report", text(&file.join("reports"))]);
    assert!(
        said.contains("--report") && said.contains("make the directory"),
        "{said}"
    );
}

#[test]
fn a_run_that_never_happened_leaves_no_report_of_an_earlier_one() {
    let folder = tempfile::tempdir().expect("a directory");
    for file in ["report.json", "report.yaml", "summary.md", "notes.txt"] {
        std::fs::write(folder.path().join(file), "of before").expect("a file");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["conformance", "--target", "e2b", "--e2b-url", "http://127.0.0.1:1"])
        .args(["--e2b-api-key", "e2b_00", "--report", text(folder.path())])
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let left = std::fs::read_dir(folder.path()).expect("the directory");
    let left: Vec<_> = left.map(|entry| entry.expect("a file").file_name()).collect();
    assert_eq!(left, ["notes.txt"], "what is not ours stays");
}

#[test]
fn a_day_that_is_none_is_told_with_how_one_is_written() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("known.yaml");
    let entry = "expectedFailures:\n  - id: CTX-04\n    owner: me\n    reason: known\n    expires: soon\n";
    std::fs::write(&file, entry).expect("a file");
    let said = refused(&["--expected-failures", text(&file)]);
    assert!(
        said.contains("known.yaml:5:14: `expires: soon` is no day, expected e.g. 2027-03-31"),
        "{said}"
    );
}

/// What any command says to these arguments, with the exit code of a command that made no sense.
fn makes_no_sense(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(args)
        .env_remove("KUBECONFIG")
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
    said
}

#[test]
fn what_makes_no_sense_is_refused_with_what_would_do() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = text(folder.path());
    let up = |rest: &[&'static str]| [&["up", "--data-dir", dir], rest].concat();
    let table = [
        (
            up(&["--store-ahead-after", "5"]),
            "--store-ahead-after is for --engine criu",
        ),
        (
            vec!["agent", "--store-ahead-after", "0"],
            "--store-ahead-after is for --engine criu",
        ),
        (up(&["--node-cpu", "0"]), "0 is not in 1.."),
        (up(&["--node-memory", "0"]), "0 is not in 1.."),
        (up(&["--node-pods", "0"]), "0 is not in 1.."),
        (vec!["sim", "--runs", "0"], "0 is not in 1.."),
        (vec!["sim", "--steps", "0"], "0 is not in 1.."),
        (
            vec!["agent", "--engine", "criu", "--recursion-limit", "5"],
            "holds no execution to",
        ),
        (up(&["--isolate", "--engine", "criu"]), "leave --isolate out"),
        (up(&["--store", "foo"]), "open the checkpoint store foo"),
        (up(&["--store", "memory://"]), "use file:///DIR or a bucket"),
        (
            vec!["conformance", "--log", "bad==="],
            "--log bad=== says neither a level nor TARGET=LEVEL: give off, error",
        ),
        (
            vec!["conformance", "--target", "e2b", "--e2b-url", "localhost:3000"],
            "give http:// or https://, as in http://localhost:3000",
        ),
    ];
    for (args, says) in table {
        let said = makes_no_sense(&args);
        assert!(said.contains(says), "{args:?}: {said}");
        assert!(said.matches(says).count() == 1, "{args:?} is told twice: {said}");
    }
}

#[test]
fn an_address_for_sdks_without_http_is_refused_by_the_name_of_its_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args(["conformance", "--target", "e2b", "--e2b-api-key", "e2b_00"])
        .env("E2B_API_URL", "localhost:3000")
        .output()
        .expect("torpor runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("E2B_API_URL=localhost:3000: give http:// or https://"),
        "{said}"
    );
}
