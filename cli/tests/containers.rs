//! `torpor conformance --target kind` and `--target container`, against a real Docker.
//!
//! A case that this machine cannot run is *ignored*, with the reason in its name.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "../../testbed/tests/older_daemon/mod.rs"]
mod older_daemon;

use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

/// The image of the control plane that is made for these tests.
const IMAGE: &str = "torpor-test/control-plane:latest";

type Case = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    if let Some(code) = older_daemon::run_again_with_its_version() {
        return code;
    }
    let cases: [(&str, Case); 3] = [
        (
            "a_cluster_that_cannot_be_booted_is_skipped_and_no_pass",
            kind_is_skipped,
        ),
        (
            "the_control_plane_in_a_container_is_judged_like_any_other",
            container_is_judged,
        ),
        (
            "a_control_plane_whose_image_is_missing_is_skipped",
            container_is_skipped,
        ),
    ];
    let answers = Command::new("docker")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let answers = answers.is_ok_and(|status| status.success());
    let trials = cases.map(|(name, case)| {
        let trial = Trial::test(name, case);
        if answers {
            trial
        } else {
            trial
                .with_kind("skipped: Docker does not answer")
                .with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn conformance(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_torpor"))
        .arg("conformance")
        .args(args)
        .output()
        .expect("torpor runs")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn expect(output: &Output, code: i32, words: &[&str]) -> Result<(), Failed> {
    let text = said(output);
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    if output.status.code() == Some(code) && missing.is_empty() {
        return Ok(());
    }
    Err(format!("ended with {} and without {missing:?}:\n{text}", output.status).into())
}

fn kind_is_skipped() -> Result<(), Failed> {
    let output = conformance(&[
        "--target",
        "kind",
        "--node-image",
        "localhost:1/torpor-test/none:v1.33.1",
    ]);
    expect(
        &output,
        2,
        &["skipped: the image localhost:1/torpor-test/none:v1.33.1 is not here"],
    )
}

fn container_is_skipped() -> Result<(), Failed> {
    let output = conformance(&["--target", "container", "--image", "torpor-test/none:latest"]);
    expect(
        &output,
        2,
        &[
            "skipped: the image torpor-test/none:latest is not here",
            "deploy/image/build",
        ],
    )
}

fn container_is_judged() -> Result<(), Failed> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/image/build");
    let built = Command::new(script)
        .args([env!("CARGO_BIN_EXE_torpor"), IMAGE])
        .output()
        .expect("the script runs");
    if !built.status.success() {
        return Err(said(&built).into());
    }
    let target = ["--target", "container", "--image", IMAGE];
    let cases = ["--filter", "interpreter-state", "--filter", "paused-uses-no-cpu"];
    expect(
        &conformance(&[&target[..], &cases].concat()),
        0,
        &["3 passed, 0 failed, 0 errors"],
    )?;
    let sigs = [
        "--profile",
        "sigs",
        "--filter",
        "created-paused",
        "--filter",
        "program-goes-on",
    ];
    expect(
        &conformance(&[&target[..], &sigs].concat()),
        0,
        &["2 passed, 0 failed, 0 errors", "namespace torpor-"],
    )?;
    let left = Command::new("docker")
        .args(["ps", "-aq", "--filter", &format!("ancestor={IMAGE}")])
        .output();
    let left = left.expect("docker runs").stdout;
    assert!(left.is_empty(), "left behind: {}", String::from_utf8_lossy(&left));
    Ok(())
}
