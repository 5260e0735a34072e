//! An agent as a whole: its supervisor, its three listeners, and their end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_api::AgentState;
use torpor_runtime::{CheckpointStore, Clock, SandboxProcess};

use crate::config::AgentConfig;
use crate::log::{ContainerLog, LogReader};
use crate::supervisor::{Supervisor, Workload};
use crate::{code_interpreter, control, envd};

/// How long connections may take to end when the agent stops; then they are cut.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);
/// How long a reading of memory may take; code that runs just then is not waited for.
const USAGE_LIMIT: Duration = Duration::from_millis(200);
/// Control requests that may wait.
const QUEUE: usize = 16;

/// The sockets of an agent, bound by whoever starts it.
#[derive(Debug)]
pub struct AgentListeners {
    /// For the controller.
    pub control: TcpListener,
    /// For files and processes.
    pub envd: TcpListener,
    /// For running code.
    pub code_interpreter: TcpListener,
}

/// What a sandbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time since its start.
    pub cpu: Duration,
    /// Bytes of interpreter state, as the engine would write it down.
    pub memory_bytes: u64,
}

/// A running agent.
pub struct Agent {
    workload: Workload,
    log: ContainerLog,
    memory_bytes: AtomicU64,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
}

/// Starts an agent. It answers at once that it is starting; whether the workload comes up shows in its state.
#[must_use]
pub fn start(config: AgentConfig, store: CheckpointStore, listeners: AgentListeners) -> Agent {
    let (supervisor, workload, log) = Supervisor::new(config, store, Clock::system());
    let (requests, inbox) = mpsc::channel(QUEUE);
    let stopping = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let routers = [
        (listeners.control, control::router(requests, workload.state.clone())),
        (listeners.envd, envd::router(workload.clone())),
        (listeners.code_interpreter, code_interpreter::router(workload.clone())),
    ];
    tasks.spawn(supervisor.run(inbox));
    for (listener, router) in routers {
        tasks.spawn(serve(listener, router, stopping.clone()));
    }
    Agent {
        workload,
        log,
        memory_bytes: AtomicU64::new(0),
        stopping,
        tasks,
    }
}

impl Agent {
    /// The state, now and on every change.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.workload.state.clone()
    }

    /// What the sandbox uses. Memory is that of the last reading while code runs.
    pub async fn usage(&self) -> Usage {
        let process: Option<SandboxProcess> = self.workload.process.borrow().clone();
        let Some(process) = process else {
            return Usage::default();
        };
        if let Ok(Ok(bytes)) = tokio::time::timeout(USAGE_LIMIT, process.state_bytes()).await {
            self.memory_bytes.store(bytes, Ordering::Relaxed);
        }
        Usage {
            cpu: process.cpu(),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
        }
    }

    /// What the sandbox's program printed.
    #[must_use]
    pub fn logs(&self) -> LogReader {
        self.log.reader()
    }

    /// Ends the workload and every connection, and removes the files of the sandbox.
    pub async fn stop(mut self) {
        let process: Option<SandboxProcess> = self.workload.process.borrow().clone();
        if let Some(process) = process {
            process.stop();
        }
        self.stopping.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
            self.tasks.shutdown().await;
        }
        if let Err(error) = tokio::fs::remove_dir_all(&self.workload.root).await {
            tracing::debug!(%error, path = %self.workload.root.display(), "remove the files of a stopped sandbox");
        }
    }
}

async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stopping.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "listener of an agent ended");
    }
}
