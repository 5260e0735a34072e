//! `torpor bench checkpoint`: what a pause and a resume cost beside the engine's own dump and load, by size of
//! the heap and by how many sandboxes pause at once, and how much a second pause stores.
//!
//! The baselines are taken in the same run, on the same sandboxes: `dump` and `load` of the interpreter alone, and
//! a plain synced write of as many bytes, since a sealed checkpoint is on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{CheckpointKey, CheckpointStore, Clock, ExecutionSink, Origin, SandboxProcess, engine_version};
use url::Url;

use super::args::CheckpointBenchArgs;
use super::figures::{Samples, per_second};
use super::heap::{HeapFigures, size};
use super::report::{Measurement, Report, Target};
use super::{plot, progress};
use crate::engine::EngineKind;

/// How long a sandbox may take to come to a stop.
const FREEZE_LIMIT: Duration = Duration::from_mins(1);
/// Entries of a dictionary of `[int, str]`; a heap has about 60 bytes for each.
const HEAPS: [u32; 7] = [0, 1_000, 10_000, 30_000, 100_000, 1_000_000, 1_650_000];
/// With `--quick` the larger ones are left out.
const LARGEST_QUICK_HEAP: u32 = 100_000;
/// A heap that is paused by many at once.
const TYPICAL_HEAP: u32 = 10_000;
/// Up to here a heap is paused so often that its medians say more than how busy the machine was.
const LARGEST_OFTEN: u32 = 30_000;
/// A heap that is sealed in memory, also with `--quick`: 35 MB. Of a few megabytes one core cuts all, and most of what
/// is measured is how threads start and memory is first touched.
const LARGE_HEAP: u32 = 1_000_000;
/// How often.
const SEALS: usize = 15;

/// Where the checkpoints and the files of the sandboxes are.
struct Bed {
    directory: TempDir,
    store: CheckpointStore,
}

/// Measures all.
///
/// # Errors
/// A sandbox cannot be made, or the store fails.
pub async fn run(options: &CheckpointBenchArgs, quick: bool) -> anyhow::Result<Report> {
    let bed = Bed::new(options.directory.as_deref())?;
    let mut report = Report::of_this_build();
    let wanted = |engine| options.engine.is_none_or(|only| only == engine);
    if wanted(EngineKind::Monty) {
        embedded(&bed, options, quick, &mut report).await?;
    }
    if wanted(EngineKind::Criu) {
        real_processes(&bed, quick, &mut report).await?;
    }
    report
        .notes
        .push(format!("the store is in {}", bed.directory.path().display()));
    Ok(report)
}

async fn embedded(bed: &Bed, options: &CheckpointBenchArgs, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let mut sweep = Vec::new();
    let heaps = HEAPS
        .iter()
        .copied()
        .filter(|keys| !quick || *keys <= LARGEST_QUICK_HEAP);
    for keys in heaps {
        progress(&format!("a heap of {keys} keys"));
        let figures = bed.heap(keys, repetitions(keys, quick)).await?;
        report.measurements.extend(figures.measurements());
        sweep.push(figures);
    }
    for sandboxes in [1, 10, 50] {
        progress(&format!("{sandboxes} pauses at once"));
        report.measurements.push(bed.at_once(sandboxes).await?);
    }
    progress("throughput and deduplication");
    report.measurements.extend(bed.throughput(LARGE_HEAP).await?);
    if let Some(file) = &options.plot {
        let svg = plot::render(&sweep.iter().map(HeapFigures::points).collect::<Vec<_>>());
        fs::write(file, svg).with_context(|| format!("write the plot {}", file.display()))?;
        report.notes.push(format!("the plot is {}", file.display()));
    }
    Ok(())
}

