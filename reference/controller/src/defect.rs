//! Deliberate mistakes, each named after what it does and the requirements it breaks.
//!
//! A conformance suite is only as good as the faults it finds. These distort what the controller
//! observes, decides or reports, from outside: the code that is right does not know of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use torpor_api::{ConditionType, Phase, Reason, Sandbox, SandboxStatus};

use crate::conditions;
use crate::decide::{Decision, Due, Effect, Fault, Goal, Observed, Report};
use crate::{CheckpointCustodian, RemovalError};

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// Reports `Paused` as soon as it is asked for, while the Pod still runs.
    PausedBeforePodGone,
    /// Reports `Paused` once the context is kept, and leaves the frozen Pod where it is.
    PausedKeepsPod,
    /// Resumes with a Pod that knows of no checkpoint.
    ResumeStartsFresh,
    /// Resumes every time from the first checkpoint.
    SecondCheckpointIgnored,
    /// Leaves the checkpoint data behind when a sandbox is deleted.
    CheckpointLeaksOnDelete,
    /// Pauses whenever `pauseTime` lies in the past, also right after a resume by hand.
    PauseTimeBounces,
    /// Reports without `observedGeneration`.
    ForgetsObservedGeneration,
    /// Starts afresh, as if nothing had been, when the Pod of a running sandbox is lost.
    LostStateStartsFresh,
    /// Drops a checkpoint that cannot be restored, and starts afresh.
    FailedRestoreStartsFresh,
    /// Ends the Pod of a sandbox whose pause failed.
    FailedPauseEndsPod,
}

impl Defect {
    /// Every defect.
    pub const ALL: [Self; 10] = [
        Self::PausedBeforePodGone,
        Self::PausedKeepsPod,
        Self::ResumeStartsFresh,
        Self::SecondCheckpointIgnored,
        Self::CheckpointLeaksOnDelete,
        Self::PauseTimeBounces,
        Self::ForgetsObservedGeneration,
        Self::LostStateStartsFresh,
        Self::FailedRestoreStartsFresh,
        Self::FailedPauseEndsPod,
    ];

