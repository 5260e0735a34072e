//! The CRIU part of `torpor bench checkpoint`: pauses and resumes of real processes beside `criu dump` and
//! `criu restore` alone, of the same tree, in the same container, at the same time.
//!
//! ```text
//!  this program ──docker run──▶ the same program, first process of a container ──JSON──▶ figures ──▶ rows
//! ```
//!
//! The CRIU engine takes a whole container for its sandbox, so what measures it has to be in one. Where there is no
//! Docker or no image, the rows are missing and a note says why.

mod alone;
mod inside;
mod rows;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use torpor_runtime::{SANDBOX_IMAGE, docker_lacks, docker_run};

pub use inside::{InsideArgs, run as run_inside};
pub use rows::measurements;

/// Where this program and the store are in the container.
const PROGRAM: &str = "/usr/local/bin/torpor";
const STORE: &str = "/bench";
/// Besides what CRIU needs: found by its label, with files of its own on disk, and silent.
const OPTIONS: [&str; 3] = [
    "--label=torpor.dev/bench=checkpoint",
    "--env=TMPDIR=/var/tmp",
    "--env=RUST_LOG=error",
];

/// How long a sandbox, or what was written of it, is left alone before anything is measured: a sandbox is paused since nobody
/// uses it, and resumed when nobody has for long.
const IDLE: Duration = Duration::from_millis(100);
/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(2);

/// What was measured of one heap, in milliseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CriuFigures {
    /// Size of the heap beyond that of an empty kernel.
    pub mebibytes: u64,
    /// Bytes of the payload, and of what the store keeps of it.
    pub payload_bytes: u64,
    /// Bytes that the store keeps of it.
    pub stored_bytes: u64,
    /// `criu dump` alone, its images in the page cache.
    pub dump: Vec<f64>,
    /// The same, its images on disk.
    pub dump_synced: Vec<f64>,
    /// Freeze, checkpoint and seal, of a sandbox that was resumed, with nothing of it in the store.
    pub pause: Vec<f64>,
    /// Of it: until everything stood and was written down.
    pub freeze: Vec<f64>,
    /// Of it: when each step was done.
    pub pause_steps: Vec<(String, Vec<f64>)>,
    /// As `pause`, of sandboxes that have just begun.
    pub pause_new: Vec<f64>,
    /// `criu dump` alone beside it.
    pub dump_new: Vec<f64>,
    /// As `pause`, of a sandbox whose last checkpoint is kept, from its second pause on.
    pub pause_again: Vec<f64>,
    /// `criu dump` alone beside it.
    pub dump_again: Vec<f64>,
    /// As `pause`, of a sandbox that nobody used until its memory was stored ahead.
    pub pause_idle: Vec<f64>,
    /// `criu dump` alone beside it.
    pub dump_idle: Vec<f64>,
    /// Bytes that the last of these checkpoints added to the store.
    pub stored_again_bytes: u64,
    /// `criu restore` alone.
    pub restore: Vec<f64>,
    /// From a sealed checkpoint to the first answer of the interpreter.
    pub resume: Vec<f64>,
    /// Of it: when each step was done.
    pub resume_steps: Vec<(String, Vec<f64>)>,
    /// From a sealed checkpoint until all memory is there.
    pub complete: Vec<f64>,
}

impl CriuFigures {
    /// Nothing was measured yet.
    fn of(mebibytes: u64) -> Self {
        Self {
            mebibytes,
            ..Self::default()
        }
    }
}

/// Measures in a container; `None` with the reason where there can be none.
///
/// # Errors
/// The container fails.
pub async fn measure(directory: &Path, quick: bool) -> anyhow::Result<Result<Vec<CriuFigures>, String>> {
    if let Some(reason) = docker_lacks() {
        return Ok(Err(reason));
    }
    let program = std::env::current_exe().context("find this program, to run it in a container")?;
    let mut command = docker_run();
    command.args(OPTIONS);
    command.arg(format!("--volume={}:{PROGRAM}:ro", program.display()));
    command.arg(format!("--volume={}:{STORE}", directory.display()));
    command.args([SANDBOX_IMAGE, PROGRAM, "bench", "criu-in-container", "--store", STORE]);
    if quick {
        command.arg("--quick");
    }
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.context("wait for the container")?.context("run docker")?;
    if !output.status.success() {
        bail!("the benchmark in the container ended with {}", output.status);
    }
    let figures = serde_json::from_slice(&output.stdout).context("read what was measured in the container")?;
    Ok(Ok(figures))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
