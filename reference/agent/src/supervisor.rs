//! The one owner of an agent's state: it starts the workload, and freezes, checkpoints and thaws it on request.
//!
//! Requests are carried out one after the other; whoever only wants to know reads the published state. Only a thaw does not
//! wait for the checkpoint that is being written: a store that hangs would keep the workload from going on.

mod failure;
mod loss;
mod outlived;
mod request;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, mpsc, watch};
use tokio_util::sync::CancellationToken;
use torpor_api::{AgentState, CheckpointRecord, CheckpointState, WorkloadState};
use torpor_runtime::{
    CheckpointKey, CheckpointStore, Clock, Engine, ExecutionEvent, ExecutionSink, Fresh, Place, Sandbox, SandboxError,
    StoreError, chain,
};

use crate::config::AgentConfig;
use crate::image::AgentImage;
use crate::lines::Lines;
use crate::log::{ContainerLog, LogLine};
use crate::watchers::Watchers;
use failure::{CheckpointError, StartError};
use loss::{Loss, watch_over};
pub(crate) use outlived::to_its_end;
use outlived::{Ended, unless_thawed};
pub(crate) use request::{ControlRefused, ControlRequest};

/// What requests on the data plane share with the supervisor.
#[derive(Clone)]
pub(crate) struct Workload {
    pub(crate) state: watch::Receiver<AgentState>,
    /// Present from the moment it first serves.
    pub(crate) sandbox: watch::Receiver<Option<Arc<dyn Sandbox>>>,
    /// Held for reading while files change, for writing while the workload is frozen: an
    /// acknowledged change is in the checkpoint.
    pub(crate) files: Arc<RwLock<()>>,
    /// What clients watch.
    pub(crate) watchers: Watchers,
    /// The agent's own directory for this run.
    pub(crate) directory: PathBuf,
}

impl Workload {
    /// The sandbox, if the workload serves.
    pub(crate) fn serving(&self) -> Option<Arc<dyn Sandbox>> {
        match self.state.borrow().workload {
            WorkloadState::Serving => self.sandbox.borrow().clone(),
            WorkloadState::Starting
            | WorkloadState::Frozen
            | WorkloadState::Torn { .. }
            | WorkloadState::Failed { .. } => None,
        }
    }
}

pub(crate) struct Supervisor {
    config: AgentConfig,
    engine: Arc<dyn Engine>,
    store: CheckpointStore,
    clock: Clock,
    state: watch::Sender<AgentState>,
    sandbox: watch::Sender<Option<Arc<dyn Sandbox>>>,
    files: Arc<RwLock<()>>,
    frozen_files: Option<OwnedRwLockWriteGuard<()>>,
    watchers: Watchers,
    log: ContainerLog,
    program: UnboundedReceiver<ExecutionEvent>,
    program_sink: ExecutionSink,
    lines: Lines,
    /// The largest generation that this run sealed, or may have; a thaw forgets the checkpoint, but not its number.
    last_sealed: u64,
    /// Asked for while a checkpoint was written.
    waiting: VecDeque<ControlRequest>,
}

impl Supervisor {
    pub(crate) fn new(
        config: AgentConfig,
        engine: Arc<dyn Engine>,
        store: CheckpointStore,
        clock: Clock,
    ) -> (Self, Workload, ContainerLog) {
        let (events, program) = mpsc::unbounded_channel();
        let log = ContainerLog::new(Vec::new());
        let state = watch::Sender::new(AgentState {
            addressee: config.identity.addressee(),
            engine: engine.version().name,
            restored_generation: config.restore,
            workload: WorkloadState::Starting,
            checkpoint: CheckpointState::None,
        });
        let sandbox = watch::Sender::new(None);
        let files = Arc::new(RwLock::new(()));
        let workload = Workload {
            state: state.subscribe(),
            sandbox: sandbox.subscribe(),
            files: Arc::clone(&files),
            watchers: Watchers::default(),
            directory: config.work_dir.clone(),
        };
        let supervisor = Self {
            last_sealed: config.restore.unwrap_or_default(),
            config,
            engine,
            store,
            clock,
            state,
            sandbox,
            files,
            frozen_files: None,
            watchers: workload.watchers.clone(),
            log: log.clone(),
            program,
            program_sink: ExecutionSink {
                events,
                interrupt: CancellationToken::new(),
            },
            lines: Lines::default(),
            waiting: VecDeque::new(),
        };
        (supervisor, workload, log)
    }

