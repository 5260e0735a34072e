//! `torpor conformance --engine criu`: what is promised of context, with real processes in Docker containers.
//!
//! Where Docker or the image of a sandbox is missing the cases are *ignored*, with the reason in their names.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/e2b.rs"]
mod e2b;
#[path = "support/kubernetes.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod kubernetes;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use e2b::E2b;
use kubernetes::{Kubernetes, phase, until};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use support::Up;
use torpor_runtime::docker_lacks;

type Case = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Each starts as many containers as a small machine can bear.
    args.test_threads = Some(1);
    let cases: [(&str, Case); 4] = [
        ("context_is_kept_in_full_by_real_processes", context_is_kept),
        ("a_mistake_is_found_with_real_processes_as_well", a_mistake_is_found),
        (
            "a_sandbox_whose_memory_stops_coming_is_paused_again_and_loses_nothing_that_was_sealed",
            memory_stops_coming,
        ),
        ("real_processes_are_measured_beside_criu_alone", measured),
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
    let output = conformance(&[
        "--filter", "CTX", "--filter", "E2B-07", "--filter", "FSM-06", "--report", report,
    ]);
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
    let wanted = (1..=12)
        .map(|nth| format!("CTX-{nth:02}"))
        .chain(["E2B-07", "FSM-06"].map(str::to_owned));
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
    for (fault, case) in [
        ("listener-dead-after-resume", "connections-end-with-the-pause"),
        (
            "failed-pause-ends-pod",
            "a-traced-process-keeps-its-sandbox-from-pausing",
        ),
    ] {
        let output = conformance(&["--fault", fault, "--filter", case]);
        let text = said(&output);
        if output.status.code() != Some(1) || !text.contains("1 failed") {
            return Err(format!("{fault}: ended with {}:\n{text}", output.status).into());
        }
    }
    Ok(())
}

/// Memory of which most comes after the first answer, in the order of its addresses; no page is like another.
const FILL: &str = "import hashlib\nheap = hashlib.shake_128(b'heap').digest(128 << 20)\nx = 7";
const DIGEST: &str = "print('digest', hashlib.sha256(heap).hexdigest(), x)";

fn memory_stops_coming() -> Result<(), Failed> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let dir = tempfile::tempdir()?;
        let mut command = Up::command(dir.path());
        command.args(["--engine", "criu"]);
        let up = Up::start(command, dir.path());
        let (e2b, kubernetes) = (E2b::of(&up), Kubernetes::of(&up));
        let sandbox = e2b.create().await;
        let id = sandbox["sandboxID"].as_str().expect("an id").to_owned();
        let digest = async || digest(&e2b.run_code(&sandbox, DIGEST).await);
        e2b.run_code(&sandbox, FILL).await;
        let before = digest().await.expect("a digest");
        let (status, said) = e2b.post(&format!("/sandboxes/{id}/pause"), json!({})).await;
        assert_eq!(status, 204, "{said}");
        let ask = async |what: &str| {
            e2b.post(&format!("/sandboxes/{id}/{what}"), json!({ "timeout": 600 }))
                .await
        };
        let look = async || kubernetes.sandbox(&id).await;
        let pack = largest_file(dir.path());
        let mut torn = None;
        // Chunks lie in a pack in the order in which cores came to them: what is needed first is refused at once.
        for eighth in [4, 6, 5, 3, 7, 2] {
            flip(&pack, eighth);
            ask("connect").await;
            let paused = until("it is paused again", look, has_failed_anew).await;
            flip(&pack, eighth);
            let said = paused["status"]["conditions"].to_string();
            assert!(said.contains("chunk"), "it says what failed: {said}");
            // Whoever changes the spec does not wait for the next try.
            ask("pause").await;
            // What served is told apart from what never came up.
            if said.contains("what was done since it was resumed is lost") {
                torn = Some(said);
                break;
            }
        }
        assert!(torn.is_some(), "no part of the pack is memory that comes later");
        let events = kubernetes.get("/api/v1/namespaces/default/events").await.to_string();
        assert!(events.contains("RestoreFailed"), "{events}");

        ask("connect").await;
        let all = until("all memory is back", digest, Option::is_some).await;
        assert_eq!(all.as_ref(), Some(&before));
        assert!(up.interrupt().success());
        Ok(())
    })
}

/// What [`DIGEST`] printed.
/// Figures of a debug build, as few as there can be: that there are any is what is looked at.
fn measured() -> Result<(), Failed> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_torpor"))
        .args([
            "bench",
            "checkpoint",
            "--engine",
            "criu",
            "--quick",
            "--output",
            "json",
            "--directory",
        ])
        .arg(folder.path())
        .output()
        .expect("torpor runs");
    let told: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {}", said(&output)))?;
    let text = told.to_string();
    for metric in ["pause until sealed", "first answer"] {
        if !text.contains(metric) {
            return Err(format!("nothing was measured of {metric:?}: {text}").into());
        }
    }
    Ok(())
}

fn digest(said: &str) -> Option<String> {
    let from = said.find("digest ")?;
    let digest = said[from..].split('\\').next()?;
    Some(digest.to_owned())
}

fn largest_file(dir: &Path) -> PathBuf {
    let (mut folders, mut files) = (vec![dir.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.metadata().expect("a file") {
                metadata if metadata.is_dir() => folders.push(entry.path()),
                metadata => files.push((metadata.len(), entry.path())),
            }
        }
    }
    files.sort_unstable();
    files.pop().expect("a file").1
}

/// Whether it is paused because the resume of its newest spec failed.
fn has_failed_anew(sandbox: &Value) -> bool {
    let conditions = sandbox["status"]["conditions"].as_array();
    let failed = |condition: &Value| {
        condition["reason"] == "RestoreFailed" && condition["observedGeneration"] == sandbox["metadata"]["generation"]
    };
    phase(sandbox) == "Paused" && conditions.is_some_and(|conditions| conditions.iter().any(failed))
}

/// Changes a bit of a pack, or changes it back.
fn flip(pack: &Path, eighth: u64) {
    let file = File::options().read(true).write(true).open(pack).expect("a pack");
    let at = file.metadata().expect("a length").len() * eighth / 8;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a byte is written");
}
