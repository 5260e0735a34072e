//! What the controller asks of others: the agent in a Pod, and the keeper of checkpoint data.
//!
//! Both are traits, so that the controller is tested with faults in them and depends on neither.

use futures::future::BoxFuture;
use torpor_api::{Addressee, AgentState};

/// Why an agent did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// The agent answered that it cannot do this now (HTTP 409). Nothing has changed.
    #[error("the agent refused: {message}")]
    Refused {
        /// What was asked and why it was refused.
        message: String,
    },
    /// There was no answer, or none that could be read. Whether it was done is unknown.
    #[error("reach the agent: {message}")]
    Unreachable {
        /// What was attempted and what went wrong.
        message: String,
    },
}

/// Where an agent should be, and whose it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentAddress {
    /// The IP of the Pod, as its status has it: if the node of the Pod is lost, it may be another Pod's by now.
    pub pod_ip: String,
    /// The sandbox and the Pod.
    pub addressee: Addressee,
}

/// The agents of all sandbox Pods.
///
/// # Guarantees
/// Every call may be repeated; a repeated [`checkpoint`](Self::checkpoint) of one generation joins the first.
/// An agent that is known to be another's is [`AgentError::Unreachable`]: it does nothing, and its state is no answer.
pub trait SandboxAgents: Send + Sync {
    /// What the agent reports, without a change.
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>>;
    /// Stops the workload in place.
    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>>;
    /// Lets the workload run on and forgets a checkpoint that it now outlives.
    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>>;
    /// Writes checkpoint `generation` of the frozen workload. May answer while it is still being written.
    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>>;
}

/// Checkpoint data could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("remove checkpoint data: {message}")]
pub struct RemovalError {
    /// What was attempted and what went wrong.
    pub message: String,
}

/// Removes checkpoint data that nobody can need any more.
///
/// # Guarantees
/// Both calls may be repeated, and succeed when there is nothing to remove.
pub trait CheckpointCustodian: Send + Sync {
    /// Removes everything kept for the sandbox with this `metadata.uid`.
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>>;
    /// Removes every checkpoint of the sandbox with a smaller number than `generation`.
    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>>;
    /// A resume is about to read the newest checkpoint of the sandbox: whatever else is done with it may wait. Nothing
    /// depends on that.
    fn wanted(&self, sandbox_uid: &str) {
        let _ = sandbox_uid;
    }
}
