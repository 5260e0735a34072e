//! Reports of what went wrong: what it was, what is kept, and what can be done about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use torpor_api::{ConditionType, FailedRestores, Phase, Reason};

use super::Draft;
use crate::backoff::delay;
use crate::conditions;
use crate::decide::{Fault, History};

/// The longest wait before a failed restore is tried again, as a multiple of the first.
const LONGEST_WAIT: u32 = 32;

impl Draft<'_> {
    pub(super) fn pause_failed(&mut self) {
        let cause = self.details.message.clone().unwrap_or_default();
        let message =
            format!("pause failed, the sandbox runs on: {cause}; to try again set paused to false, then to true");
        self.status.phase = Some(Phase::Resuming);
        self.set(ConditionType::Paused, (false, Reason::CheckpointFailed), &message);
        self.status.message = Some(message);
    }

    pub(super) fn restore_failed(&mut self) {
        let cause = self.details.message.clone().unwrap_or_default();
        // One that served already has it on record again.
        self.status.checkpoint = self.before.checkpoint.clone().or(self.details.record.clone());
        let generation = self.status.checkpoint.as_ref().map_or(0, |record| record.generation);
        let failures = self
            .before
            .restore
            .as_ref()
            .map_or(0, |restore| restore.failures)
            .saturating_add(1);
        let first = self.reading.restore_retry;
        let wait = delay(first, first.saturating_mul(LONGEST_WAIT), failures);
        let retry_time = self.now.checked_add(wait).unwrap_or(self.now);
        let message = format!(
            "restore of checkpoint {generation} failed, {failures} in a row: {cause}; it is kept, and tried again at \
             {retry_time} or at any change of the spec; to give it up delete the sandbox"
        );
        self.status.restore = Some(FailedRestores {
            failures,
            retry_time: Time(retry_time),
        });
        self.status.phase = Some(Phase::Resuming);
        // The failed pause was one of a run that is lost by now: that is the news.
        if conditions::has_reason(&self.before, ConditionType::Paused, Reason::CheckpointFailed) {
            conditions::remove(&mut self.status, ConditionType::Paused);
        }
        self.set(ConditionType::Resumed, (false, Reason::RestoreFailed), &message);
        self.status.message = Some(message);
    }

    /// From here on the sandbox is a new one, and its condition tells that it was not always.
    pub(super) fn context_lost(&mut self) {
        let message = format!(
            "context lost: {}; the sandbox is started afresh, as spec.lostPodPolicy asks",
            self.cause()
        );
        conditions::remove(&mut self.status, ConditionType::Paused);
        conditions::remove(&mut self.status, ConditionType::Resumed);
        self.status.phase = Some(Phase::Pending);
        self.status.running_since = None;
        self.status.pod_info = None;
        self.set(ConditionType::ContextLost, (true, Reason::PodRecreated), &message);
        self.set(
            ConditionType::Ready,
            (false, Reason::PodNotReady),
            "the Pod does not serve yet",
        );
        self.status.message = Some(message);
    }

    /// Nothing can be started: back to where the sandbox rests.
    pub(super) fn blocked(&mut self, before_first_run: Phase, reason: Reason) {
        let message = self.details.message.clone().unwrap_or_default();
        conditions::remove(&mut self.status, ConditionType::Resumed);
        match self.reading.history() {
            History::New => {
                conditions::remove(&mut self.status, ConditionType::Paused);
                self.status.phase = Some(before_first_run);
                self.status.pod_info = None;
            }
            History::Live | History::Kept => self.paused(reason),
        }
        self.set(ConditionType::Ready, (false, reason), &message);
        self.status.message = Some(message);
    }

    pub(super) fn failed(&mut self, fault: Fault) {
        let (reason, message) = match (fault, self.before.phase) {
            // The first account is the best one: what is left of the Pod changes later.
            (_, Some(Phase::Failed)) if self.before.message.is_some() => {
                let kept = conditions::has_reason(&self.before, ConditionType::Ready, Reason::StateLost);
                (
                    if kept { Reason::StateLost } else { Reason::PodNotReady },
                    self.before.message.clone().unwrap_or_default(),
                )
            }
            (Fault::StateLost, _) => (Reason::StateLost, format!("context lost: {}", self.cause())),
            (Fault::StartFailed, _) => (Reason::PodNotReady, format!("first start failed: {}", self.cause())),
        };
        conditions::remove(&mut self.status, ConditionType::Paused);
        conditions::remove(&mut self.status, ConditionType::Resumed);
        self.status.phase = Some(Phase::Failed);
        self.status.pod_info = None;
        self.set(ConditionType::Ready, (false, reason), &message);
        self.status.message = Some(message);
    }
}