    /// Starts the workload and serves control requests until nobody can send any.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<ControlRequest>) {
        let (tell, mut losses) = mpsc::channel(1);
        let came_up = match self.start().await {
            Ok(sandbox) => {
                tokio::spawn(watch_over(Arc::clone(&sandbox), tell));
                self.sandbox.send_replace(Some(sandbox));
                WorkloadState::Serving
            }
            Err(error) => WorkloadState::Failed { message: chain(&error) },
        };
        tracing::debug!(from_generation = self.config.restore, state = ?came_up, "the workload was started");
        self.state.send_modify(|state| state.workload = came_up);
        loop {
            if let Some(request) = self.waiting.pop_front() {
                self.handle(request, &mut requests).await;
                continue;
            }
            tokio::select! {
                Some(loss) = losses.recv() => match loss {
                    Loss::Memory(error) => self.torn(&error).await,
                    Loss::All(error) => self.lost(&error),
                },
                request = requests.recv() => match request {
                    Some(request) => self.handle(request, &mut requests).await,
                    None => return,
                },
                Some(event) = self.program.recv() => self.log_program(event),
            }
        }
    }

    async fn start(&mut self) -> Result<Arc<dyn Sandbox>, StartError> {
        let directory = self.config.work_dir.clone();
        let made = tokio::fs::create_dir_all(&directory).await;
        made.map_err(|source| StartError::WorkDir {
            path: directory.clone(),
            source,
        })?;
        let place = Place {
            directory,
            output: self.program_sink.clone(),
            intake: Some(self.store.intake(&self.config.identity.uid)),
        };
        match self.config.restore {
            None => {
                let fresh = Fresh {
                    env: self.config.env.clone(),
                    command: self.config.command.clone(),
                };
                self.engine.start(place, fresh).await.map_err(StartError::Start)
            }
            Some(generation) => {
                let (key, digest) = (self.key(generation), self.config.restore_digest.as_deref());
                let payload = self.store.reader_of(&key, &self.engine.version(), digest).await;
                let payload = payload.map_err(|source| StartError::Load { generation, source })?;
                let image = AgentImage::read(payload).await;
                let (image, engine) = image.map_err(|source| StartError::Payload { generation, source })?;
                for line in image.log {
                    self.log.append(line);
                }
                self.lines = Lines::begun_with(image.partial_line);
                let restored = self.engine.restore(place, engine).await;
                let sandbox = restored.map_err(|source| StartError::Restore { generation, source })?;
                self.watchers.restore(sandbox.root(), image.watchers);
                Ok(sandbox)
            }
        }
    }

    async fn handle(&mut self, request: ControlRequest, requests: &mut mpsc::Receiver<ControlRequest>) {
        // Whoever asked may have given up; what was done is done, and asking again finds it so.
        match request {
            ControlRequest::Freeze(reply) => drop(reply.send(self.freeze().await)),
            ControlRequest::Thaw(reply) => drop(reply.send(self.thaw().await)),
            ControlRequest::Checkpoint { generation, reply } => {
                drop(reply.send(self.checkpoint(generation, requests).await));
            }
        }
    }

    /// The rest of the workload cannot be restored: what there is of it is the checkpoint that it came from.
    async fn torn(&mut self, error: &SandboxError) {
        let message = chain(error);
        tracing::error!(error = message, "a restored workload is lost; its checkpoint is not");
        let restored = self.config.restore.map(|generation| self.key(generation));
        let record = match &restored {
            Some(key) => self.store.record(key).await.map(Some),
            None => Ok(None),
        };
        let (workload, checkpoint) = match record {
            Ok(Some(record)) => (WorkloadState::Torn { message }, CheckpointState::Sealed { record }),
            Ok(None) => (WorkloadState::Failed { message }, CheckpointState::None),
            Err(error) => {
                let message = format!("{message}; and its checkpoint cannot be read: {}", chain(&error));
                (WorkloadState::Failed { message }, CheckpointState::None)
            }
        };
        self.state
            .send_modify(|state| (state.workload, state.checkpoint) = (workload, checkpoint));
    }

    /// Nothing of the workload can be reached any more.
    fn lost(&self, error: &SandboxError) {
        let message = chain(error);
        tracing::error!(error = message, "the workload has ended by itself");
        self.state
            .send_modify(|state| state.workload = WorkloadState::Failed { message });
    }

    async fn freeze(&mut self) -> Result<(), ControlRefused> {
        match self.workload() {
            WorkloadState::Frozen => return Ok(()),
            WorkloadState::Serving => {}
            WorkloadState::Starting | WorkloadState::Torn { .. } | WorkloadState::Failed { .. } => {
                return Err(ControlRefused::NotUp);
            }
        }
        let sandbox = self.sandbox().ok_or(ControlRefused::NotUp)?;
        let limit = self.config.freeze_limit;
        let files = tokio::time::timeout(limit, Arc::clone(&self.files).write_owned()).await;
        let files = files.map_err(|_| ControlRefused::FilesBusy)?;
        sandbox.freeze(limit).await.map_err(ControlRefused::Freeze)?;
        tracing::debug!("the workload is frozen");
        self.frozen_files = Some(files);
        self.state.send_modify(|state| state.workload = WorkloadState::Frozen);
        Ok(())
    }

    async fn thaw(&mut self) -> Result<(), ControlRefused> {
        match self.workload() {
            WorkloadState::Serving => return Ok(()),
            WorkloadState::Frozen => {}
            WorkloadState::Starting | WorkloadState::Torn { .. } | WorkloadState::Failed { .. } => {
                return Err(ControlRefused::NotUp);
            }
        }
        let sandbox = self.sandbox().ok_or(ControlRefused::NotUp)?;
        // From here on a checkpoint is outlived, even if the answer is lost.
        self.state.send_modify(|state| state.checkpoint = CheckpointState::None);
        sandbox.thaw().await.map_err(ControlRefused::Freeze)?;
        self.frozen_files = None;
        self.state.send_modify(|state| state.workload = WorkloadState::Serving);
        Ok(())
    }

    async fn checkpoint(
        &mut self,
        asked: u64,
        requests: &mut mpsc::Receiver<ControlRequest>,
    ) -> Result<(), ControlRefused> {
        match self.workload() {
            WorkloadState::Frozen => {}
            WorkloadState::Serving
            | WorkloadState::Starting
            | WorkloadState::Torn { .. }
            | WorkloadState::Failed { .. } => {
                return Err(ControlRefused::NotFrozen);
            }
        }
        if let CheckpointState::Sealed { record } = &self.state.borrow().checkpoint
            && record.generation >= asked
        {
            return Ok(());
        }
        let sandbox = self.sandbox().ok_or(ControlRefused::NotUp)?;
        let generation = asked.max(self.last_sealed + 1);
        self.state
            .send_modify(|state| state.checkpoint = CheckpointState::Writing { generation });
        let mut waiting = VecDeque::new();
        let ended = unless_thawed(self.write(&sandbox, generation), requests, &mut waiting).await;
        self.waiting.append(&mut waiting);
        let outcome = match ended {
            Ended::Thaw(reply) => {
                tracing::warn!(
                    generation,
                    "a checkpoint that is being written is given up: the workload is to go on"
                );
                // What is in the way to the store may still come there.
                self.last_sealed = generation;
                drop(reply.send(self.thaw().await));
                return Err(ControlRefused::Outlived);
            }
            Ended::Done(Ok(record)) => {
                tracing::debug!(generation, bytes = record.size_bytes, "sealed a checkpoint");
                self.last_sealed = generation;
                CheckpointState::Sealed { record }
            }
            Ended::Done(Err(error)) => CheckpointState::Failed {
                generation,
                message: chain(&error),
            },
        };
        self.state.send_modify(|state| state.checkpoint = outcome);
        Ok(())
    }

    async fn write(
        &mut self,
        sandbox: &Arc<dyn Sandbox>,
        generation: u64,
    ) -> Result<CheckpointRecord, CheckpointError> {
        match self.write_once(sandbox, generation).await {
            // Only what CRIU wrote ahead is lost; the sandbox stands still, and can be written down anew.
            Err(CheckpointError::Store(StoreError::Spent { key })) => {
                tracing::warn!(%key, "what was stored ahead is of no use; the sandbox is written down once more");
                self.write_once(sandbox, generation).await
            }
            done => done,
        }
    }

    async fn write_once(
        &mut self,
        sandbox: &Arc<dyn Sandbox>,
        generation: u64,
    ) -> Result<CheckpointRecord, CheckpointError> {
        // An engine that ends half-way through a dump leaves processes that it has changed.
        let sandbox = Arc::clone(sandbox);
        let dumped = to_its_end(async move { sandbox.checkpoint().await }).await;
        let engine = dumped.unwrap_or(Err(SandboxError::Ended))?;
        // Everything the frozen program printed is in the channel by now.
        while let Ok(event) = self.program.try_recv() {
            self.log_program(event);
        }
        let payload = AgentImage {
            log: self.log.lines(),
            partial_line: self.lines.partial().to_owned(),
            watchers: self.watchers.images(),
        }
        .with(engine)?;
        let key = self.key(generation);
        Ok(self.store.seal(&key, &self.engine.version(), payload).await?)
    }

    fn log_program(&mut self, event: ExecutionEvent) {
        let text = match event {
            ExecutionEvent::Stdout(text) | ExecutionEvent::Stderr(text) => text,
            ExecutionEvent::Error { traceback, .. } => traceback + "\n",
            ExecutionEvent::Result(_) | ExecutionEvent::Display { .. } | ExecutionEvent::Ended { .. } => return,
        };
        for text in self.lines.push(&text) {
            let time = self.clock.now();
            self.log.append(LogLine { time, text });
        }
    }

    fn key(&self, generation: u64) -> CheckpointKey {
        CheckpointKey {
            sandbox_uid: self.config.identity.uid.clone(),
            generation,
        }
    }

    fn workload(&self) -> WorkloadState {
        self.state.borrow().workload.clone()
    }

    fn sandbox(&self) -> Option<Arc<dyn Sandbox>> {
        self.sandbox.borrow().clone()
    }
}
