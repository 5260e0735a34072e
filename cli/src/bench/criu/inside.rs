//! What runs in the container: one sandbox after the other, paused and resumed by the engine and by CRIU alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{
    CheckpointKey, CheckpointStore, Engine, ExecutionEvent, ExecutionSink, Fresh, Place, Sandbox, Step, Steps,
};
use url::Url;

use super::alone::{raw_dump, raw_restore};
use super::{CriuFigures, IDLE, LIMIT, milliseconds};
use crate::bench::progress;
use crate::engine;

const LARGEST_QUICK_HEAP: u64 = 64;
const QUICK_REPETITIONS: usize = 2;
/// As agents have it, unless they are told otherwise.
const STORE_AHEAD_AFTER: Duration = Duration::from_secs(2);
/// How often one looks whether memory is stored ahead.
const LOOK: Duration = Duration::from_millis(5);
/// Of so many pauses one waits for that, and so many are of sandboxes that have just begun: each takes seconds.
const MOST_AHEAD: usize = 8;
/// A block for which the allocator looks for what it may give back.
const LARGE_BLOCK_BYTES: usize = 64 << 20;
/// What fills a heap, a mebibyte at a time: numbers and records, as programs that work on data have them.
const FILL: &str = "import numpy
text = b''.join(b'{\"id\": %d, \"name\": \"user-%d\", \"score\": %d}\\n' % (i, i * 7919 % 1000003, i * 104729 % 10007) for i in range(20000))
def block(n):
    numbers = (numpy.arange(65536, dtype=numpy.int64) + n * 65536) * 7919 % 1000003
    at = n * 7919 % 300000
    return numbers.tobytes() + b'%032d' % n + text[at:at + 524256]
";

/// Options of the part in the container.
#[derive(Debug, clap::Args)]
pub struct InsideArgs {
    /// A directory for the checkpoint store
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,
    /// Heaps beyond that of an empty kernel, in MiB
    #[arg(long, value_name = "MIB", value_delimiter = ',', default_values_t = [0, 64, 256, 1024])]
    pub heaps: Vec<u64>,
    /// Pauses and resumes of each
    #[arg(long, value_name = "COUNT", default_value_t = 15)]
    pub repetitions: usize,
}

/// Measures all heaps, and prints the figures as JSON.
///
/// # Errors
/// A sandbox cannot be made, written down or brought back.
pub async fn run(args: &InsideArgs, quick: bool) -> anyhow::Result<()> {
    ensure!(
        std::process::id() == 1,
        "this part of the benchmark runs in a container that `bench checkpoint` makes"
    );
    let store = Url::from_directory_path(args.store.join("criu"))
        .ok()
        .context("name the store's directory")?;
    let timeline = Timeline::default();
    let bed = Bed {
        engine: engine::criu(timeline.steps(), Some(STORE_AHEAD_AFTER))?,
        store: CheckpointStore::open(store.as_str())?.with_steps(timeline.steps()),
        timeline,
    };
    let mut all = Vec::new();
    let repetitions = if quick { QUICK_REPETITIONS } else { args.repetitions };
    let heaps = args.heaps.iter().copied();
    for mebibytes in heaps.filter(|size| !quick || *size <= LARGEST_QUICK_HEAP) {
        progress(&format!("the criu engine, a heap of {mebibytes} MiB"));
        all.push(bed.heap(mebibytes, repetitions).await?);
    }
    serde_json::to_writer(std::io::stdout(), &all).context("print the figures")
}

struct Bed {
    engine: Arc<dyn Engine>,
    store: CheckpointStore,
    timeline: Timeline,
}

/// A sandbox, with the directory that goes with it: the next one would keep what is left of it as files of its own.
struct Running {
    sandbox: Arc<dyn Sandbox>,
    _directory: TempDir,
}

/// When each step of a pause or a resume was done.
#[derive(Clone, Default)]
struct Timeline(Arc<Mutex<Vec<(Step, Instant)>>>);

impl Timeline {
    fn steps(&self) -> Steps {
        let timeline = self.clone();
        Steps::told_to(move |step| timeline.list().push((step, Instant::now())))
    }

    /// Adds how long after `begun` each step was done that was told since the last call.
    fn take_into(&self, steps: &mut Vec<(String, Vec<f64>)>, begun: Instant) {
        for (step, at) in self.list().drain(..) {
            let (name, took) = (super::rows::name(step), at.duration_since(begun).as_secs_f64() * 1000.0);
            match steps.iter_mut().find(|(known, _)| known == name) {
                Some((_, all)) => all.push(took),
                None => steps.push((name.to_owned(), vec![took])),
            }
        }
    }

