//! From the change of a status to the spans of time that begin and end with it. Pure.
//!
//! ```text
//!  pause   ├─────────── checkpoint ───────────┼── release ──┤
//!          Pausing                            on record     Paused
//!  resume  ├── restore ──┤        start  ├── start ──┤
//!          Resuming      Running         Pending     Running
//! ```

use torpor_api::{ConditionType, Phase, Reason, SandboxStatus};

use crate::conditions;

/// A span of time in the life of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    /// From the request to pause until no Pod is left.
    Pause,
    /// The first part of a pause: until the checkpoint is on record.
    Checkpoint,
    /// The second part of a pause: until the Pod is gone.
    Release,
    /// From the request to resume until it serves.
    Resume,
    /// From the creation until it serves.
    Start,
}

impl Span {
    /// One word for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Checkpoint => "checkpoint",
            Self::Release => "release",
            Self::Resume => "resume",
            Self::Start => "start",
        }
    }

    /// The span that it is a part of.
    pub(crate) const fn whole(self) -> Option<Self> {
        match self {
            Self::Checkpoint | Self::Release => Some(Self::Pause),
            Self::Pause | Self::Resume | Self::Start => None,
        }
    }
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

/// What a change of the status means for the spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Begin(Span),
    /// Ends the span, if it had begun.
    End(Span, Outcome),
    /// Every span that had begun ends in a failure.
    FailAll,
    /// Every span that had begun has become meaningless.
    Forget,
}

/// What the change from one status to the next means for the spans.
pub(crate) fn marks(before: &SandboxStatus, after: &SandboxStatus) -> Vec<Mark> {
    let newly =
        |kind, reason| conditions::has_reason(after, kind, reason) && !conditions::has_reason(before, kind, reason);
    if newly(ConditionType::Paused, Reason::CheckpointFailed) || newly(ConditionType::Resumed, Reason::RestoreFailed) {
        return vec![Mark::FailAll];
    }
    let mut marks = Vec::new();
    if before.checkpoint.is_none() && after.checkpoint.is_some() {
        marks.extend([
            Mark::End(Span::Checkpoint, Outcome::Success),
            Mark::Begin(Span::Release),
        ]);
    }
    if before.phase != after.phase {
        marks.extend(arrival(before, after));
    }
    marks
}

fn arrival(before: &SandboxStatus, after: &SandboxStatus) -> Vec<Mark> {
    match after.phase {
        None => Vec::new(),
        Some(Phase::Pending) if before.phase.is_none() => vec![Mark::Begin(Span::Start)],
        Some(Phase::Pending) => vec![Mark::Forget, Mark::Begin(Span::Start)],
        Some(Phase::Pausing) if after.checkpoint.is_none() => {
            vec![Mark::Forget, Mark::Begin(Span::Pause), Mark::Begin(Span::Checkpoint)]
        }
        Some(Phase::Pausing) => vec![Mark::Forget, Mark::Begin(Span::Pause), Mark::Begin(Span::Release)],
        Some(Phase::Resuming) => vec![Mark::Forget, Mark::Begin(Span::Resume)],
        Some(Phase::Paused) => [Span::Release, Span::Pause]
            .map(succeeded)
            .into_iter()
            .chain([Mark::Forget])
            .collect(),
        Some(Phase::Running) => [Span::Resume, Span::Start]
            .map(succeeded)
            .into_iter()
            .chain([Mark::Forget])
            .collect(),
        Some(Phase::Failed) => vec![Mark::FailAll],
        Some(Phase::Terminating) => vec![Mark::Forget],
    }
}

const fn succeeded(span: Span) -> Mark {
    Mark::End(span, Outcome::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_is_called_off_is_neither_a_success_nor_a_failure() {
        let at = |phase| SandboxStatus {
            phase: Some(phase),
            ..SandboxStatus::default()
        };
        let called_off = marks(&at(Phase::Pausing), &at(Phase::Resuming));
        assert_eq!(called_off, [Mark::Forget, Mark::Begin(Span::Resume)]);
        assert_eq!(marks(&at(Phase::Running), &at(Phase::Running)), []);
    }
}
