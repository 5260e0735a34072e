//! Mistakes between the controller, the agents, and the keeper of checkpoint data.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use torpor_api::{AgentState, CheckpointState};
use torpor_controller::{AgentAddress, AgentError, CheckpointCustodian, RemovalError, SandboxAgents};

use super::notes::Notes;
use super::{Around, Culprit, Fault, Hooks};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "checkpoint-never-ends",
        Culprit::Engine,
        "goes on writing a checkpoint for ever",
        || Hooks {
            agents: Some(Arc::new(|inner| Arc::new(NeverDone(inner)))),
            ..Hooks::default()
        },
    )
    .breaks(&["FSM-01"], &["pause-and-resume-reach-their-state"])
    .touches(&["CTX", "ZERO", "DEL", "E2B-03", "FSM"])
    .spares(&["deleting-while-running", "deleting-by-sdk-while-running"]),
    Fault::new(
        "newest-checkpoint-removed",
        Culprit::Store,
        "removes the newest checkpoint with the older ones",
        || Hooks {
            custodian: Some(Arc::new(|inner| Arc::new(TooMuch(inner)))),
            ..Hooks::default()
        },
    )
    .breaks(
        &["FSM-01", "CTX-01"],
        &[
            "pause-and-resume-reach-their-state",
            "interpreter-state-survives@kubernetes",
        ],
    )
    .touches(&["CTX", "ZERO", "FSM"])
    .spares(&["deleting-while-running", "created-paused-starts-nothing"]),
    Fault::new(
        "failed-removal-taken-for-done",
        Culprit::Controller,
        "lets a sandbox go whose checkpoint data could not be removed",
        || Hooks {
            custodian: Some(Arc::new(|inner| Arc::new(Hopeful(inner)))),
            ..Hooks::default()
        },
    )
    .breaks(&["DEL-09"], WAITS_FOR_THE_STORE)
    .spares(&[
        "deleting-a-paused-sandbox-is-final@kubernetes",
        "deleting-a-paused-sandbox-frees-its-storage@kubernetes",
    ]),
    Fault::new(
        "removal-tried-once",
        Culprit::Controller,
        "does not try again to remove checkpoint data that could not be removed",
        || Hooks {
            custodian: Some(Arc::new(|inner| {
                Arc::new(Resigned {
                    inner,
                    failed: Notes::new(),
                })
            })),
            ..Hooks::default()
        },
    )
    .breaks(&["DEL-09"], WAITS_FOR_THE_STORE)
    .spares(&[
        "deleting-a-paused-sandbox-is-final@kubernetes",
        "deleting-a-paused-sandbox-frees-its-storage@kubernetes",
    ]),
];

const WAITS_FOR_THE_STORE: &[&str] = &[
    "deletion-waits-for-the-store@kubernetes",
    "deletion-waits-for-the-store@e2b",
];

/// Agents that are never done with a checkpoint.
struct NeverDone(Arc<dyn SandboxAgents>);

impl SandboxAgents for NeverDone {
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.0.state(agent)
    }

    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.0.freeze(agent)
    }

    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.0.thaw(agent)
    }

    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        async move {
            let mut state = self.0.state(agent).await?;
            state.checkpoint = CheckpointState::Writing { generation };
            Ok(state)
        }
        .boxed()
    }
}

/// A custodian that removes everything when it is to remove what is older.
struct TooMuch(Arc<dyn CheckpointCustodian>);

impl CheckpointCustodian for TooMuch {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.0.remove_all(sandbox_uid)
    }

    fn remove_older_than<'a>(&'a self, sandbox_uid: &'a str, _: u64) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.0.remove_all(sandbox_uid)
    }
}

/// A custodian that hears no failure.
struct Hopeful(Arc<dyn CheckpointCustodian>);

impl CheckpointCustodian for Hopeful {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.0.remove_all(sandbox_uid).map(|_| Ok(())).boxed()
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.0.remove_older_than(sandbox_uid, generation)
    }
}

/// A custodian that does not try again what failed once.
struct Resigned {
    inner: Arc<dyn CheckpointCustodian>,
    failed: Notes<RemovalError>,
}

impl CheckpointCustodian for Resigned {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        async move {
            if let Some(error) = self.failed.get(sandbox_uid) {
                return Err(error);
            }
            let removed = self.inner.remove_all(sandbox_uid).await;
            if let Err(error) = &removed {
                self.failed.put(sandbox_uid, error.clone());
            }
            removed
        }
        .boxed()
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.inner.remove_older_than(sandbox_uid, generation)
    }
}

/// A custodian that says it removed what it left.
struct Nothing;

impl CheckpointCustodian for Nothing {
    fn remove_all<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        ready(Ok(())).boxed()
    }

    fn remove_older_than<'a>(&'a self, _: &'a str, _: u64) -> BoxFuture<'a, Result<(), RemovalError>> {
        ready(Ok(())).boxed()
    }
}

pub(super) fn removing_nothing() -> Around<dyn CheckpointCustodian> {
    Arc::new(|_| Arc::new(Nothing))
}