    /// Answers when a step was done since the list was last cleared.
    async fn until(&self, step: Step) {
        while !self.list().iter().any(|(done, _)| *done == step) {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(Step, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sink() -> (ExecutionSink, tokio::sync::mpsc::UnboundedReceiver<ExecutionEvent>) {
    let (events, receiver) = unbounded_channel();
    let interrupt = CancellationToken::new();
    (ExecutionSink { events, interrupt }, receiver)
}

impl Bed {
    async fn heap(&self, mebibytes: u64, repetitions: usize) -> anyhow::Result<CriuFigures> {
        let mut figures = CriuFigures::of(mebibytes);
        let key = |repetition: usize| CheckpointKey {
            // A sandbox of its own each time: nothing to deduplicate against.
            sandbox_uid: format!("heap-{mebibytes}-{repetition}"),
            generation: 1,
        };
        let few = repetitions.min(MOST_AHEAD);
        let mut running = self.begin(&key(0), mebibytes).await?;
        for repetition in 0..few {
            self.pause_new(running, &key(repetition), &mut figures).await?;
            running = self.begin(&key(repetition + 1), mebibytes).await?;
        }
        // This sandbox is new, too: what is kept is measured of it from its second pause on.
        let mut first = CriuFigures::of(mebibytes);
        let idle = few + 1 + repetitions;
        for repetition in few..idle {
            let kept = if repetition == few { &mut first } else { &mut figures };
            running = self
                .pause_resumed(running, [&key(repetition), &key(repetition + 1)], kept)
                .await?;
        }
        for repetition in idle..idle + few {
            running = self
                .pause_idle(running, [&key(repetition), &key(repetition + 1)], &mut figures)
                .await?;
        }
        self.pause_again(running, key(idle + few), repetitions, &mut figures)
            .await?;
        Ok(figures)
    }

    /// Starts a sandbox and gives it such a heap, when it has loaded and what it loaded is stored ahead.
    async fn begin(&self, key: &CheckpointKey, mebibytes: u64) -> anyhow::Result<Running> {
        let (place, directory) = self.place(key)?;
        self.timeline.list().clear();
        let sandbox = self.engine.start(place, Fresh::default()).await?;
        self.until_stored_ahead().await?;
        let fill = format!("{FILL}heap = [block(n) for n in range({mebibytes})]\nlen(heap)");
        let code = if mebibytes == 0 { "heap = []\nlen(heap)" } else { &fill };
        answer(sandbox.as_ref(), code).await?;
        Ok(Running {
            sandbox,
            _directory: directory,
        })
    }

    /// Pauses a sandbox for the first time, soon after it has begun and was used, and ends it.
    async fn pause_new(&self, running: Running, key: &CheckpointKey, figures: &mut CriuFigures) -> anyhow::Result<()> {
        let mut new = CriuFigures::default();
        self.pause(running.sandbox.as_ref(), key, &mut new).await?;
        let raw = raw_dump(&mut new.dump, &mut new.dump_synced).await?;
        fs::remove_dir_all(&raw).context("remove the images of CRIU alone")?;
        running.sandbox.stop().await;
        self.store.remove_all(&key.sandbox_uid).await?;
        figures.dump_new.append(&mut new.dump);
        figures.pause_new.append(&mut new.pause);
        Ok(())
    }

    /// Pauses a sandbox that was used and has nothing in the store, has CRIU alone restore it, and resumes it.
    async fn pause_resumed(
        &self,
        running: Running,
        [key, next]: [&CheckpointKey; 2],
        figures: &mut CriuFigures,
    ) -> anyhow::Result<Running> {
        self.pause(running.sandbox.as_ref(), key, figures).await?;
        let raw = raw_dump(&mut figures.dump, &mut figures.dump_synced).await?;
        running.sandbox.stop().await;
        drop(running);
        raw_restore(&raw, &mut figures.restore).await?;
        fs::remove_dir_all(&raw).context("remove the images of CRIU alone")?;
        let running = self.resume(key, next, figures).await?;
        self.store.remove_all(&key.sandbox_uid).await?;
        Ok(running)
    }

    /// Pauses a sandbox that nobody uses, when its memory is stored ahead, and resumes it.
    async fn pause_idle(
        &self,
        running: Running,
        [key, next]: [&CheckpointKey; 2],
        figures: &mut CriuFigures,
    ) -> anyhow::Result<Running> {
        let mut idle = CriuFigures::of(figures.mebibytes);
        self.until_stored_ahead().await?;
        self.pause(running.sandbox.as_ref(), key, &mut idle).await?;
        let raw = raw_dump(&mut idle.dump, &mut idle.dump_synced).await?;
        fs::remove_dir_all(&raw).context("remove the images of CRIU alone")?;
        running.sandbox.stop().await;
        drop(running);
        let running = self.resume(key, next, &mut idle).await?;
        self.store.remove_all(&key.sandbox_uid).await?;
        figures.dump_idle.append(&mut idle.dump);
        figures.pause_idle.append(&mut idle.pause);
        Ok(running)
    }

    /// Pauses a sandbox, whose first checkpoint is `key`, again and again, and keeps its last checkpoint.
    async fn pause_again(
        &self,
        mut running: Running,
        mut key: CheckpointKey,
        repetitions: usize,
        figures: &mut CriuFigures,
    ) -> anyhow::Result<()> {
        let mut first = CriuFigures::of(figures.mebibytes);
        let mut later = first.clone();
        for repetition in 0..=repetitions {
            let kept = if repetition == 0 { &mut first } else { &mut later };
            self.pause(running.sandbox.as_ref(), &key, kept).await?;
            let raw = raw_dump(&mut kept.dump, &mut kept.dump_synced).await?;
            fs::remove_dir_all(&raw).context("remove the images of CRIU alone")?;
            running.sandbox.stop().await;
            drop(running);
            self.store.remove_older_than(&key.sandbox_uid, key.generation).await?;
            let next = CheckpointKey {
                generation: key.generation + 1,
                ..key.clone()
            };
            running = self.resume(&key, &next, kept).await?;
            key = next;
        }
        running.sandbox.stop().await;
        self.store.remove_all(&key.sandbox_uid).await?;
        (figures.dump_again, figures.pause_again) = (later.dump, later.pause);
        figures.stored_again_bytes = later.stored_bytes;
        Ok(())
    }

    async fn until_stored_ahead(&self) -> anyhow::Result<()> {
        tokio::time::timeout(LIMIT, self.timeline.until(Step::StoredAhead))
            .await
            .context("wait until memory is stored ahead of a pause")
    }

    /// A place for a sandbox whose next checkpoint is `next`.
    fn place(&self, next: &CheckpointKey) -> anyhow::Result<(Place, TempDir)> {
        let directory = tempfile::tempdir().context("make a directory")?;
        let place = Place {
            directory: directory.path().to_owned(),
            output: sink().0,
            intake: Some(self.store.intake(&next.sandbox_uid)),
        };
        Ok((place, directory))
    }

    async fn pause(&self, sandbox: &dyn Sandbox, key: &CheckpointKey, figures: &mut CriuFigures) -> anyhow::Result<()> {
        tokio::time::sleep(IDLE).await;
        self.timeline.list().clear();
        let begun = Instant::now();
        sandbox.freeze(LIMIT).await?;
        figures.freeze.push(milliseconds(begun));
        let payload = sandbox.checkpoint().await?;
        let record = self.store.seal(key, &self.engine.version(), payload).await?;
        figures.pause.push(milliseconds(begun));
        self.timeline.take_into(&mut figures.pause_steps, begun);
        (figures.payload_bytes, figures.stored_bytes) = (record.size_bytes, record.stored_bytes);
        Ok(())
    }

    async fn resume(
        &self,
        key: &CheckpointKey,
        next: &CheckpointKey,
        figures: &mut CriuFigures,
    ) -> anyhow::Result<Running> {
        let (place, directory) = self.place(next)?;
        tokio::time::sleep(IDLE).await;
        give_back();
        self.timeline.list().clear();
        let begun = Instant::now();
        let payload = self.store.reader(key, &self.engine.version()).await?;
        let sandbox = self.engine.restore(place, payload).await?;
        let heap = answer(sandbox.as_ref(), "len(heap)").await?;
        figures.resume.push(milliseconds(begun));
        self.timeline.take_into(&mut figures.resume_steps, begun);
        // As long as memory is coming the checkpoint is read.
        sandbox.restored().await?;
        figures.complete.push(milliseconds(begun));
        ensure!(
            heap == figures.mebibytes.to_string(),
            "the heap came back with {heap} blocks of {}",
            figures.mebibytes
        );
        Ok(Running {
            sandbox,
            _directory: directory,
        })
    }
}

/// Has the allocator give back what was freed some time ago, before a resume: the agent of one has just begun, and had nothing
/// to free.
fn give_back() {
    // It looks for that when it takes a large block back.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_BLOCK_BYTES)));
}

/// The value of the last expression.
async fn answer(sandbox: &dyn Sandbox, code: &str) -> anyhow::Result<String> {
    let (sink, mut events) = sink();
    let interpreter = sandbox.interpreter();
    interpreter
        .execute(None, code.to_owned(), BTreeMap::new(), sink)
        .await?;
    while let Some(event) = tokio::time::timeout(LIMIT, events.recv()).await? {
        match event {
            ExecutionEvent::Result(value) => return Ok(value),
            ExecutionEvent::Error { name, value, .. } => bail!("{name}: {value}"),
            ExecutionEvent::Stdout(_) | ExecutionEvent::Stderr(_) | ExecutionEvent::Display { .. } => {}
            ExecutionEvent::Ended { .. } => bail!("the code has no value"),
        }
    }
    bail!("the interpreter hung up")
}
