//! Turns what was read (the sandbox, its Pod, the agent's state) into the few facts that a decision depends on.
//!
//! Pure. What a pass acts on is the API server's present answer, not a cache: a cache may lag behind
//! our own writes, and a decision over the past could delete a Pod that serves again.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use torpor_api::{
    AgentState, CheckpointRecord, CheckpointState, ConditionType, Phase, PodInfo, Reason, Sandbox, SandboxStatus,
    WorkloadState, annotation,
};

use crate::conditions;
use crate::decide::{Goal, History, Observed, Patience, Seal, Workload};
use crate::timers::timers;

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
    /// The sandbox.
    pub(crate) sandbox: Sandbox,
    /// The Pod of its name, whoever it belongs to.
    pub(crate) pod: Option<Pod>,
    /// What the agent in the Pod answered.
    pub(crate) agent: AgentView,
    /// Why no Pod can be made from the template; looked at only when one is to be made.
    pub(crate) template_error: Option<String>,
    /// Why the agent refused to freeze in this pass.
    pub(crate) freeze_refusal: Option<String>,
    /// The time of the pass.
    pub(crate) now: Timestamp,
    /// Whether a failed restore may be tried again.
    pub(crate) retry_restore: bool,
    /// How long a pause may take before it is given up.
    pub(crate) pause_deadline: Duration,
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

    /// What is wanted: what the spec asks for, unless that was tried for this very spec and failed.
    pub(crate) fn goal(&self) -> Goal {
        let (status, generation) = (self.status(), self.sandbox.metadata.generation);
        let failed = |kind, reason| conditions::in_force(&status, kind, reason, generation);
        if self.sandbox.metadata.deletion_timestamp.is_some() {
            Goal::Deleted
        } else if self.sandbox.spec.paused {
            if failed(ConditionType::Paused, Reason::CheckpointFailed) {
                Goal::Running
            } else {
                Goal::Paused
            }
        } else if failed(ConditionType::Resumed, Reason::RestoreFailed) && !self.retry_restore {
            Goal::Paused
        } else {
            Goal::Running
        }
    }

    /// Where the context is.
    pub(crate) fn history(&self) -> History {
        match &self.sandbox.status {
            Some(status) if status.checkpoint.is_some() => History::Kept,
            Some(status) if status.running_since.is_some() => History::Live,
            Some(_) | None => History::New,
        }
    }

    /// The IP of the Pod whose agent has to be asked before anything can be decided.
    pub(crate) fn agent_to_ask(&self) -> Option<String> {
        let pod = self
            .pod
            .as_ref()
            .filter(|pod| is_ours(pod, &self.sandbox) && !is_over(pod))?;
        let status = pod.status.as_ref()?;
        let running = pod.metadata.deletion_timestamp.is_none() && status.phase.as_deref() == Some("Running");
        let needed = match (self.goal(), self.history()) {
            (Goal::Deleted, _) | (Goal::Paused, History::New) => false,
            // On record already: but a workload that was let run on since has outlived the record.
            (Goal::Paused, History::Live | History::Kept) => true,
            (Goal::Running, _) => !(self.routed() && self.continues(pod)),
        };
        status.pod_ip.clone().filter(|_| running && needed)
    }

    /// The facts for the decision.
    pub(crate) fn observed(&self) -> Observed {
        Observed {
            goal: self.goal(),
            history: self.history(),
            workload: self.workload(),
            routed: self.routed(),
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
            template_valid: self.template_error.is_none(),
            due: timers(&self.sandbox, self.now).due,
        }
    }

    /// What the status tells beyond the decision.
    pub(crate) fn details(&self) -> Details {
        let ours = self.pod.as_ref().filter(|pod| is_ours(pod, &self.sandbox));
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

    fn workload(&self) -> Workload {
        let Some(pod) = &self.pod else { return Workload::Absent };
        let continues = self.continues(pod);
        if !is_ours(pod, &self.sandbox) {
            Workload::Foreign
        } else if pod.metadata.deletion_timestamp.is_some() {
            Workload::Stopping
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
        let unfit = !continues && state.restored_generation != restore_annotation(pod);
        match &state.workload {
            WorkloadState::Failed { .. } if continues => Workload::Ended,
            WorkloadState::Failed { .. } => Workload::FailedToStart,
            WorkloadState::Frozen => Workload::Frozen(seal(&state.checkpoint)),
            WorkloadState::Serving if unfit => Workload::FailedToStart,
            // To be paused it need not be ready for traffic.
            WorkloadState::Serving if is_ready(pod) || self.goal() == Goal::Paused => Workload::Serving,
            WorkloadState::Serving | WorkloadState::Starting => Workload::Unready,
        }
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

    /// What went wrong, for people. Only told when the decision is that something did.
    fn trouble(&self) -> Option<String> {
        if let Some(reason) = self.template_error.as_ref().or(self.freeze_refusal.as_ref()) {
            return Some(reason.clone());
        }
        let Some(pod) = &self.pod else {
            return Some("the Pod is gone; it was not deleted by this controller".to_owned());
        };
        if !is_ours(pod, &self.sandbox) {
            return Some(format!(
                "a Pod named {} belongs to {}; delete or rename it",
                pod.name_any(),
                owner(pod)
            ));
        }
        if is_over(pod) {
            return Some(format!("the Pod ended: {}", ending(pod)));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return Some("the Pod is being deleted, and not by this controller".to_owned());
        }
        if restarts(pod) > 0 {
            return Some("a container of the Pod was restarted and has lost its memory".to_owned());
        }
        match &self.agent {
            AgentView::NotAsked => None,
            AgentView::Silent(reason) => Some(reason.clone()),
            AgentView::State(state) => Some(agent_trouble(state, restore_annotation(pod), self.pause_deadline)),
        }
    }
}

/// Whether the Pod is controlled by this very sandbox, not by an earlier one of the same name.
pub(crate) fn is_ours(pod: &Pod, sandbox: &Sandbox) -> bool {
    pod.owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == sandbox.metadata.uid.as_ref())
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    containers.map_or(0, |all| all.iter().map(|container| container.restart_count).sum())
}

fn restore_annotation(pod: &Pod) -> Option<u64> {
    pod.annotations()
        .get(annotation::RESTORE_GENERATION)
        .and_then(|generation| generation.parse().ok())
}

fn seal(checkpoint: &CheckpointState) -> Seal {
    match checkpoint {
        CheckpointState::None => Seal::None,
        CheckpointState::Writing { .. } => Seal::Writing,
        CheckpointState::Sealed { .. } => Seal::Sealed,
        CheckpointState::Failed { .. } => Seal::Failed,
    }
}

fn pod_info(pod: &Pod) -> PodInfo {
    PodInfo {
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        pod_ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    }
}

fn owner(pod: &Pod) -> String {
    let controller = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    controller.map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{} {} ({})", owner.kind, owner.name, owner.uid),
    )
}

