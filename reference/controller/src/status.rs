//! Writes a decision out as a status. Pure: the same report over the same status changes nothing,
//! so a sandbox at rest is never written to.

mod trouble;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use torpor_api::{ConditionType, Phase, Reason, SandboxStatus};

use crate::conditions;
use crate::decide::{Blocker, History, Report};
use crate::observe::{Details, Reading};

/// What is told of a sandbox that has expired.
const EXPIRED: &str = "shutdownTime has passed; put it off or remove it to resume the sandbox";

/// A write that was refused, and that is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The API server did not take the Pod, or a volume claim that it needs.
    CreateRefused(String),
    /// The checkpoint data could not be removed.
    RemovalFailed(String),
}

/// The status that says what `report` means for what was read.
pub(crate) fn compose(reading: &Reading, report: Report, obstacle: Option<&Obstacle>) -> SandboxStatus {
    if report == Report::AsIs {
        return reading.status();
    }
    Draft::new(reading).write(report, obstacle)
}

/// A status in the making.
struct Draft<'a> {
    reading: &'a Reading,
    details: Details,
    before: SandboxStatus,
    status: SandboxStatus,
    now: Timestamp,
}

impl<'a> Draft<'a> {
    fn new(reading: &'a Reading) -> Self {
        let before = reading.status();
        let mut status = before.clone();
        status.observed_generation = reading.sandbox.metadata.generation;
        for condition in &mut status.conditions {
            condition.observed_generation = status.observed_generation;
        }
        Self {
            reading,
            details: reading.details(),
            before,
            status,
            now: reading.whole_second(),
        }
    }

    fn write(mut self, report: Report, obstacle: Option<&Obstacle>) -> SandboxStatus {
        match report {
            Report::AsIs => {}
            Report::Starting => self.starting(obstacle),
            Report::Running { ready } => self.running(ready),
            Report::Pausing => self.pausing(),
            Report::Sealed => self.sealed(),
            Report::Stopping => self.stopping(),
            Report::Paused => self.paused(Reason::PodNotReady),
            Report::Resuming => self.resuming(obstacle),
            Report::PauseFailed => self.pause_failed(),
            Report::RestoreFailed => self.restore_failed(),
            Report::ContextLost => self.context_lost(),
            Report::Blocked(Blocker::TemplateInvalid) => self.blocked(Phase::Failed, Reason::TemplateInvalid),
            Report::Blocked(Blocker::PodForeign) => self.blocked(Phase::Pending, Reason::PodOwnerMismatch),
            Report::Blocked(Blocker::ClaimForeign) => self.blocked(Phase::Pending, Reason::ClaimOwnerMismatch),
            Report::Blocked(Blocker::ClaimLost) => self.blocked(Phase::Pending, Reason::ClaimLost),
            Report::Failed(fault) => self.failed(fault),
            Report::Terminating => self.terminating(obstacle),
        }
        self.service();
        self.status.sandbox_ip = self.status.pod_info.as_ref().and_then(|pod| pod.pod_ip.clone());
        self.status.node_name = self.status.pod_info.as_ref().and_then(|pod| pod.node_name.clone());
        self.status
    }

    /// Nothing else waits for the Service.
    fn service(&mut self) {
        match self.reading.service_trouble() {
            Some(trouble) => {
                let verdict = (false, Reason::ServiceOwnerMismatch);
                self.set(ConditionType::ServiceProvided, verdict, &trouble);
            }
            None => conditions::remove(&mut self.status, ConditionType::ServiceProvided),
        }
    }

    fn starting(&mut self, obstacle: Option<&Obstacle>) {
        // Started by hand after a pause that kept nothing: the moment counts for `pauseTime`.
        if self.before.phase == Some(Phase::Paused) {
            self.set(
                ConditionType::Resumed,
                (false, Reason::CreatePod),
                "the Pod is on its way",
            );
        }
        conditions::remove(&mut self.status, ConditionType::Paused);
        self.status.phase = Some(Phase::Pending);
        self.status.pod_info = None;
        self.awaiting_pod(obstacle);
    }

