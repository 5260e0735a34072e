//! CRIU alone, of the same tree: what pauses and resumes are measured beside.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::{IDLE, LIMIT, milliseconds};

/// Dumps the tree once more, by CRIU alone, after it has run on as idle as before its pause; adds how long that took, and
/// until it was on disk.
pub(super) async fn raw_dump(dumped: &mut Vec<f64>, synced: &mut Vec<f64>) -> anyhow::Result<PathBuf> {
    let images = tempfile::tempdir().context("make a directory")?.keep();
    let tree = root_of_tree()?.to_string();
    tell_others(Signal::CONT)?;
    tokio::time::sleep(IDLE).await;
    let begun = Instant::now();
    criu(&["dump", "--leave-stopped", "--tree", &tree], &images)?;
    dumped.push(milliseconds(begun));
    for image in fs::read_dir(&images).context("list the images")? {
        File::open(image?.path())
            .and_then(|file| file.sync_all())
            .context("sync an image")?;
    }
    synced.push(milliseconds(begun));
    Ok(images)
}

/// Brings it back, by CRIU alone, and ends it.
pub(super) async fn raw_restore(images: &Path, restored: &mut Vec<f64>) -> anyhow::Result<()> {
    tokio::time::sleep(IDLE).await;
    if let Err(error) = fs::remove_file("/run/torpor/init.sock") {
        tracing::debug!(%error, "remove the socket of the tree");
    }
    let begun = Instant::now();
    criu(&["restore", "--restore-detached", "--restore-sibling"], images)?;
    restored.push(milliseconds(begun));
    end_all()
}

fn criu(options: &[&str], images: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("criu");
    command.args(options);
    command.args(["--tcp-close", "--file-locks", "--link-remap", "--manage-cgroups=ignore"]);
    command
        .args(["--ghost-limit", "1G", "--log-file", "log", "--images-dir"])
        .arg(images);
    let output = command.output().context("run criu")?;
    if output.status.success() {
        return Ok(());
    }
    let log = fs::read_to_string(images.join("log")).unwrap_or_default();
    bail!(
        "criu {}: {}",
        options.join(" "),
        log.lines().rev().take(5).collect::<Vec<_>>().join("; ")
    )
}

/// The init of the sandbox. Whichever thread has started it is its parent in the eyes of the kernel, and others may have children, too.
fn root_of_tree() -> anyhow::Result<u32> {
    let is_init = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == b"sandbox-init")
    };
    let pids = fs::read_dir("/proc").context("list processes")?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_init).context("find the init of the sandbox")
}

/// Ends every other process of the container.
fn end_all() -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let others = tell_others(Signal::KILL)?;
        if others.is_empty() {
            return Ok(());
        }
        ensure!(begun.elapsed() < LIMIT, "processes do not end: {others:?}");
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal to every other process of the container; gives those that there were.
fn tell_others(signal: Signal) -> anyhow::Result<Vec<Pid>> {
    let pids = fs::read_dir("/proc").context("list processes")?.flatten();
    let others: Vec<Pid> = pids
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| !pid.is_init())
        .collect();
    for pid in &others {
        // Gone already is as good.
        let _ = kill_process(*pid, signal);
    }
    Ok(others)
}
