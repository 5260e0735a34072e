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
    use crate::example::record;

    fn at(phase: Phase) -> SandboxStatus {
        SandboxStatus {
            phase: Some(phase),
            ..SandboxStatus::default()
        }
    }

    fn kept(phase: Phase) -> SandboxStatus {
        SandboxStatus {
            checkpoint: Some(record(1)),
            ..at(phase)
        }
    }

    #[test]
    fn a_pause_ends_in_success_only_where_no_pod_is_left_and_its_parts_meet_at_the_record() {
        use {Mark as M, Outcome::Success, Phase as P, Span as S};
        for (before, after, expected) in [
            (
                at(P::Running),
                at(P::Pausing),
                vec![M::Forget, M::Begin(S::Pause), M::Begin(S::Checkpoint)],
            ),
            (at(P::Pausing), at(P::Pausing), vec![]),
            (
                at(P::Pausing),
                kept(P::Pausing),
                vec![M::End(S::Checkpoint, Success), M::Begin(S::Release)],
            ),
            (kept(P::Pausing), kept(P::Pausing), vec![]),
            (
                kept(P::Pausing),
                kept(P::Paused),
                vec![M::End(S::Release, Success), M::End(S::Pause, Success), M::Forget],
            ),
            // A resume that is called off: there is nothing to write.
            (
                kept(P::Resuming),
                kept(P::Pausing),
                vec![M::Forget, M::Begin(S::Pause), M::Begin(S::Release)],
            ),
        ] {
            assert_eq!(marks(&before, &after), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_resume_and_a_first_start_end_in_success_only_where_it_serves() {
        use {Mark as M, Outcome::Success, Phase as P, Span as S};
        let serves = vec![M::End(S::Resume, Success), M::End(S::Start, Success), M::Forget];
        for (before, after, expected) in [
            (SandboxStatus::default(), at(P::Pending), vec![M::Begin(S::Start)]),
            // Context was lost, and it begins afresh.
            (at(P::Running), at(P::Pending), vec![M::Forget, M::Begin(S::Start)]),
            (at(P::Pending), at(P::Running), serves.clone()),
            (kept(P::Paused), kept(P::Resuming), vec![M::Forget, M::Begin(S::Resume)]),
            (kept(P::Resuming), at(P::Running), serves),
            (at(P::Running), at(P::Running), vec![]),
        ] {
            assert_eq!(marks(&before, &after), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_pause_that_is_called_off_is_neither_a_success_nor_a_failure() {
        let called_off = marks(&at(Phase::Pausing), &at(Phase::Resuming));
        assert_eq!(called_off, [Mark::Forget, Mark::Begin(Span::Resume)]);
        assert_eq!(marks(&at(Phase::Pausing), &at(Phase::Terminating)), [Mark::Forget]);
    }

    #[test]
    fn a_failure_ends_whatever_is_under_way_and_counts_once() {
        let with = |phase, kind: ConditionType, reason: Reason| {
            let mut status = at(phase);
            conditions::set(&mut status, kind, (false, reason), "", jiff::Timestamp::UNIX_EPOCH);
            status
        };
        for (kind, reason) in [
            (ConditionType::Paused, Reason::CheckpointFailed),
            (ConditionType::Resumed, Reason::RestoreFailed),
        ] {
            let failed = with(Phase::Resuming, kind, reason);
            assert_eq!(marks(&at(Phase::Pausing), &failed), [Mark::FailAll], "{reason:?}");
            assert_eq!(marks(&failed, &failed), [], "{reason:?} is no news");
        }
        assert_eq!(marks(&at(Phase::Running), &at(Phase::Failed)), [Mark::FailAll]);
    }

    #[test]
    fn parts_are_of_a_pause_and_every_span_has_its_own_name() {
        let all = [Span::Pause, Span::Checkpoint, Span::Release, Span::Resume, Span::Start];
        assert_eq!(
            all.map(Span::name),
            ["pause", "checkpoint", "release", "resume", "start"]
        );
        let pause = Some(Span::Pause);
        assert_eq!(all.map(Span::whole), [None, pause, pause, None, None]);
    }
}
