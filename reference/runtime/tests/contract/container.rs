//! Runs this program once more as the first process of a container with the sandbox image.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use torpor_runtime::{SANDBOX_IMAGE, docker_lacks, docker_run};

/// The argument that makes this program the init of a sandbox.
pub(crate) const INIT: &str = "sandbox-init";
/// A directory on a disk that is not the sandbox's.
pub(crate) const VOLUME: &str = "/volume";
const LABEL: &str = "--label=torpor.dev/test=contract";

/// Whether this process is the first one of a container.
pub(crate) fn is_first_process() -> bool {
    std::process::id() == 1
}

/// The contract of the CRIU engine, in a container; ignored, with the reason, where there can be none.
pub(crate) fn trial() -> Trial {
    let trial = Trial::test("criu_keeps_the_contract_in_a_container", run);
    match docker_lacks() {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

/// Ends every process but this one, which is the first of its container.
pub(crate) fn end_all_others() -> Result<(), Failed> {
    let deadline = std::time::Instant::now() + crate::LIMIT;
    loop {
        let pids = std::fs::read_dir("/proc")?.flatten();
        let others = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let others: Vec<i32> = others.filter(|pid| *pid != 1).collect();
        if others.is_empty() {
            return Ok(());
        }
        if std::time::Instant::now() > deadline {
            return Err(format!("processes do not end: {others:?}").into());
        }
        for pid in others.into_iter().filter_map(Pid::from_raw) {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A command that runs `program` in a container of this name, with a directory of this machine in its place.
pub(crate) fn command(program: &Path, directory: &str, name: &str) -> Command {
    let mut command = docker_run();
    command.args([LABEL, "--name", name]);
    command.arg(format!("--volume={}:/contract:ro", program.display()));
    command.arg(format!("--volume={directory}:{directory}"));
    command.args([SANDBOX_IMAGE, "/contract"]);
    command
}

fn run() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let mount = format!("{}:/contract:ro", program.display());
    let output = docker_run()
        .args([LABEL, "-v", &mount, "-v", VOLUME, SANDBOX_IMAGE, "/contract"])
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && !report.contains("skipped:") {
        print!("{report}");
        return Ok(());
    }
    Err(format!("{report}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}
