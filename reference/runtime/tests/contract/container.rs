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
/// What CRIU needs to give an open file another name, and a container does not have by itself.
const MAY_LINK: &str = "--cap-add=DAC_READ_SEARCH";
/// Its bit.
const MAY_LINK_BIT: u64 = 1 << 2;
/// In the names of the claims that need it.
pub(crate) const LINKED: &str = "hard_linked_file";

/// Whether this process is the first one of a container.
pub(crate) fn is_first_process() -> bool {
    std::process::id() == 1
}

/// Whether CRIU can give open files other names in this container.
pub(crate) fn may_link() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|capabilities| capabilities & MAY_LINK_BIT != 0)
}

/// The contract of the CRIU engine, in containers; ignored, with the reason, where there can be none.
pub(crate) fn trials() -> Vec<Trial> {
    let lacks = docker_lacks();
    let trials = [
        Trial::test("criu_keeps_the_contract_in_a_container", || run(&[], &[])),
        Trial::test("criu_names_open_files_where_it_may", || run(&[MAY_LINK], &[LINKED])),
    ];
    let unless_it_lacks = |trial: Trial| match &lacks {
        Some(reason) => trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true),
        None => trial,
    };
    trials.into_iter().map(unless_it_lacks).collect()
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

fn run(options: &[&str], arguments: &[&str]) -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let mount = format!("{}:/contract:ro", program.display());
    let output = docker_run()
        .args([LABEL, "-v", &mount, "-v", VOLUME])
        .args(options)
        .args([SANDBOX_IMAGE, "/contract"])
        .args(arguments)
        .output()?;
    let report = String::from_utf8_lossy(&output.stdout);
    let has_run = !report.contains("skipped:") && !report.contains(" 0 passed");
    if output.status.success() && has_run {
        print!("{report}");
        return Ok(());
    }
    Err(format!("{report}\n{}", String::from_utf8_lossy(&output.stderr)).into())
}
