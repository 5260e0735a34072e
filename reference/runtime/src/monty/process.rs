//! A sandbox on a thread of its own: the thread owns the engine, everybody else sends it messages.
//!
//! So that CPU time can be counted by sandbox, a panic ends one sandbox and not its neighbours,
//! and a freeze is a plain fact: a frozen thread handles messages and runs no code.
//!
//! ```text
//!          freeze (nothing runs)            dump
//!  Serving ──────────────────────▶ Frozen ──────▶ bytes
//!     ▲                              │
//!     └────────────thaw──────────────┘   sleepers go on with what was left of their sleep
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::limits::ExecutionLimits;
use super::listing::Listing;
use super::memory::MemoryGauge;
use super::sandbox::MontyError;
use super::worker::{Told, Worker, make};
use crate::clock::Clock;
use crate::engine::{ContextId, ContextInfo, ExecutionSink, SandboxError};
use crate::payload::{Payload, PayloadWriter};

/// Deep recursion in Python is recursion here.
const STACK_BYTES: usize = 16 << 20;

/// How a sandbox comes to be.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Without history.
    Fresh {
        /// Its environment.
        env: BTreeMap<String, String>,
        /// Its program, if the container names one.
        program: Option<String>,
    },
    /// From what [`SandboxProcess::dump`] wrote.
    Checkpoint(Bytes),
}

pub(super) enum Message {
    Execute {
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
        reply: Reply<()>,
    },
    CreateContext {
        cwd: Option<String>,
        reply: oneshot::Sender<ContextInfo>,
    },
    RestartContext {
        id: String,
        reply: Reply<()>,
    },
    RemoveContext {
        id: String,
        reply: Reply<()>,
    },
    Env(oneshot::Sender<BTreeMap<String, String>>),
    StateBytes(oneshot::Sender<u64>),
    Freeze(oneshot::Sender<()>),
    Thaw(oneshot::Sender<()>),
    Dump(PayloadWriter),
    Stop(oneshot::Sender<()>),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, MontyError>>;

/// A handle to a sandbox on its thread, shared by its clones. The thread ends when [`stop`](Self::stop) is called or the last handle goes.
#[derive(Clone, Debug)]
pub struct SandboxProcess {
    messages: Sender<Message>,
    cpu_nanos: Arc<AtomicU64>,
    state_bytes: Arc<AtomicU64>,
    /// Told by the thread before it answers.
    is_frozen: Arc<AtomicBool>,
    dumped_bytes: Arc<AtomicU64>,
    ending: CancellationToken,
    listing: Listing,
    default_context: ContextId,
    root: PathBuf,
}

impl SandboxProcess {
    /// Starts a sandbox with its folders below the empty directory `root`; answers once it runs.
    /// Its program's output goes to `program_sink`.
    ///
    /// # Errors
    /// The thread or the sandbox cannot be made, or the checkpoint cannot be read.
    pub async fn start(
        root: PathBuf,
        origin: Origin,
        program_sink: ExecutionSink,
        clock: Clock,
    ) -> Result<Self, SandboxError> {
        Self::start_limited(root, origin, program_sink, clock, ExecutionLimits::default(), None).await
    }

    /// As [`start`](Self::start), with executions held to `limits`, and measured if it is the only sandbox of its process.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_limited(
        root: PathBuf,
        origin: Origin,
        program_sink: ExecutionSink,
        clock: Clock,
        limits: ExecutionLimits,
        gauge: Option<MemoryGauge>,
    ) -> Result<Self, SandboxError> {
        let (messages, inbox) = channel();
        let (reply, started) = oneshot::channel();
        let cpu_nanos = Arc::new(AtomicU64::new(0));
        let is_frozen = Arc::new(AtomicBool::new(false));
        let dumped_bytes = Arc::new(AtomicU64::new(match &origin {
            Origin::Fresh { .. } => 0,
            Origin::Checkpoint(payload) => payload.len() as u64,
        }));
        let told = Told {
            dumped_bytes: Arc::clone(&dumped_bytes),
            cpu_nanos: Arc::clone(&cpu_nanos),
            is_frozen: Arc::clone(&is_frozen),
        };
        let directory = root.clone();
        thread::Builder::new()
            .name("sandbox".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || match make(&root, origin, program_sink, clock) {
                Ok(sandbox) => {
                    let sandbox = sandbox.with_limits(limits).with_gauge(gauge);
                    let served = reply.send(Ok((sandbox.ending(), sandbox.listing())));
                    if served.is_ok() {
                        Worker { sandbox, told }.run(&inbox);
                    }
                }
                // Whoever started it may have given up.
                Err(error) => drop(reply.send(Err(error))),
            })
            .map_err(SandboxError::Thread)?;
        let (ending, (default_context, listing)) = started
            .await
            .map_err(|_| SandboxError::Ended)?
            .map_err(SandboxError::from)?;
        Ok(Self {
            messages,
            cpu_nanos,
            state_bytes: Arc::default(),
            is_frozen,
            dumped_bytes,
            ending,
            listing,
            default_context,
            root: directory,
        })
    }

