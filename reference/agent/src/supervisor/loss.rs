//! What a workload that serves loses by itself.

use std::sync::Arc;

use tokio::sync::mpsc;
use torpor_runtime::{Sandbox, SandboxError};

/// What it lost, and why.
#[derive(Debug)]
pub(super) enum Loss {
    /// The rest of what it was to be restored from.
    Memory(SandboxError),
    /// All of it: it has ended.
    All(SandboxError),
}

/// Tells of a loss, if there is any before somebody ends the workload.
pub(super) async fn watch_over(sandbox: Arc<dyn Sandbox>, tell: mpsc::Sender<Loss>) {
    let loss = match sandbox.restored().await {
        Ok(()) => Loss::All(sandbox.lost().await),
        Err(error) => Loss::Memory(error),
    };
    match loss {
        Loss::Memory(SandboxError::Ended) | Loss::All(SandboxError::Ended) => {}
        // Nobody listens to an agent that ends.
        loss @ (Loss::Memory(_) | Loss::All(_)) => drop(tell.send(loss).await),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use torpor_api::WorkloadState;
    use torpor_runtime::{CheckpointStore, Clock};

    use super::super::Supervisor;
    use super::*;
    use crate::config::{AgentConfig, SandboxIdentity};
    use crate::fake::{FakeEngine, FakeSandbox};

    /// How long anything may take.
    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_workload_that_ends_by_itself_is_not_said_to_serve() {
        let (directory, sandbox) = (
            tempfile::tempdir().expect("a directory"),
            Arc::new(FakeSandbox::default()),
        );
        let config = AgentConfig {
            identity: SandboxIdentity {
                namespace: "default".to_owned(),
                name: "sb".to_owned(),
                uid: "uid-1".to_owned(),
                pod_uid: None,
            },
            restore: None,
            restore_digest: None,
            env: BTreeMap::new(),
            command: Vec::new(),
            work_dir: directory.path().join("run"),
            freeze_limit: AgentConfig::FREEZE_LIMIT,
        };
        let store = CheckpointStore::open("memory://").expect("a store");
        let engine = Arc::new(FakeEngine(Arc::clone(&sandbox)));
        let (supervisor, workload, _log) = Supervisor::new(config, engine, store, Clock::system());
        let (_ask, requests) = mpsc::channel(1);
        tokio::spawn(supervisor.run(requests));
        let mut state = workload.state.clone();
        let serves = state.wait_for(|state| state.workload == WorkloadState::Serving);
        drop(
            tokio::time::timeout(LIMIT, serves)
                .await
                .expect("in time")
                .expect("told"),
        );
        sandbox.lose();
        let failed = state.wait_for(|state| matches!(state.workload, WorkloadState::Failed { .. }));
        drop(
            tokio::time::timeout(LIMIT, failed)
                .await
                .expect("in time")
                .expect("told"),
        );
        assert!(workload.serving().is_none());
    }
}