    fn running(&mut self, ready: bool) {
        let resumed = conditions::find(&self.before, ConditionType::Resumed).is_some();
        let failed_pause = self.pause_failed_in_force();
        let called_off = !failed_pause && conditions::find(&self.before, ConditionType::Paused).is_some();
        if called_off
            || self.before.running_since.is_none()
            || !failed_pause && self.before.phase != Some(Phase::Running)
        {
            self.status.running_since = Some(MicroTime(self.reading.now));
        }
        if !failed_pause {
            conditions::remove(&mut self.status, ConditionType::Paused);
            self.status.message = None;
        }
        if resumed {
            self.set(
                ConditionType::Resumed,
                (true, Reason::ResumePod),
                "the sandbox serves again",
            );
        }
        self.status.phase = Some(Phase::Running);
        self.status.checkpoint = None;
        self.status.restore = None;
        self.status.pod_info = self.details.pod_info.clone();
        if ready {
            self.set(ConditionType::Ready, (true, Reason::PodReady), "the Pod serves");
        } else {
            self.set(
                ConditionType::Ready,
                (false, Reason::PodNotReady),
                "the Pod is not ready",
            );
        }
    }

    /// A pause begins where no condition tells of one, and what it may take counts from the time that the condition is
    /// given then. That time moves only with a flip, so the verdict on an earlier pause goes by a write of its own.
    fn pausing(&mut self) {
        if conditions::has_reason(&self.before, ConditionType::Paused, Reason::CheckpointFailed) {
            conditions::remove(&mut self.status, ConditionType::Paused);
            return self.going(None);
        }
        if conditions::find(&self.before, ConditionType::Paused).is_none() {
            let used = self
                .before
                .last_checkpoint_generation
                .max(self.details.restored_generation)
                .unwrap_or(0);
            self.status.last_checkpoint_generation = Some(used + 1);
        }
        self.set(
            ConditionType::Paused,
            (false, Reason::CheckpointCreating),
            "the checkpoint is being written",
        );
        self.going(None);
    }

    fn sealed(&mut self) {
        self.status.checkpoint = self.details.record.clone();
        let generation = self.details.record.as_ref().map(|record| record.generation);
        self.status.last_checkpoint_generation = self.before.last_checkpoint_generation.max(generation);
        self.stopping_with(Reason::CheckpointSucceeded);
    }

    fn stopping(&mut self) {
        match self.reading.history() {
            History::New => self.stopping_with(Reason::Pending),
            History::Live | History::Kept => self.stopping_with(Reason::CheckpointSucceeded),
        }
    }

    fn stopping_with(&mut self, reason: Reason) {
        self.set(ConditionType::Paused, (false, reason), "the Pod is being deleted");
        let message = self.kept_restore_failure();
        self.going(message);
    }

    /// What all reports on the way to `Paused` have in common.
    fn going(&mut self, message: Option<String>) {
        self.status.phase = Some(Phase::Pausing);
        self.forget_restore_failure(message);
        self.not_ready("the sandbox is being paused");
    }

    fn paused(&mut self, ready: Reason) {
        let message = self.kept_restore_failure();
        self.forget_restore_failure(message);
        let reason = match self.reading.history() {
            History::New => Reason::StopPauseSucceed,
            History::Live | History::Kept => Reason::SnapshotPauseSucceed,
        };
        self.status.phase = Some(Phase::Paused);
        self.status.pod_info = None;
        self.set(ConditionType::Paused, (true, reason), "no Pod is left");
        match (ready, self.reading.claim_trouble()) {
            // Not only once it is to be resumed.
            (Reason::PodNotReady, Some((reason, trouble))) => {
                self.set(ConditionType::Ready, (false, reason), &trouble);
                self.status.message = Some(trouble);
            }
            (Reason::PodNotReady, None) => self.not_ready("the sandbox is paused"),
            (ready, _) => self.set(ConditionType::Ready, (false, ready), "the sandbox is paused"),
        }
    }

