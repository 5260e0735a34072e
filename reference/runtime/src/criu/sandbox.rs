//! A sandbox that runs as a tree of processes.
//!
//! ```text
//!            hang up, criu dump --leave-stopped          SIGCONT, listen again
//!  Running ───────────────────────────────────▶ Frozen ───────────────────────▶ Running
//!     │                                            │
//!     └───────────────── kill the tree ────────────┴──▶ Ended
//! ```

mod loss;
mod program;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;

use super::baseline::Baseline;
use super::client::{Followed, HungUp, InitClient};
use super::contexts::Contexts;
use super::dump::{Written, outliving_the_dying, with_stopped};
use super::dumper::Dumper;
use super::error::CriuError;
use super::fitness::Fitness;
use super::image::{CriuImage, Images, ProgramImage};
use super::init::Request;
use super::lazy::{Paging, Touched};
use super::predump::{Predump, Subject};
use super::tree::Tree;
use crate::engine::{
    Answer, ExecutionEvent, Interpreter, Place, ProcessEvent, ProcessSpec, Processes, Sandbox, SandboxError, Usage,
};
use crate::payload::Payload;
use crate::step::{Step, Steps};
use program::Program;

/// How long a sandbox may take to be listened to again.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// What a sandbox is made of.
pub(super) struct Parts {
    pub(super) dumper: Dumper,
    pub(super) fitness: Fitness,
    pub(super) client: InitClient,
    pub(super) contexts: Contexts,
    pub(super) tree: Tree,
    pub(super) baseline: Arc<Baseline>,
    pub(super) paging: Paging,
    /// Pages that were waited for after restores before the one that `paging` is of.
    pub(super) touched: Touched,
    pub(super) steps: Steps,
    /// Whether it has just begun, and was not restored.
    pub(super) is_new: bool,
    pub(super) store_ahead_after: Option<Duration>,
    pub(super) place: Place,
    pub(super) env: BTreeMap<String, String>,
}

/// A sandbox of the CRIU engine.
#[derive(Debug)]
pub(super) struct CriuSandbox {
    dumper: Arc<Dumper>,
    fitness: Fitness,
    client: InitClient,
    contexts: Contexts,
    tree: Tree,
    baseline: Arc<Baseline>,
    paging: Paging,
    touched: Touched,
    predump: Predump,
    steps: Steps,
    place: Place,
    env: BTreeMap<String, String>,
    program: Arc<Mutex<Option<Program>>>,
    stage: tokio::sync::Mutex<Stage>,
    /// Notified when it goes on or ends.
    moved: Notify,
    /// The largest reading so far; a process that ends between two looks may be in neither.
    cpu_nanos: AtomicU64,
}

#[derive(Debug)]
enum Stage {
    /// `is_heard` when everything in it is listened to again that was before a hang-up.
    Running {
        is_heard: bool,
    },
    /// The tree stands stopped, with its image written.
    Frozen {
        written: Written,
        stopped_before: BTreeSet<u32>,
        _hung_up: HungUp,
    },
    Ended,
}

impl CriuSandbox {
    pub(super) fn new(parts: Parts) -> Self {
        let dumper = Arc::new(parts.dumper);
        let (paging, preparing) = (parts.paging.clone(), Arc::clone(&dumper));
        tokio::spawn(async move {
            // Not before a restore is complete, and not for a tree that is killed.
            if paging.done().await.is_ok() {
                preparing.prepare();
            }
        });
        let predump = match (&parts.place.intake, parts.store_ahead_after) {
            (Some(intake), Some(after)) if intake.stores_ahead() => Predump::begin(Subject {
                tree: parts.tree,
                paging: parts.paging.clone(),
                baseline: Arc::clone(&parts.baseline),
                intake: intake.clone(),
                steps: parts.steps.clone(),
                is_new: parts.is_new,
                after,
            }),
            (Some(_) | None, _) => Predump::never(),
        };
        Self {
            predump,
            dumper,
            fitness: parts.fitness,
            client: parts.client,
            contexts: parts.contexts,
            tree: parts.tree,
            baseline: parts.baseline,
            paging: parts.paging,
            touched: parts.touched,
            steps: parts.steps,
            place: parts.place,
            env: parts.env,
            program: Arc::default(),
            stage: tokio::sync::Mutex::new(Stage::Running { is_heard: true }),
            moved: Notify::new(),
            cpu_nanos: AtomicU64::new(0),
        }
    }