#[cfg(target_os = "linux")]
async fn real_processes(bed: &Bed, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    match super::criu::measure(bed.directory.path(), quick).await? {
        Ok(all) => report
            .measurements
            .extend(all.iter().flat_map(super::criu::measurements)),
        Err(reason) => report.notes.push(format!("the criu engine was skipped: {reason}")),
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
async fn real_processes(_bed: &Bed, _quick: bool, report: &mut Report) -> anyhow::Result<()> {
    report
        .notes
        .push("the criu engine was skipped: it needs Linux".to_owned());
    Ok(())
}

fn repetitions(keys: u32, quick: bool) -> usize {
    let full = if keys > LARGEST_OFTEN { 10 } else { 100 };
    if quick { full / 5 } else { full }
}

impl Bed {
    fn new(directory: Option<&Path>) -> anyhow::Result<Self> {
        let directory = match directory {
            Some(parent) => {
                TempDir::new_in(parent).with_context(|| format!("make a directory in {}", parent.display()))?
            }
            None => TempDir::new().context("make a directory")?,
        };
        let path = directory.path().join("store");
        let url =
            Url::from_directory_path(&path).map_err(|()| anyhow::anyhow!("{} has no URL form", path.display()))?;
        let store = CheckpointStore::open(url.as_str())?;
        Ok(Self { directory, store })
    }

    /// An empty directory for the files of a sandbox.
    fn root(&self) -> anyhow::Result<PathBuf> {
        let root = tempfile::tempdir_in(self.directory.path()).context("make a directory for a sandbox")?;
        Ok(root.keep())
    }

    /// A frozen sandbox with a dictionary of so many keys.
    async fn sandbox(&self, keys: u32) -> anyhow::Result<SandboxProcess> {
        let (events, _) = unbounded_channel();
        let sink = ExecutionSink {
            events,
            interrupt: CancellationToken::new(),
        };
        let fresh = Origin::Fresh {
            env: BTreeMap::new(),
            program: None,
        };
        let sandbox = SandboxProcess::start(self.root()?, fresh, sink, Clock::system()).await?;
        let code = format!("heap = {{}}\nfor i in range({keys}):\n    heap[i] = [i * 7919 % 1000003, str(i)]");
        run_and_freeze(&sandbox, code).await?;
        Ok(sandbox)
    }

    async fn start(&self, payload: Bytes) -> anyhow::Result<Duration> {
        let (events, _) = unbounded_channel();
        let sink = ExecutionSink {
            events,
            interrupt: CancellationToken::new(),
        };
        let root = self.root()?;
        let begun = Instant::now();
        let sandbox = SandboxProcess::start(root, Origin::Checkpoint(payload), sink, Clock::system()).await?;
        let took = begun.elapsed();
        sandbox.stop().await;
        Ok(took)
    }

    /// What it takes to read a checkpoint and to start a sandbox of it.
    async fn resumed(&self, key: &CheckpointKey) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let payload = self.store.load(key, &engine_version()).await?;
        let read = begun.elapsed();
        Ok(read + self.start(payload.into()).await?)
    }

    async fn heap(&self, keys: u32, repetitions: usize) -> anyhow::Result<HeapFigures> {
        let sandbox = self.sandbox(keys).await?;
        // Nothing is removed of what is measured often: ext4 without a journal passes over what was removed in the last minutes,
        // one by one, whenever a file is made.
        let keeps = keys <= LARGEST_OFTEN;
        let mut durations: [Vec<Duration>; 5] = Default::default();
        let [dump, pause, load, resume, synced] = &mut durations;
        let mut bytes = 0;
        for repetition in 0..repetitions {
            dump.push(dumped(&sandbox).await?);
            let payload = sandbox.dump()?.into_bytes()?;
            bytes = payload.len();
            let plain = self.directory.path().join(format!("plain-{keys}-{repetition}"));
            synced.push(self.synced_write(&plain, &payload)?);

            // A sandbox of its own each time: nothing to deduplicate against.
            let key = CheckpointKey {
                sandbox_uid: format!("heap-{keys}-{repetition}"),
                generation: 1,
            };
            pause.push(self.paused(&sandbox, &key).await?);

            // In turns: who comes second finds the memory that the first has given back.
            if repetition.is_multiple_of(2) {
                load.push(self.start(payload).await?);
                resume.push(self.resumed(&key).await?);
            } else {
                resume.push(self.resumed(&key).await?);
                load.push(self.start(payload).await?);
            }
            if !keeps {
                fs::remove_file(&plain).context("remove a file")?;
                self.store.remove_all(&key.sandbox_uid).await?;
            }
        }
        let [dump_again, pause_again] = self.heap_again(&sandbox, keys, repetitions).await?.map(Samples::new);
        sandbox.stop().await;
        let [dump, pause, load, resume, synced_write] = durations.map(Samples::new);
        Ok(HeapFigures {
            bytes,
            dump,
            pause,
            dump_again,
            pause_again,
            load,
            resume,
            synced_write,
        })
    }

    /// The interpreter's own dump, and a pause, when little has changed since the pause before.
    async fn heap_again(
        &self,
        sandbox: &SandboxProcess,
        keys: u32,
        repetitions: usize,
    ) -> anyhow::Result<[Vec<Duration>; 2]> {
        let mut durations: [Vec<Duration>; 2] = Default::default();
        let [dump, pause] = &mut durations;
        for repetition in 0..repetitions {
            let key = |generation| CheckpointKey {
                sandbox_uid: format!("again-{keys}-{repetition}"),
                generation,
            };
            self.paused(sandbox, &key(1)).await?;
            sandbox.thaw().await?;
            run_and_freeze(sandbox, format!("heap['changed'] = {repetition}")).await?;
            dump.push(dumped(sandbox).await?);
            pause.push(self.paused(sandbox, &key(2)).await?);
            if keys > LARGEST_OFTEN {
                self.store.remove_all(&key(2).sandbox_uid).await?;
            }
        }
        Ok(durations)
    }

    /// What it takes to write a frozen sandbox down and seal it.
    async fn paused(&self, sandbox: &SandboxProcess, key: &CheckpointKey) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let payload = sandbox.dump()?;
        self.store.seal(key, &engine_version(), payload).await?;
        Ok(begun.elapsed())
    }

    /// What a file system takes for as many bytes, the file and its folder synced.
    fn synced_write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut file = fs::File::create(path).context("make a file")?;
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .context("write a file")?;
        let folder = fs::File::open(self.directory.path()).and_then(|folder| folder.sync_all());
        folder.context("sync a folder")?;
        Ok(begun.elapsed())
    }

    /// How long each of so many sandboxes takes when all pause together.
    async fn at_once(&self, sandboxes: usize) -> anyhow::Result<Measurement> {
        let mut frozen = Vec::with_capacity(sandboxes);
        for _ in 0..sandboxes {
            frozen.push(self.sandbox(TYPICAL_HEAP).await?);
        }
        let begun = Instant::now();
        let pauses = frozen.into_iter().enumerate().map(|(nth, sandbox)| {
            let store = self.store.clone();
            tokio::spawn(async move {
                let key = CheckpointKey {
                    sandbox_uid: format!("at-once-{sandboxes}-{nth}"),
                    generation: 1,
                };
                let payload = sandbox.dump()?;
                store.seal(&key, &engine_version(), payload).await?;
                let sealed = begun.elapsed();
                sandbox.stop().await;
                anyhow::Ok(sealed)
            })
        });
        let pauses: Vec<_> = pauses.collect();
        let mut took = Vec::with_capacity(sandboxes);
        for pause in pauses {
            took.push(pause.await.context("wait for a pause")??);
        }
        let all = took.iter().max().copied().unwrap_or_default();
        let metric = format!("{sandboxes} pauses at once, until all are sealed");
        Ok(Measurement::new(metric, "ms", milliseconds(all)).latency(&Samples::new(took)))
    }

    /// Bytes per second into a store in memory, and what a second pause adds.
    async fn throughput(&self, keys: u32) -> anyhow::Result<Vec<Measurement>> {
        let sandbox = self.sandbox(keys).await?;
        let heap = sandbox.dump()?.into_bytes()?;
        sandbox.stop().await;
        let noise = Bytes::from(noise(heap.len()));
        let mut measurements = Vec::new();
        for (name, payload, target) in [("incompressible", &noise, 1000.0), ("a heap", &heap, 500.0)] {
            let key = |generation| CheckpointKey {
                sandbox_uid: "throughput".to_owned(),
                generation,
            };
            let (mut store, first) = sealed_in_memory(payload, &key(1)).await?;
            let mut took = vec![first];
            while took.len() < SEALS {
                let again;
                (store, again) = sealed_in_memory(payload, &key(1)).await?;
                took.push(again);
            }
            took.sort_unstable();
            let rate = per_second(payload.len(), took[SEALS / 2]) / 1e6;
            let metric = format!("seal {name} in memory, {}", size(payload.len()));
            measurements.push(Measurement::new(metric, "MB/s", rate).target(Target::AtLeast(target)));

            let mut changed = payload.to_vec();
            let (at, bytes) = (changed.len() / 2, changed.len() / 100);
            // Of the same kind as what it replaces.
            for byte in &mut changed[at..at + bytes] {
                *byte ^= 1;
            }
            let first = store.stored_bytes("throughput").await?;
            store.seal(&key(2), &engine_version(), changed).await?;
            let added = store.stored_bytes("throughput").await? - first;
            let metric = format!("second pause of {name} after 1 % changed, bytes added");
            let percent = 100.0 * ratio(added, first);
            measurements.push(Measurement::new(metric, "%", percent).target(Target::AtMost(5.0)));
        }
        Ok(measurements)
    }
}

