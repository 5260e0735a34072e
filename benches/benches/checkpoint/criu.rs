//! Pauses and resumes of a sandbox of real processes, in a container of their own.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use torpor_runtime::{
    CheckpointKey, CheckpointStore, CriuConfig, CriuEngine, Engine, ExecutionEvent, ExecutionSink, Fresh, Place,
    SANDBOX_IMAGE, Sandbox, docker_lacks, docker_run,
};

/// The argument that makes this program the init of a sandbox.
const INIT: &str = "sandbox-init";
/// Where this program is in a container.
const PROGRAM: &str = "/bench";
/// Where the store is in a container: on a disk, and no part of the sandbox.
const STORE: &str = "/store";
/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Mebibytes of the heaps.
const HEAPS: [usize; 2] = [0, 64];

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Measures, or is the init of a sandbox, if this is the first process of a container or one that it started.
pub(crate) fn in_container() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, socket] = arguments.as_slice()
        && command == INIT
    {
        return Some(told(torpor_runtime::run_init(socket.as_ref()).map_err(Into::into)));
    }
    (std::process::id() == 1).then(|| told(measure()))
}

/// Runs this program in a container; says why where there can be none.
pub(crate) fn in_a_new_container() -> ExitCode {
    if let Some(reason) = docker_lacks() {
        println!("pauses and resumes of processes: skipped: {reason}");
        return ExitCode::SUCCESS;
    }
    let run = || {
        let program = std::env::current_exe()?;
        let mut command = docker_run();
        command.args(["--env=TMPDIR=/var/tmp", "--volume", STORE]);
        command.arg(format!("--volume={}:{PROGRAM}:ro", program.display()));
        command.args([SANDBOX_IMAGE, PROGRAM]).args(std::env::args().skip(1));
        match command.status()? {
            status if status.success() => Ok(()),
            status => Err(format!("the benchmarks in the container ended with {status}").into()),
        }
    };
    told(run())
}

fn told(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pauses and resumes of processes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    let runtime = Runtime::new()?;
    let program = std::env::current_exe()?;
    let engine = CriuEngine::new(CriuConfig::new(vec![program.into_os_string(), INIT.into()]));
    let directory = Path::new(STORE);
    let bed = Bed {
        store: CheckpointStore::open(&format!("file://{}", directory.display()))?,
        engine: Arc::new(engine),
        checkpoints: 0,
    };
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    HEAPS
        .into_iter()
        .try_fold(bed, |bed, mebibytes| rows(&mut criterion, &runtime, bed, mebibytes))?;
    Ok(())
}

/// The rows of one heap.
fn rows(criterion: &mut Criterion, runtime: &Runtime, mut bed: Bed, mebibytes: usize) -> Outcome<Bed> {
    let mut failed = None;
    let mut group = criterion.benchmark_group(format!("processes with a heap of {mebibytes} MiB"));
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .measurement_time(Duration::from_secs(20));
    for (name, phase) in [
        ("pause until sealed", Phase::Pause),
        ("resume to the first answer", Phase::Resume),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| match runtime.block_on(bed.cycles(times, mebibytes, phase)) {
                Ok(took) => took,
                Err(error) => {
                    failed.get_or_insert(error);
                    // Not nothing: of that no figure can be made.
                    Duration::from_secs(1)
                }
            });
        });
    }
    group.finish();
    failed.map_or(Ok(bed), Err)
}

/// What of a cycle is measured.
#[derive(Clone, Copy)]
enum Phase {
    Pause,
    Resume,
}

struct Bed {
    engine: Arc<dyn Engine>,
    store: CheckpointStore,
    checkpoints: u32,
}

impl Bed {
    /// The sandbox of the next checkpoint: one of its own each time, so that there is nothing to deduplicate against.
    fn uid(&self) -> String {
        format!("heap-{}", self.checkpoints)
    }

    fn place(&self) -> Outcome<Place> {
        Ok(Place {
            directory: tempfile::tempdir()?.keep(),
            output: sink().0,
            intake: Some(self.store.intake(&self.uid())),
        })
    }

    /// Starts a sandbox, pauses and resumes it so many times, and ends it; gives what the phase took in all.
    async fn cycles(&mut self, times: u64, mebibytes: usize, phase: Phase) -> Outcome<Duration> {
        let mut sandbox = self.engine.start(self.place()?, Fresh::default()).await?;
        // Bytes that differ, from a generator that costs little.
        let fill = format!("import random\nheap = random.Random(7).randbytes({mebibytes} << 20)\nlen(heap)");
        answer(sandbox.as_ref(), &fill).await?;
        let mut took = Duration::ZERO;
        for _ in 0..times {
            let key = CheckpointKey {
                sandbox_uid: self.uid(),
                generation: 1,
            };
            self.checkpoints += 1;
            let begun = Instant::now();
            sandbox.freeze(LIMIT).await?;
            let payload = sandbox.checkpoint().await?;
            self.store.seal(&key, &self.engine.version(), payload).await?;
            let paused = begun.elapsed();
            sandbox.stop().await;

            let begun = Instant::now();
            let payload = self.store.reader(&key, &self.engine.version()).await?;
            sandbox = self.engine.restore(self.place()?, payload).await?;
            let bytes = answer(sandbox.as_ref(), "len(heap)").await?;
            let resumed = begun.elapsed();
            sandbox.restored().await?;
            if bytes != (mebibytes << 20).to_string() {
                return Err(format!("the heap came back with {bytes} bytes").into());
            }
            self.store.remove_all(&key.sandbox_uid).await?;
            took += match phase {
                Phase::Pause => paused,
                Phase::Resume => resumed,
            };
        }
        sandbox.stop().await;
        Ok(took)
    }
}

fn sink() -> (ExecutionSink, UnboundedReceiver<ExecutionEvent>) {
    let (events, receiver) = unbounded_channel();
    let interrupt = CancellationToken::new();
    (ExecutionSink { events, interrupt }, receiver)
}

/// The value of the last expression.
async fn answer(sandbox: &dyn Sandbox, code: &str) -> Outcome<String> {
    let (sink, mut receiver) = sink();
    let interpreter = sandbox.interpreter();
    interpreter
        .execute(None, code.to_owned(), BTreeMap::new(), sink)
        .await?;
    while let Some(event) = tokio::time::timeout(LIMIT, receiver.recv()).await? {
        match event {
            ExecutionEvent::Result(value) => return Ok(value),
            ExecutionEvent::Error { name, value, .. } => return Err(format!("{name}: {value}").into()),
            ExecutionEvent::Stdout(_) | ExecutionEvent::Stderr(_) | ExecutionEvent::Display { .. } => {}
            ExecutionEvent::Ended { .. } => return Err("the code has no value".into()),
        }
    }
    Err("the interpreter hung up".into())
}
