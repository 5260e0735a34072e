//! What went wrong, for people: what was seen, and what to do about it where there is something to do.

use std::time::Duration;

use kube::ResourceExt;
use torpor_api::{AgentState, CheckpointState, Reason, WorkloadState, annotation};

use super::facts::{ending, is_ours, is_over, owner, restarts, to_restore};
use super::{AgentView, Reading};
use crate::decide::History;

impl Reading {
    /// What went wrong, for people. Only told when the decision is that something did.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(reason) = self.template_error.as_ref().or(self.freeze_refusal.as_ref()) {
            return Some(reason.clone());
        }
        if let Some((_, trouble)) = self.claim_trouble().filter(|_| self.may_start()) {
            return Some(trouble);
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
            AgentView::State(state) => Some(agent_trouble(state, to_restore(pod), self.pause_deadline)),
        }
    }

    /// Why the Service that is asked for cannot be had, and what to do about it.
    pub(crate) fn service_trouble(&self) -> Option<String> {
        let wanted = self.sandbox.spec.service == Some(true);
        let owner = self.companions.foreign_service().filter(|_| wanted)?;
        let name = self.sandbox.name_any();
        Some(format!(
            "a Service named {name} is not of this sandbox but of {owner}; delete or rename it, or do without spec.service"
        ))
    }

    /// What is wrong with the volume claims, if anything is, and what to do about it.
    pub(crate) fn claim_trouble(&self) -> Option<(Reason, String)> {
        if let Some((name, owner)) = self.companions.foreign_claim() {
            let message = format!("the volume claim {name} is not of this sandbox but of {owner}; delete or rename it");
            return Some((Reason::ClaimOwnerMismatch, message));
        }
        let name = self
            .companions
            .missing_claim()
            .filter(|_| self.history() == History::Kept)?;
        let message = format!(
            "the volume claim {name} is gone with the files in it; bring it back under this name and with the \
             annotation {}={}, or delete the sandbox",
            annotation::SANDBOX_UID,
            self.sandbox.metadata.uid.as_deref().unwrap_or("")
        );
        Some((Reason::ClaimLost, message))
    }
}

fn agent_trouble(state: &AgentState, wanted: Option<u64>, deadline: Duration) -> String {
    match (&state.workload, &state.checkpoint) {
        (WorkloadState::Torn { message }, _) => format!("{message}; what was done since it was resumed is lost"),
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
