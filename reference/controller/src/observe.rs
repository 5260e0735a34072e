//! Turns what was read (the sandbox, its Pod, the agent's state) into the few facts that a decision depends on.
//!
//! Pure. What a pass acts on is the API server's present answer, not a cache: a cache may lag behind
//! our own writes, and a decision over the past could delete a Pod that serves again.

mod facts;
mod trouble;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::{Map, Value};
use torpor_api::{
    Addressee, AgentState, CheckpointRecord, CheckpointState, ConditionType, Phase, PodInfo, Reason, Sandbox,
    SandboxStatus, WorkloadState,
};

use crate::AgentAddress;
use crate::companions::Companions;
use crate::conditions;
use crate::decide::{Goal, History, Observed, Patience, Provision, Seal, Workload};
use crate::front::Front;
use crate::timers::{expired, timers};

pub(crate) use facts::{is_ours, is_over, owner};
use facts::{is_ready, is_taken_away, pod_info, restarts, to_restore};

/// What an agent answered, if it was asked.
#[derive(Clone, Debug)]
pub(crate) enum AgentView {
    /// The decision does not depend on it.
    NotAsked,
    /// It should have answered and did not; with the reason.
    Silent(String),
    /// What it reports.
    State(AgentState),
}

/// Everything that was read for one pass.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// How the sandbox is asked for.
    pub(crate) front: Front,
    /// The sandbox.
    pub(crate) sandbox: Sandbox,
    /// The status as the front words it.
    pub(crate) published: Map<String, Value>,
    /// The Pod of its name, whoever it belongs to.
    pub(crate) pod: Option<Pod>,
    /// What the agent in the Pod answered.
    pub(crate) agent: AgentView,
    /// The objects beside the Pod.
    pub(crate) companions: Companions,
    /// Why no Pod can be made from the template; looked at only when one is to be made.
    pub(crate) template_error: Option<String>,
    /// Why the agent refused to freeze in this pass.
    pub(crate) freeze_refusal: Option<String>,
    /// Whether the agent has carried out a thaw in this pass.
    pub(crate) thawed: bool,
    /// The time of the pass.
    pub(crate) now: Timestamp,
    /// How long a pause may take before it is given up.
    pub(crate) pause_deadline: Duration,
    /// How long to wait after the first failed restore.
    pub(crate) restore_retry: Duration,
}

/// What the status tells beyond the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// What went wrong.
    pub(crate) message: Option<String>,
    /// The sealed checkpoint of the frozen workload.
    pub(crate) record: Option<CheckpointRecord>,
    /// The Pod, if it is ours.
    pub(crate) pod_info: Option<PodInfo>,
    /// The checkpoint generation that the run started from.
    pub(crate) restored_generation: Option<u64>,
}

impl Reading {
    /// `metadata.uid` of the sandbox.
    pub(crate) fn uid(&self) -> &str {
        self.sandbox.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The status, or an empty one.
    pub(crate) fn status(&self) -> SandboxStatus {
        self.sandbox.status.clone().unwrap_or_default()
    }

    /// The conditions as the front words them.
    pub(crate) fn published_conditions(&self) -> Vec<Condition> {
        let conditions = self.published.get("conditions").cloned().unwrap_or_default();
        serde_json::from_value(conditions).unwrap_or_default()
    }

    /// The time of the pass in whole seconds, as conditions keep it.
    pub(crate) fn whole_second(&self) -> Timestamp {
        Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)
    }

    /// What is wanted: what the spec asks for, unless that was tried for this very spec and failed. A pause that failed
    /// counts only while there is something that it would have to keep: with the context on record, nothing but the Pod
    /// is left to go.
    pub(crate) fn goal(&self) -> Goal {
        let (status, generation) = (self.status(), self.sandbox.metadata.generation);
        let failed = |kind, reason| conditions::in_force(&status, kind, reason, generation);
        if self.sandbox.metadata.deletion_timestamp.is_some() {
            Goal::Deleted
        } else if self.asks_for_pause() {
            if self.history() == History::Live && failed(ConditionType::Paused, Reason::CheckpointFailed) {
                Goal::Running
            } else {
                Goal::Paused
            }
        } else if failed(ConditionType::Resumed, Reason::RestoreFailed) && self.restore_wait().is_some() {
            Goal::Paused
        } else {
            Goal::Running
        }
    }