    /// Its name, as [`FromStr`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PausedBeforePodGone => "paused-before-pod-gone",
            Self::PausedKeepsPod => "paused-keeps-pod",
            Self::ResumeStartsFresh => "resume-starts-fresh",
            Self::SecondCheckpointIgnored => "second-checkpoint-ignored",
            Self::CheckpointLeaksOnDelete => "checkpoint-leaks-on-delete",
            Self::PauseTimeBounces => "pause-time-bounces",
            Self::ForgetsObservedGeneration => "forgets-observed-generation",
            Self::LostStateStartsFresh => "lost-state-starts-fresh",
            Self::FailedRestoreStartsFresh => "failed-restore-starts-fresh",
            Self::FailedPauseEndsPod => "failed-pause-ends-pod",
        }
    }

    /// Ids of the requirements that it breaks.
    #[must_use]
    pub const fn breaks(self) -> &'static [&'static str] {
        match self {
            Self::PausedBeforePodGone => &["ZERO-01", "ZERO-05", "FSM-12"],
            Self::PausedKeepsPod => &["ZERO-01", "ZERO-03"],
            Self::ResumeStartsFresh => &["CTX-01", "CTX-02", "CTX-06"],
            Self::SecondCheckpointIgnored => &["CTX-06"],
            Self::CheckpointLeaksOnDelete => &["DEL-01", "DEL-07"],
            Self::PauseTimeBounces => &["TIME-05"],
            Self::ForgetsObservedGeneration => &["FSM-01"],
            Self::LostStateStartsFresh => &["FSM-08"],
            Self::FailedRestoreStartsFresh => &["CTX-09", "FSM-07"],
            Self::FailedPauseEndsPod => &["FSM-06"],
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No defect has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the defect {name:?}: it is none of {}", Defect::ALL.map(Defect::name).join(", "))]
pub struct UnknownDefect {
    /// The name as given.
    pub name: String,
}

impl FromStr for Defect {
    type Err = UnknownDefect;

    fn from_str(name: &str) -> Result<Self, UnknownDefect> {
        let found = Self::ALL.into_iter().find(|defect| defect.name() == name);
        found.ok_or_else(|| UnknownDefect { name: name.to_owned() })
    }
}

/// The defect of a controller, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distortion(Option<Defect>);

impl Distortion {
    pub(crate) const fn new(defect: Option<Defect>) -> Self {
        Self(defect)
    }

    /// Distorts what is observed.
    pub(crate) fn observed(self, mut observed: Observed, sandbox: &Sandbox, now: Timestamp) -> Observed {
        let past = sandbox.spec.pause_time.as_ref().is_some_and(|at| at.0 <= now);
        if self.0 == Some(Defect::PauseTimeBounces) && past && observed.goal == Goal::Running && !sandbox.spec.paused {
            observed.due = observed.due.or(Some(Due::Pause));
        }
        observed
    }

    /// Distorts what is decided.
    pub(crate) const fn decision(self, mut decision: Decision) -> Decision {
        match (self.0, decision.report, decision.effect) {
            (Some(Defect::ResumeStartsFresh), _, Some(Effect::StartFromCheckpoint)) => {
                decision.effect = Some(Effect::StartFresh);
            }
            (Some(Defect::PausedKeepsPod), Report::Stopping, _) => {
                decision.report = Report::Paused;
                decision.effect = None;
            }
            // The report that follows forgets the history, and the next pass starts.
            (Some(Defect::LostStateStartsFresh), Report::Failed(Fault::StateLost), _)
            | (Some(Defect::FailedRestoreStartsFresh), Report::RestoreFailed, _) => decision.report = Report::Starting,
            (Some(Defect::FailedPauseEndsPod), Report::PauseFailed, _) => {
                decision.report = Report::Stopping;
                decision.effect = Some(Effect::DeletePod);
            }
            _ => {}
        }
        decision
    }

    /// Distorts what is reported.
    pub(crate) fn status(self, before: &SandboxStatus, mut after: SandboxStatus, now: Timestamp) -> SandboxStatus {
        match self.0 {
            Some(Defect::PausedBeforePodGone) if after.phase == Some(Phase::Pausing) => {
                let since = conditions::find(before, ConditionType::Paused).filter(|paused| paused.status == "True");
                let now = since.map_or(now, |paused| paused.last_transition_time.0);
                after.phase = Some(Phase::Paused);
                conditions::set(
                    &mut after,
                    ConditionType::Paused,
                    (true, Reason::SnapshotPauseSucceed),
                    "paused",
                    now,
                );
            }
            Some(Defect::SecondCheckpointIgnored) => {
                if let Some(record) = &mut after.checkpoint {
                    record.generation = 1;
                }
            }
            Some(Defect::LostStateStartsFresh | Defect::FailedRestoreStartsFresh)
                if after.phase == Some(Phase::Pending) =>
            {
                (after.running_since, after.checkpoint, after.pod_info) = (None, None, None);
            }
            Some(Defect::ForgetsObservedGeneration) => {
                after.observed_generation = None;
                for condition in &mut after.conditions {
                    condition.observed_generation = None;
                }
            }
            Some(
                Defect::PausedBeforePodGone
                | Defect::PausedKeepsPod
                | Defect::ResumeStartsFresh
                | Defect::CheckpointLeaksOnDelete
                | Defect::PauseTimeBounces
                | Defect::LostStateStartsFresh
                | Defect::FailedRestoreStartsFresh
                | Defect::FailedPauseEndsPod,
            )
            | None => {}
        }
        after
    }

    /// Distorts what is removed.
    pub(crate) fn custodian(self, inner: Arc<dyn CheckpointCustodian>) -> Arc<dyn CheckpointCustodian> {
        match self.0 {
            Some(Defect::CheckpointLeaksOnDelete) => Arc::new(Careless {
                inner,
                keeps_older: false,
            }),
            Some(Defect::SecondCheckpointIgnored) => Arc::new(Careless {
                inner,
                keeps_older: true,
            }),
            Some(
                Defect::PausedBeforePodGone
                | Defect::PausedKeepsPod
                | Defect::ResumeStartsFresh
                | Defect::PauseTimeBounces
                | Defect::ForgetsObservedGeneration
                | Defect::LostStateStartsFresh
                | Defect::FailedRestoreStartsFresh
                | Defect::FailedPauseEndsPod,
            )
            | None => inner,
        }
    }
}

/// Says that it removed what it left.
struct Careless {
    inner: Arc<dyn CheckpointCustodian>,
    /// Whether it leaves older checkpoints; otherwise it leaves everything at the deletion.
    keeps_older: bool,
}

impl CheckpointCustodian for Careless {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        if self.keeps_older {
            self.inner.remove_all(sandbox_uid)
        } else {
            std::future::ready(Ok(())).boxed()
        }
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        if self.keeps_older {
            std::future::ready(Ok(())).boxed()
        } else {
            self.inner.remove_older_than(sandbox_uid, generation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_is_read_by_its_name_and_breaks_something() {
        for defect in Defect::ALL {
            assert_eq!(defect.name().parse(), Ok(defect));
            assert!(!defect.breaks().is_empty());
        }
        assert!(
            "none"
                .parse::<Defect>()
                .expect_err("unknown")
                .to_string()
                .contains("paused-before-pod-gone")
        );
    }
}
