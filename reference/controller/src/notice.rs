//! Decides what people are told when a status changes: one notice for each step, at its completion.

use kube::runtime::events::{Event, EventType};
use torpor_api::{ConditionType, Phase, Reason, SandboxStatus};

use crate::conditions;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// Whether something went wrong.
    pub(crate) warning: bool,
    /// One word for machines.
    pub(crate) reason: &'static str,
    /// What was done, one word.
    pub(crate) action: &'static str,
    /// What happened, for people.
    pub(crate) text: String,
}

impl Notice {
    /// The Kubernetes Event of this notice.
    pub(crate) fn event(&self) -> Event {
        Event {
            type_: if self.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: self.reason.to_owned(),
            // The API takes at most 1024 bytes.
            note: Some(self.text.chars().take(250).collect()),
            action: self.action.to_owned(),
            secondary: None,
        }
    }

    /// Logs this notice.
    pub(crate) fn log(&self) {
        if self.warning {
            tracing::warn!(reason = self.reason, "{}", self.text);
        } else {
            tracing::info!(reason = self.reason, "{}", self.text);
        }
    }
}

/// What to tell of the change from one status to the next.
pub(crate) fn notices(before: &SandboxStatus, after: &SandboxStatus) -> Vec<Notice> {
    let notices = [
        sealed(before, after),
        lost(before, after),
        unserved(before, after),
        arrived(before, after),
        failed(before, after),
    ];
    notices.into_iter().flatten().collect()
}

fn sealed(before: &SandboxStatus, after: &SandboxStatus) -> Option<Notice> {
    let record = after.checkpoint.as_ref().filter(|_| before.checkpoint.is_none())?;
    let (generation, size, stored) = (record.generation, record.size_bytes, record.stored_bytes);
    let text = format!("checkpoint {generation} is sealed: {size} bytes of context, {stored} bytes added to the store");
    Some(normal("CheckpointSealed", "Checkpoint", text))
}

/// A fresh start over lost context is told every time.
fn lost(before: &SandboxStatus, after: &SandboxStatus) -> Option<Notice> {
    let message = said_anew(before, after, ConditionType::ContextLost)?;
    Some(warning(Reason::PodRecreated.as_str(), "Start", message))
}

fn unserved(before: &SandboxStatus, after: &SandboxStatus) -> Option<Notice> {
    let message = said_anew(before, after, ConditionType::ServiceProvided)?;
    Some(warning(Reason::ServiceOwnerMismatch.as_str(), "Provide", message))
}

/// The message of a condition that is there only when there is something to tell, unless it said so before.
fn said_anew(before: &SandboxStatus, after: &SandboxStatus, kind: ConditionType) -> Option<String> {
    let text = |status| conditions::find(status, kind).map(|condition| condition.message.clone());
    text(after).filter(|message| text(before).as_ref() != Some(message))
}

fn arrived(before: &SandboxStatus, after: &SandboxStatus) -> Option<Notice> {
    if before.phase == after.phase {
        return None;
    }
    match after.phase? {
        Phase::Running if before.phase != Some(Phase::Resuming) => {
            Some(normal("SandboxStarted", "Start", "the sandbox serves".to_owned()))
        }
        Phase::Running => before.checkpoint.as_ref().map_or_else(
            || {
                Some(normal(
                    "SandboxServes",
                    "Thaw",
                    "the pause was undone, the sandbox serves on".to_owned(),
                ))
            },
            |record| {
                Some(normal(
                    "SandboxResumed",
                    "Resume",
                    format!("the sandbox serves again, from checkpoint {}", record.generation),
                ))
            },
        ),
        Phase::Paused => Some(normal("SandboxPaused", "Pause", paused_text(after))),
        Phase::Pending | Phase::Pausing | Phase::Resuming | Phase::Failed | Phase::Terminating => None,
    }
}