    /// Whether the spec asks for a pause: in so many words, or by a `shutdownTime` that has passed and retains.
    pub(crate) fn asks_for_pause(&self) -> bool {
        self.sandbox.spec.paused || self.expired()
    }

    /// Whether `shutdownTime` has passed for a sandbox that is retained.
    pub(crate) fn expired(&self) -> bool {
        expired(&self.sandbox, self.now)
    }

    /// How long to wait before a failed restore is tried again; `None` when there is nothing to wait for.
    pub(crate) fn restore_wait(&self) -> Option<Duration> {
        let restore = self.sandbox.status.as_ref()?.restore.as_ref()?;
        Duration::try_from(restore.retry_time.0.duration_since(self.now))
            .ok()
            .filter(|wait| !wait.is_zero())
    }

    /// Whether the next step may be to start a Pod, so that it matters whether one can be made.
    pub(crate) fn may_start(&self) -> bool {
        self.goal() == Goal::Running && self.workload() == Workload::Absent && self.history() != History::Live
    }

    /// Where the context is.
    pub(crate) fn history(&self) -> History {
        match &self.sandbox.status {
            Some(status) if status.checkpoint.is_some() => History::Kept,
            Some(status) if status.running_since.is_some() => History::Live,
            Some(_) | None => History::New,
        }
    }

    /// Where the agent of a Pod is called; `None` as long as it has no address.
    pub(crate) fn agent_of(&self, pod: &Pod) -> Option<AgentAddress> {
        Some(AgentAddress {
            pod_ip: pod.status.as_ref()?.pod_ip.clone()?,
            addressee: Addressee {
                sandbox_uid: self.sandbox.metadata.uid.clone(),
                pod_uid: pod.metadata.uid.clone(),
            },
        })
    }

    /// The agent that has to be asked before anything can be decided.
    pub(crate) fn agent_to_ask(&self) -> Option<AgentAddress> {
        let pod = self
            .pod
            .as_ref()
            .filter(|pod| is_ours(*pod, &self.sandbox) && !is_over(pod))?;
        let status = pod.status.as_ref()?;
        let running = pod.metadata.deletion_timestamp.is_none() && status.phase.as_deref() == Some("Running");
        let needed = match (self.goal(), self.history()) {
            (Goal::Deleted, _) | (Goal::Paused, History::New) => false,
            // On record already: but a workload that was let run on since has outlived the record.
            (Goal::Paused, History::Live | History::Kept) => true,
            // One that serves is asked only when its Pod says that something is wrong.
            (Goal::Running, _) => !(self.routed() && self.continues(pod) && is_ready(pod)),
        };
        self.agent_of(pod).filter(|_| running && needed)
    }

    /// The facts for the decision.
    pub(crate) fn observed(&self) -> Observed {
        Observed {
            goal: self.goal(),
            history: self.history(),
            workload: self.workload(),
            routed: self.routed(),
            settled: self.routed() || self.thawed,
            patience: if self.freeze_refusal.is_some() || self.overdue() {
                Patience::Spent
            } else {
                Patience::Left
            },
            guarded: self
                .sandbox
                .finalizers()
                .iter()
                .any(|name| name == torpor_api::finalizer::SANDBOX),
            provision: self.provision(),
            lost_pod: self.sandbox.spec.lost_pod_policy,
            due: timers(&self.sandbox, self.now).due,
        }
    }

    /// What the status tells beyond the decision.
    pub(crate) fn details(&self) -> Details {
        let ours = self.pod.as_ref().filter(|pod| is_ours(*pod, &self.sandbox));
        let agent = match &self.agent {
            AgentView::State(state) => Some(state),
            AgentView::NotAsked | AgentView::Silent(_) => None,
        };
        Details {
            message: self.trouble(),
            record: agent.and_then(|state| match &state.checkpoint {
                CheckpointState::Sealed { record } => Some(record.clone()),
                CheckpointState::None | CheckpointState::Writing { .. } | CheckpointState::Failed { .. } => None,
            }),
            pod_info: ours.map(pod_info),
            restored_generation: agent.and_then(|state| state.restored_generation),
        }
    }

