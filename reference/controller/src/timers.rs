//! Decides which timer of the spec has come due, and when the next one will.
//!
//! Timers are absolute times in the spec and are kept nowhere else, so they survive restarts.
//! A `pauseTime` counts only if it lies after the moment at which the run was asked for:
//! otherwise a resume by hand would be taken back at once. A `shutdownTime` that retains is no timer
//! once it has passed, but a state: the sandbox is held as if it were to be paused.

use std::time::Duration;

use jiff::Timestamp;
use torpor_api::{ConditionType, Phase, Sandbox, ShutdownPolicy};

use crate::conditions;
use crate::decide::Due;

/// What the timers of a sandbox say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// The timer that has come due. Shutdown wins over pause.
    pub due: Option<Due>,
    /// Time until the next one, none behind a shutdown.
    pub next: Option<Duration>,
}

/// Reads the timers of a sandbox at `now`.
#[must_use]
pub fn timers(sandbox: &Sandbox, now: Timestamp) -> Timers {
    let shutdown = sandbox.spec.shutdown_time.as_ref().map(|time| time.0);
    if expired(sandbox, now) {
        return Timers { due: None, next: None };
    }
    let pause = pause_time(sandbox);
    let until = |at: Timestamp| at.duration_since(now).unsigned_abs();
    if shutdown.is_some_and(|at| at <= now) {
        Timers {
            due: Some(Due::Shutdown),
            next: None,
        }
    } else if pause.is_some_and(|at| at <= now) {
        Timers {
            due: Some(Due::Pause),
            next: shutdown.map(until),
        }
    } else {
        let next = [shutdown, pause].into_iter().flatten().min();
        Timers {
            due: None,
            next: next.map(until),
        }
    }
}

/// Whether `shutdownTime` has passed for a sandbox that is to be retained.
pub(crate) fn expired(sandbox: &Sandbox, now: Timestamp) -> bool {
    match sandbox.spec.shutdown_policy {
        ShutdownPolicy::Delete => false,
        ShutdownPolicy::Retain => sandbox.spec.shutdown_time.as_ref().is_some_and(|at| at.0 <= now),
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
    use torpor_api::{Reason, SandboxSpec, SandboxStatus};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds_from_now: i64) -> Timestamp {
        Timestamp::from_second(NOW + seconds_from_now).expect("a time")
    }

    /// In `phase`, with a `pauseTime`.
    fn pausing_at(seconds: i64, phase: Option<Phase>) -> Sandbox {
        let spec = SandboxSpec {
            pause_time: Some(Time(at(seconds))),
            ..SandboxSpec::default()
        };
        let mut sandbox = Sandbox::new("one", spec);
        sandbox.status = Some(SandboxStatus {
            phase,
            ..SandboxStatus::default()
        });
        sandbox
    }

    fn resumed_at(sandbox: &mut Sandbox, seconds: i64) {
        let status = sandbox.status.get_or_insert_default();
        conditions::set(
            status,
            ConditionType::Resumed,
            (false, Reason::CreatePod),
            "",
            at(seconds),
        );
    }

    fn due(sandbox: &Sandbox) -> Option<Due> {
        timers(sandbox, at(0)).due
    }

    #[test]
    fn a_timer_is_due_at_its_very_moment_and_not_before() {
        let mut sandbox = pausing_at(0, None);
        assert_eq!(due(&sandbox), Some(Due::Pause));
        assert_eq!(
            timers(&sandbox, at(-1)),
            Timers {
                due: None,
                next: Some(Duration::from_secs(1))
            }
        );
        sandbox.spec.shutdown_time = Some(Time(at(0)));
        assert_eq!(due(&sandbox), Some(Due::Shutdown), "shutdown wins");
        sandbox.spec.shutdown_time = Some(Time(at(1)));
        assert_eq!(
            timers(&sandbox, at(-5)).next,
            Some(Duration::from_secs(5)),
            "the nearest is next"
        );
        let overdue = Timers {
            due: Some(Due::Pause),
            next: Some(Duration::from_secs(1)),
        };
        assert_eq!(
            timers(&sandbox, at(0)),
            overdue,
            "a pause that cannot be asked for puts off no shutdown"
        );
    }

    #[test]
    fn a_pause_time_counts_only_after_the_moment_at_which_the_run_was_asked_for() {
        for (phase, asked_for, counts) in [
            (Some(Phase::Running), -2, true),
            (Some(Phase::Running), -1, false),
            (Some(Phase::Resuming), -2, true),
            (Some(Phase::Resuming), -1, false),
            (Some(Phase::Pending), -2, true),
            (Some(Phase::Pending), -1, false),
            (None, -1, false),
            (Some(Phase::Pausing), -2, false),
            (Some(Phase::Paused), -2, false),
            (Some(Phase::Failed), -2, false),
            (Some(Phase::Terminating), -2, false),
        ] {
            let mut sandbox = pausing_at(-1, phase);
            sandbox.status.get_or_insert_default().running_since = Some(MicroTime(at(asked_for)));
            resumed_at(&mut sandbox, asked_for);
            assert_eq!(
                due(&sandbox) == Some(Due::Pause),
                counts,
                "{phase:?} asked for at {asked_for}"
            );
        }
        // A resume whose beginning nobody noted is not taken back.
        assert_eq!(due(&pausing_at(-1, Some(Phase::Resuming))), None);
        assert_eq!(due(&pausing_at(-1, Some(Phase::Pending))), Some(Due::Pause));
    }

    #[test]
    fn a_pause_that_was_asked_for_or_is_being_called_off_is_not_asked_for_by_time() {
        let mut asked = pausing_at(-1, Some(Phase::Running));
        asked.spec.paused = true;
        assert_eq!(timers(&asked, at(0)), Timers { due: None, next: None });
        let mut called_off = pausing_at(-1, Some(Phase::Running));
        called_off.status.get_or_insert_default().conditions = vec![Condition {
            type_: ConditionType::Paused.as_str().to_owned(),
            status: "False".to_owned(),
            reason: Reason::CheckpointCreating.as_str().to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(-10)),
        }];
        assert_eq!(due(&called_off), None);
    }

    #[test]
    fn a_shutdown_that_retains_is_no_timer_once_it_has_passed() {
        let mut sandbox = pausing_at(-1, Some(Phase::Running));
        sandbox.spec.shutdown_policy = ShutdownPolicy::Retain;
        sandbox.spec.shutdown_time = Some(Time(at(0)));
        assert!(expired(&sandbox, at(0)));
        assert_eq!(timers(&sandbox, at(0)), Timers { due: None, next: None });
        let before = at(0) - SignedDuration::from_secs(3);
        assert!(!expired(&sandbox, before));
        sandbox.spec.pause_time = None;
        assert_eq!(timers(&sandbox, before).next, Some(Duration::from_secs(3)));
        sandbox.spec.shutdown_policy = ShutdownPolicy::Delete;
        assert!(!expired(&sandbox, at(0)));
    }
}
