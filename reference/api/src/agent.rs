//! The control protocol between the controller and the agent of a sandbox Pod.
//!
//! JSON over HTTP/1.1 on [`port::CONTROL`](crate::port::CONTROL). Every answer is the
//! [`AgentState`] after the call. All calls may be repeated: a controller that crashed
//! between a call and its answer asks again and joins what it started.
//!
//! The address of a Pod may have been given to another one while the Pod is still listed. So every call may say whom
//! it is meant for, an [`Addressee`] as query parameters (`?sandboxUid=…&podUid=…`). An agent that is known to be
//! another's does nothing and answers 421 with a text; every answer says whose agent it is, for a caller to compare.
//!
//! ```text
//!             freeze                checkpoint(g)            (Pod deleted)
//!  Serving ───────────▶ Frozen ─────────────────▶ Frozen ───────────────▶ ∅
//!     ▲                   │  Writing{g} → Sealed(g) | Failed{g}
//!     └──────thaw─────────┘  (forgets the checkpoint: the workload outlives it)
//! ```
//!
//! A workload may serve before all of its memory is restored. If the rest then cannot be had it is `Torn`, and the
//! checkpoint that it was restored from is reported as the one that is sealed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::CheckpointRecord;

/// `GET`: the state, without a change.
pub const STATE_PATH: &str = "/v1/state";
/// `POST`: stop the workload in place. Answers when nothing in the sandbox runs any more,
/// or with 409 and an [`AgentRefusal`] when it cannot be stopped now.
pub const FREEZE_PATH: &str = "/v1/freeze";
/// `POST`: let the workload run on and forget a checkpoint that it now outlives.
pub const THAW_PATH: &str = "/v1/thaw";
/// `POST` with a [`CheckpointRequest`]: write a checkpoint of the frozen workload, or join
/// the one being written. Answers when it is sealed or has failed, and in any case after
/// ten seconds. 409 and an [`AgentRefusal`] when the workload is not frozen.
pub const CHECKPOINT_PATH: &str = "/v1/checkpoint";

/// The sandbox and the Pod that an agent runs for, or that a call is meant for. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addressee {
    /// `metadata.uid` of the Sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_uid: Option<String>,
    /// `metadata.uid` of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
}

impl Addressee {
    /// Whether the two are known not to be the same: by their Pods where both are known, and by their sandboxes
    /// otherwise. Who says neither is not known to be anybody else.
    #[must_use]
    pub fn is_another_than(&self, other: &Self) -> bool {
        let differ = |(one, two): (&String, &String)| one != two;
        let pods = self.pod_uid.as_ref().zip(other.pod_uid.as_ref()).map(differ);
        let sandboxes = self.sandbox_uid.as_ref().zip(other.sandbox_uid.as_ref()).map(differ);
        pods.or(sandboxes).unwrap_or(false)
    }
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [pod, sandbox] = [&self.pod_uid, &self.sandbox_uid].map(|uid| uid.as_deref().unwrap_or("unknown"));
        write!(f, "Pod {pod} of sandbox {sandbox}")
    }
}

/// Body of [`CHECKPOINT_PATH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckpointRequest {
    /// Number of the checkpoint within its sandbox; larger than that of any earlier one.
    pub generation: u64,
}

/// What an agent reports of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentState {
    /// Whose agent it is.
    #[serde(flatten)]
    pub addressee: Addressee,
    /// Name of the engine: `monty`, `criu` or `sim`.
    pub engine: String,
    /// The checkpoint generation that this run started from; absent on a fresh start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_generation: Option<u64>,
    /// Whether the workload runs.
    pub workload: WorkloadState,
    /// The checkpoint of the current freeze.
    pub checkpoint: CheckpointState,
}

/// What an agent answers with 409: it did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRefusal {
    /// As it was before.
    #[serde(flatten)]
    pub state: AgentState,
    /// What was attempted and what is in the way; absent where the state says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// Whether the workload of a sandbox runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum WorkloadState {
    /// On its way up, fresh or from a checkpoint.
    Starting,
    /// It runs and takes requests.
    Serving,
    /// It is stopped in place; requests are refused.
    Frozen,
    /// It served before all of its memory was restored, and the rest cannot be had: nothing of it runs any more. What
    /// it did since is lost; [`AgentState::checkpoint`] is the one that it was restored from, and whole as far as known.
    Torn {
        /// What was attempted and what went wrong.
        message: String,
    },
    /// It could not be started or restored, or it has ended though nobody ended it.
    Failed {
        /// What was attempted and what went wrong.
        message: String,
    },
}

/// The checkpoint of the current freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum CheckpointState {
    /// None was asked for since the last thaw.
    None,
    /// It is being written.
    Writing {
        /// Its number.
        generation: u64,
    },
    /// It is complete and durable.
    Sealed {
        /// What was written.
        record: CheckpointRecord,
    },
    /// It could not be written. The workload is still frozen.
    Failed {
        /// Its number.
        generation: u64,
        /// What was attempted and what went wrong.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn addressee(sandbox_uid: Option<&str>, pod_uid: Option<&str>) -> Addressee {
        Addressee {
            sandbox_uid: sandbox_uid.map(str::to_owned),
            pod_uid: pod_uid.map(str::to_owned),
        }
    }

    #[test]
    fn two_are_told_apart_by_their_pods_and_without_them_by_their_sandboxes() {
        let meant = addressee(Some("s"), Some("p"));
        for (sandbox, pod, another) in [
            (Some("s"), Some("p"), false),
            (Some("s"), Some("q"), true),
            (None, Some("q"), true),
            (Some("s"), None, false),
            (Some("t"), None, true),
            (None, None, false),
            // A Pod belongs to one sandbox only.
            (Some("t"), Some("p"), false),
        ] {
            let answers = addressee(sandbox, pod);
            assert_eq!(answers.is_another_than(&meant), another, "{answers}");
            assert_eq!(meant.is_another_than(&answers), another, "{answers}");
        }
    }

    #[test]
    fn whose_an_agent_is_lies_beside_its_state_and_may_be_left_out() {
        let mut state = json!({"engine": "sim", "workload": {"state": "serving"}, "checkpoint": {"state": "none"}});
        let read = |state: &serde_json::Value| serde_json::from_value::<AgentState>(state.clone()).expect("a state");
        assert_eq!(read(&state).addressee, Addressee::default());
        assert_eq!(serde_json::to_value(read(&state)).expect("JSON"), state);
        state["podUid"] = json!("p");
        assert_eq!(read(&state).addressee, addressee(None, Some("p")));
        state["refusal"] = json!("busy");
        let refusal: AgentRefusal = serde_json::from_value(state).expect("a refusal");
        assert_eq!(refusal.state.addressee, addressee(None, Some("p")));
    }
}