    fn provision(&self) -> Provision {
        if self.template_error.is_some() {
            Provision::TemplateInvalid
        } else if self.companions.foreign_claim().is_some() {
            Provision::ClaimForeign
        } else if self.history() == History::Kept && self.companions.missing_claim().is_some() {
            Provision::ClaimLost
        } else {
            Provision::Complete
        }
    }

    fn routed(&self) -> bool {
        self.sandbox
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Some(Phase::Running))
    }

    /// Whether this Pod is the one that the status says has served.
    fn continues(&self, pod: &Pod) -> bool {
        let served = self.sandbox.status.as_ref().and_then(|status| status.pod_info.as_ref());
        served.is_some_and(|served| Some(&served.pod_uid) == pod.metadata.uid.as_ref())
    }

    pub(crate) fn workload(&self) -> Workload {
        let Some(pod) = &self.pod else { return Workload::Absent };
        let continues = self.continues(pod);
        if !is_ours(pod, &self.sandbox) {
            Workload::Foreign
        } else if pod.metadata.deletion_timestamp.is_some() {
            Workload::Stopping
        } else if is_over(pod) && is_taken_away(pod) {
            Workload::TakenAway
        } else if continues && (is_over(pod) || restarts(pod) > 0) || !continues && self.history() == History::Live {
            // A container that began anew has lost its memory, even if the Pod is ready again.
            Workload::Ended
        } else if is_over(pod) {
            Workload::FailedToStart
        } else {
            self.running_workload(pod, continues)
        }
    }

    fn running_workload(&self, pod: &Pod, continues: bool) -> Workload {
        let state = match &self.agent {
            AgentView::State(state) => state,
            AgentView::Silent(_) => return Workload::Silent,
            AgentView::NotAsked if continues && is_ready(pod) => return Workload::Serving,
            AgentView::NotAsked => return Workload::Unready,
        };
        let unfit = !continues && state.restored_generation != to_restore(pod);
        match &state.workload {
            WorkloadState::Torn { .. } if matches!(state.checkpoint, CheckpointState::Sealed { .. }) => Workload::Torn,
            WorkloadState::Torn { .. } | WorkloadState::Failed { .. } if continues => Workload::Ended,
            WorkloadState::Torn { .. } | WorkloadState::Failed { .. } => Workload::FailedToStart,
            WorkloadState::Frozen => Workload::Frozen(self.seal(&state.checkpoint)),
            WorkloadState::Serving if unfit => Workload::FailedToStart,
            // To be paused it need not be ready for traffic.
            WorkloadState::Serving if is_ready(pod) || self.goal() == Goal::Paused => Workload::Serving,
            WorkloadState::Serving | WorkloadState::Starting => Workload::Unready,
        }
    }

    fn seal(&self, checkpoint: &CheckpointState) -> Seal {
        match checkpoint {
            CheckpointState::None => Seal::None,
            CheckpointState::Writing { .. } => Seal::Writing,
            CheckpointState::Sealed { .. } => Seal::Sealed,
            CheckpointState::Failed { generation, .. } if !self.is_of_this_pause(*generation) => Seal::None,
            CheckpointState::Failed { .. } => Seal::Failed,
        }
    }

    /// Whether the checkpoint of this number is one of the pause that is under way. Of an earlier one whatever was to be told was told.
    fn is_of_this_pause(&self, generation: u64) -> bool {
        let status = self.status();
        let under_way = conditions::has_reason(&status, ConditionType::Paused, Reason::CheckpointCreating);
        under_way
            && status
                .last_checkpoint_generation
                .is_none_or(|reserved| reserved <= generation)
    }

    /// Whether the pause under way has taken too long. It began when the sandbox stopped being
    /// ready for it, or when it was first asked for, whichever came last.
    fn overdue(&self) -> bool {
        let status = self.status();
        let Some(paused) = conditions::find(&status, ConditionType::Paused) else {
            return false;
        };
        let ready = conditions::find(&status, ConditionType::Ready).map(|ready| &ready.last_transition_time);
        let began = ready.map_or(paused.last_transition_time.0, |ready| {
            ready.0.max(paused.last_transition_time.0)
        });
        paused.reason != Reason::CheckpointFailed.as_str()
            && self.now.duration_since(began).unsigned_abs() >= self.pause_deadline
            && self.now >= began
    }
}

#[cfg(test)]
mod tests;
