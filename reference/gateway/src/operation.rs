//! The table of the E2B face: what a call does to a sandbox in each state.
//!
//! [`decide`] names one step. Whoever carries it out reads the sandbox again afterwards and asks
//! again, until the step is an answer. No I/O, no clock.

use crate::state::SandboxState;

/// A call on one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `POST …/pause`
    Pause,
    /// `POST …/connect`, and a wake by traffic.
    Connect,
    /// `POST …/resume`
    Resume,
    /// `POST …/timeout`
    SetTimeout,
    /// `POST …/refreshes`
    Refresh,
    /// `DELETE`
    Kill,
    /// `GET`, and every call that only reads.
    Read,
}

/// The next thing to do for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Step {
    /// Ask for a pause without timers, wait until it is complete, answer.
    Pause,
    /// Wait until the pause that somebody asked for is complete, answer.
    JoinPause,
    /// Wait until the pause has ended, either way; decide again.
    AwaitPauseEnd,
    /// Ask for a run with a new timer, wait until it serves, answer that it was resumed.
    Resume,
    /// Wait until it serves; decide again.
    AwaitServing,
    /// Withdraw a pause that failed, so that it is not tried again unasked; decide again.
    WithdrawPause,
    /// Move the timer to a later time if the call's is later, answer.
    Extend,
    /// Set the timer, answer.
    SetTimer,
    /// Delete the object, answer.
    Delete,
    /// Answer what it looks like.
    Show,
    /// Answer that this cannot be.
    Refuse(Conflict),
}

/// Why the state of a sandbox rules a call out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// There is no such sandbox for this call.
    NotFound,
    /// A pause of a paused sandbox.
    AlreadyPaused,
    /// A resume of a running sandbox.
    AlreadyRunning,
    /// A timer for a sandbox that is about to have none.
    BeingPaused,
    /// The sandbox needs a person.
    Broken(String),
}

/// What `operation` does next to a sandbox in `state`.
pub(crate) fn decide(operation: Operation, state: &SandboxState) -> Step {
    match operation {
        Operation::Pause => pause(state),
        Operation::Connect => connect(state),
        Operation::Resume => match connect(state) {
            Step::Extend => Step::Refuse(Conflict::AlreadyRunning),
            step => step,
        },
        Operation::SetTimeout => timer(state, Step::SetTimer),
        Operation::Refresh => timer(state, Step::Extend),
        Operation::Kill => kill(state),
        Operation::Read => read(state),
    }
}

fn pause(state: &SandboxState) -> Step {
    match state {
        // A pause now could only undo the start or the restore: it would keep nothing, or be undone by it.
        SandboxState::Starting | SandboxState::Resuming => Step::AwaitServing,
        // After a failed restore the specification still asks for a run: a pause withdraws that.
        SandboxState::Serving | SandboxState::ResumeFailed { .. } => Step::Pause,
        SandboxState::Pausing => Step::JoinPause,
        SandboxState::Paused => Step::Refuse(Conflict::AlreadyPaused),
        SandboxState::PauseRefused { .. } => Step::WithdrawPause,
        SandboxState::Failed { reason } => Step::Refuse(Conflict::Broken(reason.clone())),
        SandboxState::Terminating => Step::Refuse(Conflict::NotFound),
    }
}

fn connect(state: &SandboxState) -> Step {
    match state {
        SandboxState::Starting | SandboxState::Resuming => Step::AwaitServing,
        SandboxState::Serving => Step::Extend,
        SandboxState::Pausing => Step::AwaitPauseEnd,
        SandboxState::Paused | SandboxState::ResumeFailed { .. } => Step::Resume,
        SandboxState::PauseRefused { .. } => Step::WithdrawPause,
        SandboxState::Failed { reason } => Step::Refuse(Conflict::Broken(reason.clone())),
        SandboxState::Terminating => Step::Refuse(Conflict::NotFound),
    }
}

fn timer(state: &SandboxState, step: Step) -> Step {
    match state {
        // A broken sandbox may still be given an end.
        SandboxState::Starting | SandboxState::Serving | SandboxState::Resuming | SandboxState::Failed { .. } => step,
        // A write that leaves the pause asked for has it tried again, at once.
        SandboxState::PauseRefused { .. } => Step::WithdrawPause,
        SandboxState::Pausing => Step::Refuse(Conflict::BeingPaused),
        SandboxState::Paused | SandboxState::ResumeFailed { .. } | SandboxState::Terminating => {
            Step::Refuse(Conflict::NotFound)
        }
    }
}

fn kill(state: &SandboxState) -> Step {
    match state {
        SandboxState::Starting
        | SandboxState::Serving
        | SandboxState::Pausing
        | SandboxState::Paused
        | SandboxState::Resuming
        | SandboxState::PauseRefused { .. }
        | SandboxState::ResumeFailed { .. }
        | SandboxState::Failed { .. } => Step::Delete,
        SandboxState::Terminating => Step::Refuse(Conflict::NotFound),
    }
}

fn read(state: &SandboxState) -> Step {
    if visible(state).is_some() {
        Step::Show
    } else {
        Step::Refuse(Conflict::NotFound)
    }
}

/// The two states that E2B shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Visible {
    Running,
    Paused,
}

/// How a sandbox in `state` is shown, if it is: one that never served is not there yet, a broken or
/// terminating one is not there any more.
pub(crate) const fn visible(state: &SandboxState) -> Option<Visible> {
    match state {
        SandboxState::Serving | SandboxState::Resuming | SandboxState::PauseRefused { .. } => Some(Visible::Running),
        SandboxState::Pausing | SandboxState::Paused | SandboxState::ResumeFailed { .. } => Some(Visible::Paused),
        SandboxState::Starting | SandboxState::Failed { .. } | SandboxState::Terminating => None,
    }
}

#[cfg(test)]
mod tests;