/// What the interpreter's own dump takes, made and thrown away; the engine's is stored while it is written.
async fn dumped(sandbox: &SandboxProcess) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    sandbox.state_bytes().await?;
    Ok(begun.elapsed())
}

async fn run_and_freeze(sandbox: &SandboxProcess, code: String) -> anyhow::Result<()> {
    let (events, mut ended) = unbounded_channel();
    let sink = ExecutionSink {
        events,
        interrupt: CancellationToken::new(),
    };
    sandbox.execute(None, code, BTreeMap::new(), sink).await?;
    while ended.recv().await.is_some() {}
    sandbox.freeze(FREEZE_LIMIT).await?;
    Ok(())
}

/// An empty store that a payload was sealed in, so with nothing to deduplicate against, and how long that took.
async fn sealed_in_memory(payload: &Bytes, key: &CheckpointKey) -> anyhow::Result<(CheckpointStore, Duration)> {
    let store = CheckpointStore::open("memory://")?;
    let sealing = payload.clone();
    let begun = Instant::now();
    store.seal(key, &engine_version(), sealing).await?;
    Ok((store, begun.elapsed()))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes in a benchmark are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Bytes that do not compress (xorshift).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut noise: Vec<u8> = words.take(bytes.div_ceil(8)).flatten().collect();
    noise.truncate(bytes);
    noise
}