    pub(super) async fn start_program(&self, spec: ProcessSpec) -> Result<(), SandboxError> {
        let followed = self.client.follow("start the program", Request::Start(spec)).await?;
        *self.program() = Some(Program::new(followed.stream.pid, &[]));
        self.follow(followed);
        Ok(())
    }

    /// Listens to what ran before the checkpoint.
    pub(super) async fn listen(&self, program: Option<ProgramImage>) -> Result<(), SandboxError> {
        *self.program() = program.map(|image| Program::new(image.pid, &image.partial));
        self.listen_again().await
    }

    async fn listen_again(&self) -> Result<(), SandboxError> {
        self.contexts.listen().await?;
        let pid = self.program().as_ref().map(|program| program.pid);
        let Some(pid) = pid else { return Ok(()) };
        match self
            .client
            .follow("listen to the program", Request::Connect { pid })
            .await
        {
            Ok(followed) => self.follow(followed),
            // It has ended; what it wrote was read before.
            Err(SandboxError::NoProcess(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Hands on what the program writes, line by line.
    fn follow(&self, mut followed: Followed) {
        let (program, output) = (Arc::clone(&self.program), self.place.output.clone());
        tokio::spawn(async move {
            while let Some(event) = followed.stream.events.recv().await {
                let (ProcessEvent::Stdout(piece) | ProcessEvent::Stderr(piece) | ProcessEvent::Terminal(piece)) = event
                else {
                    continue;
                };
                let mut program = program.lock().unwrap_or_else(PoisonError::into_inner);
                let lines = program.as_mut().map(|program| program.printed(&piece));
                for line in lines.unwrap_or_default() {
                    let text = String::from_utf8_lossy(&line).into_owned() + "\n";
                    output.send(ExecutionEvent::Stdout(text));
                }
            }
        });
    }

    async fn freeze_within(&self, limit: Duration) -> Result<(), SandboxError> {
        let mut stage = self.stage.lock().await;
        match *stage {
            Stage::Frozen { .. } => return Ok(()),
            Stage::Ended => return Err(SandboxError::Ended),
            Stage::Running { .. } => {}
        }
        // What is not there cannot be written down.
        let paged_in = tokio::time::timeout(limit, self.paging.done()).await;
        paged_in.map_err(|_| SandboxError::Incomplete(limit))??;
        let Ok(hung_up) = tokio::time::timeout(limit, self.client.hang_up()).await else {
            if let Err(error) = self.hear_again(&mut stage).await {
                tracing::warn!(%error, "listen to the sandbox again");
            }
            return Err(SandboxError::Busy(limit));
        };
        match self.dump().await {
            Ok((written, stopped_before)) => {
                self.steps.done(Step::Stopped);
                *stage = Stage::Frozen {
                    written,
                    stopped_before,
                    _hung_up: hung_up,
                };
                Ok(())
            }
            Err(error) => {
                drop(hung_up);
                self.predump.go_on();
                self.hear_again(&mut stage).await?;
                Err(error.into())
            }
        }
    }

    async fn dump(&self) -> Result<(Written, BTreeSet<u32>), CriuError> {
        let dump = || {
            Written::dump(
                (&self.dumper, self.tree.root()),
                &self.place,
                &self.baseline,
                &self.predump,
            )
        };
        outliving_the_dying(|| with_stopped(self.tree, dump())).await
    }

    /// As [`listen_again`](Self::listen_again), of a sandbox that may not answer.
    async fn hear_again(&self, stage: &mut Stage) -> Result<(), SandboxError> {
        *stage = Stage::Running { is_heard: false };
        let heard = tokio::time::timeout(LISTEN_LIMIT, self.listen_again()).await;
        heard.unwrap_or(Err(SandboxError::Busy(LISTEN_LIMIT)))?;
        *stage = Stage::Running { is_heard: true };
        Ok(())
    }

    async fn write_down(&self) -> Result<Payload, SandboxError> {
        let mut stage = self.stage.lock().await;
        let Stage::Frozen {
            written,
            stopped_before,
            ..
        } = &mut *stage
        else {
            return Err(SandboxError::NotFrozen);
        };
        written.renew(&self.dumper, self.tree.root()).await?;
        let program = self.program().as_ref().map(Program::image);
        let mut image = CriuImage {
            socket: self.client.socket().to_owned(),
            fitness: self.fitness.clone(),
            root: self.tree.root(),
            stopped: stopped_before.clone(),
            env: self.env.clone(),
            program,
            contexts: self.contexts.image(),
            images: Images::default(),
            rootfs: super::rootfs::RootfsDiff::default(),
            touched: self.touched.and(&self.paging.touched()),
            listing: self.baseline.listing().as_bytes().len() as u64,
        };
        let (images, mut body, pages) = written.collect()?;
        let (rootfs, files) = written.changes().await?;
        (image.images, image.rootfs) = (images, rootfs);
        body.append(files);
        body.append(written.listing());
        body.append(pages);
        let payload = Payload::headed(&image, body).map_err(CriuError::from)?;
        self.steps.done(Step::WrittenDown);
        Ok(payload)
    }

    async fn go_on(&self) -> Result<(), SandboxError> {
        let mut stage = self.stage.lock().await;
        match &*stage {
            Stage::Running { is_heard: true } => return Ok(()),
            Stage::Running { is_heard: false } => {
                // What was listened to by half would be heard twice.
                let hung_up = tokio::time::timeout(LISTEN_LIMIT, self.client.hang_up()).await;
                drop(hung_up.map_err(|_| SandboxError::Busy(LISTEN_LIMIT))?);
            }
            Stage::Ended => return Err(SandboxError::Ended),
            Stage::Frozen {
                written,
                stopped_before,
                ..
            } => {
                written.remove_links();
                self.tree.go_on(stopped_before)?;
                written.discard().await;
                self.dumper.prepare();
                self.predump.go_on();
            }
        }
        self.moved.notify_waiters();
        self.hear_again(&mut stage).await
    }

    async fn end(&self) {
        let mut stage = self.stage.lock().await;
        if !matches!(*stage, Stage::Ended) {
            self.paging.stop();
            self.tree.kill().await;
        }
        if let Stage::Frozen { written, .. } = &*stage {
            written.discard().await;
        }
        self.predump.abandon().await;
        *stage = Stage::Ended;
        self.moved.notify_waiters();
    }

    fn measure(&self) -> Result<Usage, SandboxError> {
        let usage = self.tree.usage().map_err(CriuError::init("list its processes"))?;
        let nanos = u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX);
        let before = self.cpu_nanos.fetch_max(nanos, Ordering::Relaxed);
        Ok(Usage {
            cpu: Duration::from_nanos(nanos.max(before)),
            ..usage
        })
    }

    fn program(&self) -> std::sync::MutexGuard<'_, Option<Program>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sandbox for CriuSandbox {
    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn restored(&self) -> Answer<'_, ()> {
        async move {
            let done = self.paging.done().await;
            if done.is_err() && self.paging.is_stopped() {
                return Err(SandboxError::Ended);
            }
            Ok(done?)
        }
        .boxed()
    }

    fn lost(&self) -> BoxFuture<'_, SandboxError> {
        self.lose().boxed()
    }

    fn freeze(&self, limit: Duration) -> Answer<'_, ()> {
        self.freeze_within(limit).boxed()
    }

    fn checkpoint(&self) -> Answer<'_, Payload> {
        self.write_down().boxed()
    }

    fn thaw(&self) -> Answer<'_, ()> {
        self.go_on().boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.end().boxed()
    }

    fn usage(&self) -> Answer<'_, Usage> {
        std::future::ready(self.measure()).boxed()
    }

    fn env(&self) -> Answer<'_, BTreeMap<String, String>> {
        std::future::ready(Ok(self.env.clone())).boxed()
    }

    fn interpreter(&self) -> &dyn Interpreter {
        self
    }

    fn processes(&self) -> Option<&dyn Processes> {
        Some(self)
    }
}