    /// The directory with its folders.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// CPU time of the sandbox's thread so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }

    /// Runs code in a context (the default one when `None`); its events go to `sink`.
    ///
    /// # Errors
    /// There is no such context, or the thread has ended.
    pub async fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Result<(), SandboxError> {
        Ok(self
            .ask(|reply| Message::Execute {
                context,
                code,
                env,
                sink,
                reply,
            })
            .await??)
    }

    /// The contexts that clients see; the default one first.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn contexts(&self) -> Result<Vec<ContextInfo>, SandboxError> {
        // Without the thread, which may run code that does not end.
        let listed = self.listing.list(&self.default_context);
        std::future::ready(listed.ok_or(SandboxError::Ended)).await
    }

    /// Makes a context.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn create_context(&self, cwd: Option<String>) -> Result<ContextInfo, SandboxError> {
        self.ask(|reply| Message::CreateContext { cwd, reply }).await
    }

    /// Empties a context. What runs in it is interrupted, and ends without an answer.
    ///
    /// # Errors
    /// There is no such context, or the thread has ended.
    pub async fn restart_context(&self, id: String) -> Result<(), SandboxError> {
        self.listing.end(&id);
        Ok(self.ask(|reply| Message::RestartContext { id, reply }).await??)
    }

    /// Removes a context. What runs in it is interrupted, and ends without an answer.
    ///
    /// # Errors
    /// There is no such context, or the thread has ended.
    pub async fn remove_context(&self, id: String) -> Result<(), SandboxError> {
        self.listing.end(&id);
        Ok(self.ask(|reply| Message::RemoveContext { id, reply }).await??)
    }

    /// The environment of the sandbox.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn env(&self) -> Result<BTreeMap<String, String>, SandboxError> {
        self.ask(Message::Env).await
    }

    /// Bytes of interpreter state, as the engine writes it down.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn state_bytes(&self) -> Result<u64, SandboxError> {
        let bytes = self.ask(Message::StateBytes).await?;
        self.state_bytes.store(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    /// What [`state_bytes`](Self::state_bytes) gave last; none is 0.
    #[must_use]
    pub fn last_state_bytes(&self) -> u64 {
        self.state_bytes.load(Ordering::Relaxed)
    }

    /// Stops the sandbox in place; afterwards none of its code runs until [`thaw`](Self::thaw).
    ///
    /// # Errors
    /// [`SandboxError::Busy`] when code does not come to a stop within `limit`: then the sandbox goes on.
    pub async fn freeze(&self, limit: Duration) -> Result<(), SandboxError> {
        let (reply, mut answer) = oneshot::channel();
        let asked = self.messages.send(Message::Freeze(reply));
        asked.map_err(|_| SandboxError::Ended)?;
        if let Ok(answer) = tokio::time::timeout(limit, &mut answer).await {
            return answer.map_err(|_| SandboxError::Ended);
        }
        // From here on the thread finds nobody waiting for its answer and thaws at once; it may have answered just now.
        answer.close();
        answer.try_recv().map_err(|_| SandboxError::Busy(limit))
    }

    /// Lets a frozen sandbox go on.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn thaw(&self) -> Result<(), SandboxError> {
        self.ask(Message::Thaw).await
    }

    /// Writes a frozen sandbox down. The payload is there before it is written: who reads it is told when a session or
    /// a file cannot be read, or the sandbox was thawed meanwhile.
    ///
    /// Waits for no answer: who writes would hold up who waits for it, and who waits is to read what is written.
    ///
    /// # Errors
    /// [`SandboxError::NotFrozen`], or the thread has ended.
    pub fn dump(&self) -> Result<Payload, SandboxError> {
        if !self.is_frozen.load(Ordering::Acquire) {
            return Err(SandboxError::NotFrozen);
        }
        let before = self.dumped_bytes.load(Ordering::Relaxed);
        let (writer, payload) = Payload::growing_to(Some(before).filter(|bytes| *bytes > 0));
        let asked = self.messages.send(Message::Dump(writer));
        asked.map(|()| payload).map_err(|_| SandboxError::Ended)
    }

    /// Interrupts what runs and ends the thread.
    pub async fn stop(&self) {
        self.ending.cancel();
        // Ended already is as good.
        let _ = self.ask(Message::Stop).await;
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, SandboxError> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).map_err(|_| SandboxError::Ended)?;
        answer.await.map_err(|_| SandboxError::Ended)
    }
}