    /// Not ready on the way to a pause and in it.
    fn not_ready(&mut self, message: &str) {
        if self.reading.expired() {
            self.set(ConditionType::Ready, (false, Reason::SandboxExpired), EXPIRED);
        } else {
            self.set(ConditionType::Ready, (false, Reason::PodNotReady), message);
        }
    }

    /// A failed restore stays in sight for as long as the spec that it was tried for holds.
    fn forget_restore_failure(&mut self, kept: Option<String>) {
        if kept.is_none() {
            conditions::remove(&mut self.status, ConditionType::Resumed);
            self.status.restore = None;
        }
        self.status.message = kept;
    }

    fn resuming(&mut self, obstacle: Option<&Obstacle>) {
        self.status.phase = Some(Phase::Resuming);
        if self.before.pod_info.as_ref().map(|pod| &pod.pod_uid)
            != self.details.pod_info.as_ref().map(|pod| &pod.pod_uid)
        {
            self.status.pod_info = None;
        }
        // On the way back from a failed pause the failure is the news.
        if self.pause_failed_in_force() {
            self.set(
                ConditionType::Ready,
                (false, Reason::PodNotReady),
                "the sandbox is on its way up",
            );
        } else {
            conditions::remove(&mut self.status, ConditionType::Paused);
            self.set(
                ConditionType::Resumed,
                (false, Reason::CreatePod),
                "the sandbox is on its way up",
            );
            self.awaiting_pod(obstacle);
        }
    }

    fn terminating(&mut self, obstacle: Option<&Obstacle>) {
        self.status.phase = Some(Phase::Terminating);
        self.set(
            ConditionType::Ready,
            (false, Reason::PodNotReady),
            "the sandbox is being deleted",
        );
        if let Some(Obstacle::RemovalFailed(message)) = obstacle {
            self.status.message = Some(format!("{message}; it is tried again"));
        } else if self.before.phase != Some(Phase::Terminating) {
            self.status.message = None;
        }
    }

    /// Not ready because the Pod is on its way, or because it was refused and nothing has changed since.
    fn awaiting_pod(&mut self, obstacle: Option<&Obstacle>) {
        let refused_before = conditions::has_reason(&self.before, ConditionType::Ready, Reason::PodCreateFailed);
        if let Some(Obstacle::CreateRefused(message)) = obstacle {
            let message = format!("{message}; it is tried again");
            self.set(ConditionType::Ready, (false, Reason::PodCreateFailed), &message);
            self.status.message = Some(message);
        } else if !refused_before || self.details.pod_info.is_some() {
            self.status.message = None;
            self.set(
                ConditionType::Ready,
                (false, Reason::PodNotReady),
                "the Pod does not serve yet",
            );
        }
    }

    /// The message of a restore that failed for this very spec.
    fn kept_restore_failure(&self) -> Option<String> {
        let generation = self.status.observed_generation;
        let failed = conditions::in_force(&self.before, ConditionType::Resumed, Reason::RestoreFailed, generation);
        if failed && !self.reading.asks_for_pause() {
            self.before.message.clone()
        } else {
            None
        }
    }

    fn pause_failed_in_force(&self) -> bool {
        let generation = self.status.observed_generation;
        self.reading.asks_for_pause()
            && conditions::in_force(
                &self.before,
                ConditionType::Paused,
                Reason::CheckpointFailed,
                generation,
            )
    }

    fn cause(&self) -> &str {
        self.details.message.as_deref().unwrap_or("no reason given")
    }

    fn set(&mut self, kind: ConditionType, value: (bool, Reason), message: &str) {
        conditions::set(&mut self.status, kind, value, message, self.now);
    }
}

#[cfg(test)]
mod tests;
