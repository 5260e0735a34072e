//! An agent as a whole: its supervisor, its three listeners, and their end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_api::AgentState;
use torpor_runtime::{CheckpointStore, Clock, Engine, Sandbox, Usage};

use crate::config::AgentConfig;
use crate::log::{ContainerLog, LogReader};
use crate::supervisor::{Supervisor, Workload};
use crate::{code_interpreter, control, envd};

/// How long connections may take to end when the agent stops; then they are cut.
const DRAIN_LIMIT: Duration = Duration::from_millis(500);
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

/// A running agent.
pub struct Agent {
    workload: Workload,
    log: ContainerLog,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
}

/// Starts an agent. It answers at once that it is starting; whether the workload comes up shows in its state.
#[must_use]
pub fn start(config: AgentConfig, engine: Arc<dyn Engine>, store: CheckpointStore, listeners: AgentListeners) -> Agent {
    let (supervisor, workload, log) = Supervisor::new(config, engine, store, Clock::system());
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

    /// What the sandbox uses; nothing before it is up and after it has ended.
    pub async fn usage(&self) -> Usage {
        match self.sandbox() {
            Some(sandbox) => sandbox.usage().await.unwrap_or_default(),
            None => Usage::default(),
        }
    }

    /// What the sandbox's program printed.
    #[must_use]
    pub fn logs(&self) -> LogReader {
        self.log.reader()
    }

    /// Ends the workload and every connection, and removes the files of the sandbox.
    pub async fn stop(mut self) {
        if let Some(sandbox) = self.sandbox() {
            sandbox.stop().await;
        }
        self.stopping.cancel();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
            self.tasks.shutdown().await;
        }
        if let Err(error) = tokio::fs::remove_dir_all(&self.workload.directory).await {
            tracing::debug!(%error, path = %self.workload.directory.display(), "remove the files of a stopped sandbox");
        }
    }

    fn sandbox(&self) -> Option<Arc<dyn Sandbox>> {
        self.workload.sandbox.borrow().clone()
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