fn paused_text(after: &SandboxStatus) -> String {
    match &after.checkpoint {
        Some(record) => format!(
            "the sandbox is paused: checkpoint {} is kept and no Pod is left",
            record.generation
        ),
        None => "the sandbox is paused: it never served, nothing was to be kept, and no Pod is left".to_owned(),
    }
}

/// What went wrong is told once, when its reason appears or its text changes.
fn failed(before: &SandboxStatus, after: &SandboxStatus) -> Option<Notice> {
    const TROUBLE: [(ConditionType, Reason, &str); 8] = [
        (ConditionType::Paused, Reason::CheckpointFailed, "Pause"),
        (ConditionType::Resumed, Reason::RestoreFailed, "Resume"),
        (ConditionType::Ready, Reason::StateLost, "Run"),
        (ConditionType::Ready, Reason::TemplateInvalid, "Start"),
        (ConditionType::Ready, Reason::PodOwnerMismatch, "Start"),
        (ConditionType::Ready, Reason::PodCreateFailed, "Start"),
        (ConditionType::Ready, Reason::ClaimOwnerMismatch, "Start"),
        (ConditionType::Ready, Reason::ClaimLost, "Start"),
    ];
    let message = after.message.clone()?;
    if before.message.as_ref() == Some(&message) {
        return None;
    }
    for (kind, reason, action) in TROUBLE {
        if conditions::has_reason(after, kind, reason) {
            return Some(warning(reason.as_str(), action, message));
        }
    }
    match after.phase {
        Some(Phase::Terminating) => Some(warning("RemovalFailed", "Delete", message)),
        Some(Phase::Failed) => Some(warning("StartFailed", "Start", message)),
        Some(Phase::Pending | Phase::Running | Phase::Pausing | Phase::Paused | Phase::Resuming) | None => None,
    }
}

fn normal(reason: &'static str, action: &'static str, text: String) -> Notice {
    Notice {
        warning: false,
        reason,
        action,
        text,
    }
}

fn warning(reason: &'static str, action: &'static str, text: String) -> Notice {
    Notice {
        warning: true,
        reason,
        action,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::record;

    fn at(phase: Phase, generation: Option<u64>) -> SandboxStatus {
        SandboxStatus {
            phase: Some(phase),
            checkpoint: generation.map(record),
            ..SandboxStatus::default()
        }
    }

    #[test]
    fn what_a_step_came_to_is_told_at_its_completion() {
        use Phase as P;
        let undone = "the pause was undone, the sandbox serves on";
        let never = "the sandbox is paused: it never served, nothing was to be kept, and no Pod is left";
        let kept = "the sandbox is paused: checkpoint 2 is kept and no Pod is left";
        let sealed = "checkpoint 2 is sealed: 10 bytes of context, 5 bytes added to the store";
        for (before, after, expected) in [
            (
                at(P::Pending, None),
                at(P::Running, None),
                "SandboxStarted: the sandbox serves",
            ),
            (
                at(P::Pausing, None),
                at(P::Pausing, Some(2)),
                &format!("CheckpointSealed: {sealed}"),
            ),
            (
                at(P::Pausing, Some(2)),
                at(P::Paused, Some(2)),
                &format!("SandboxPaused: {kept}"),
            ),
            (
                at(P::Pausing, None),
                at(P::Paused, None),
                &format!("SandboxPaused: {never}"),
            ),
            (
                at(P::Resuming, Some(2)),
                at(P::Running, None),
                "SandboxResumed: the sandbox serves again, from checkpoint 2",
            ),
            (
                at(P::Resuming, None),
                at(P::Running, None),
                &format!("SandboxServes: {undone}"),
            ),
        ] {
            let told = notices(&before, &after).into_iter().map(|it| {
                assert!(!it.warning, "{it:?}");
                format!("{}: {}", it.reason, it.text)
            });
            assert_eq!(told.collect::<Vec<_>>(), [expected]);
            assert_eq!(notices(&after, &after), []);
        }
    }
}
