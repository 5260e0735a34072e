//! Runs this program once more as the first process of a container with the sandbox image.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

/// The argument that makes this program the init of a sandbox.
pub(crate) const INIT: &str = "sandbox-init";
const IMAGE: &str = "torpor/code-interpreter:latest";
/// What CRIU needs; see `docs/engines.md`.
const OPTIONS: [&str; 14] = [
    "--rm",
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--cap-add=NET_ADMIN",
    "--cap-add=SYS_TIME",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "systempaths=unconfined",
    "--tmpfs",
    "/run",
    "--network=none",
    "--label",
    "torpor.dev/test=contract",
];

/// Whether this process is the first one of a container.
pub(crate) fn is_first_process() -> bool {
    std::process::id() == 1
}

/// The contract of the CRIU engine, in a container; ignored, with the reason, where there can be none.
pub(crate) fn trial() -> Trial {
    let trial = Trial::test("criu_keeps_the_contract_in_a_container", run);
    match unavailable() {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    }
}

/// Why there can be no container.
pub(crate) fn unavailable() -> Option<String> {
    let answers = |args: &[&str]| {
        let output = Command::new("docker").args(args).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !answers(&["version"]) {
        return Some("Docker does not answer".to_owned());
    }
    let there = answers(&["image", "inspect", IMAGE]);
    (!there).then(|| format!("there is no image {IMAGE}, run fixtures/image/build"))
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
    let mut command = Command::new("docker");
    command.arg("run").args(OPTIONS).args(["--name", name]);
    command.arg(format!("--volume={}:/contract:ro", program.display()));
    command.arg(format!("--volume={directory}:{directory}"));
    command.args([IMAGE, "/contract"]);
    command
}

fn run() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let mount = format!("{}:/contract:ro", program.display());
    let output = Command::new("docker")
        .arg("run")
        .args(OPTIONS)
        .args(["-v", &mount, IMAGE, "/contract"])
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && !report.contains("skipped:") {
        print!("{report}");
        return Ok(());
    }
    Err(format!("{report}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}
