//! Decides which timer of the spec has come due, and when the next one will.
//!
//! Timers are absolute times in the spec and are kept nowhere else, so they survive restarts.
//! A `pauseTime` counts only if it lies after the moment at which the run was asked for:
//! otherwise a resume by hand would be taken back at once.

use std::time::Duration;

use jiff::Timestamp;
use torpor_api::{ConditionType, Phase, Sandbox};

use crate::conditions;
use crate::decide::Due;

/// What the timers of a sandbox say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The timer that has come due. Shutdown wins over pause.
    pub due: Option<Due>,
    /// Time until the next one, if none is due.
    pub next: Option<Duration>,
}

/// Reads the timers of a sandbox at `now`.
#[must_use]
pub fn timers(sandbox: &Sandbox, now: Timestamp) -> Timers {
    let shutdown = sandbox.spec.shutdown_time.as_ref().map(|time| time.0);
    let pause = pause_time(sandbox);
    if shutdown.is_some_and(|at| at <= now) {
        Timers {
            due: Some(Due::Shutdown),
            next: None,
        }
    } else if pause.is_some_and(|at| at <= now) {
        Timers {
            due: Some(Due::Pause),
            next: None,
        }
    } else {
        let next = [shutdown, pause].into_iter().flatten().min();
        Timers {
            due: None,
            next: next.map(|at| at.duration_since(now).unsigned_abs()),
        }
    }
}

/// The pause time, if it counts.
fn pause_time(sandbox: &Sandbox) -> Option<Timestamp> {
    let at = sandbox.spec.pause_time.as_ref()?.0;
    let status = sandbox.status.clone().unwrap_or_default();
    // While a pause is being called off it still has its condition.
    if sandbox.spec.paused || conditions::find(&status, ConditionType::Paused).is_some() {
        return None;
    }
    let resumed =
        || conditions::find(&status, ConditionType::Resumed).map(|condition| condition.last_transition_time.0);
    let asked_for = match status.phase {
        None | Some(Phase::Pending) => resumed(),
        Some(Phase::Resuming) => Some(resumed()?),
        Some(Phase::Running) => status.running_since.as_ref().map(|time| time.0),
        Some(Phase::Pausing | Phase::Paused | Phase::Failed | Phase::Terminating) => return None,
    };
    asked_for.is_none_or(|asked_for| at > asked_for).then_some(at)
}