fn ending(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "no reason given".to_owned();
    };
    let terminated = status.container_statuses.iter().flatten().find_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        let reason = terminated
            .message
            .as_ref()
            .or(terminated.reason.as_ref())
            .map_or("no reason given", |text| text);
        Some(format!(
            "container {} exited with code {}: {reason}",
            container.name, terminated.exit_code
        ))
    });
    status
        .message
        .clone()
        .or(terminated)
        .or(status.reason.clone())
        .unwrap_or_else(|| "no reason given".to_owned())
}

fn agent_trouble(state: &AgentState, wanted: Option<u64>, deadline: Duration) -> String {
    match (&state.workload, &state.checkpoint) {
        (WorkloadState::Failed { message }, _) | (WorkloadState::Frozen, CheckpointState::Failed { message, .. }) => {
            message.clone()
        }
        (WorkloadState::Serving | WorkloadState::Starting, _) if state.restored_generation != wanted => {
            let name = |generation: Option<u64>| generation.map_or("none".to_owned(), |number| number.to_string());
            let (from, wanted) = (name(state.restored_generation), name(wanted));
            format!("the workload was started from checkpoint {from} instead of {wanted}")
        }
        (WorkloadState::Serving | WorkloadState::Starting | WorkloadState::Frozen, _) => {
            format!("it took longer than {} s", deadline.as_secs())
        }
    }
}
