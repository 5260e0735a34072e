//! What a call still owes to its sandbox, and who sees to it: at first the call itself, and while the API server does not
//! answer a task behind it. Nobody waits for that, and nobody else would do it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use torpor_api::{Phase, Sandbox};

use super::{Call, ROUNDS, spec_patch};
use crate::{
    cluster::Written,
    lifecycle::{Lifecycle, OnTimeout},
    refusal::Refusal,
    state::{SandboxState, phase, running_since, state},
    timer::{Timers, end_of_run, outlives_its_run, settled},
};

/// What a run has left at least when a pause of it has failed.
const GRACE: Duration = Duration::from_mins(1);
/// For how long an API server is waited for that does not answer: as long as for a resume that does not come about.
const PATIENCE: Duration = Duration::from_mins(10);
/// The pause before the next try, at first and at most. It doubles.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// A write that is owed to a sandbox, as long as it is as the write is for.
#[derive(Clone, Debug)]
pub(super) enum Owed {
    /// A run with the timers that a pause took which has failed.
    TimersBack { timers: Timers, action: OnTimeout },
    /// A run, to a pause of somebody else that has failed.
    Withdrawal,
    /// A pause, to a resume that has failed.
    Hold,
    /// A pause, to a run that was lost and that its timer would delete.
    Keep,
    /// The timer of the run that began at `since`.
    Timer {
        since: Option<Timestamp>,
        armed: Timers,
        end: Timestamp,
        action: OnTimeout,
    },
}

impl Owed {
    /// The patch of `sandbox` at `now`, if it is owed to that.
    fn due(&self, sandbox: &Sandbox, now: Timestamp) -> Option<Value> {
        let refused = || matches!(state(sandbox), SandboxState::PauseRefused { .. });
        match self {
            Self::TimersBack { timers, action } => {
                refused().then(|| spec_patch(false, timers.put_off_to(end_of_run(now, GRACE), *action)))
            }
            Self::Withdrawal => refused().then(|| withdrawal(sandbox, now)),
            Self::Hold => {
                let failed = matches!(state(sandbox), SandboxState::ResumeFailed { .. });
                failed.then(|| spec_patch(true, Timers::NONE))
            }
            Self::Keep => outlives_its_run(sandbox).then(|| spec_patch(true, Timers::NONE)),
            Self::Timer {
                since,
                armed,
                end,
                action,
            } => {
                let goes_on = runs(sandbox) && running_since(sandbox) == *since;
                let timers = settled(sandbox, *armed, *end, *action).filter(|_| goes_on);
                timers.map(Timers::patch_for_good)
            }
        }
    }
}

/// What withdraws at `now` a pause of `sandbox` that failed: a run with the timers that are left, or with a new one. None
/// has run out or is about to: nobody is to lose what the pause was meant to keep.
pub(super) fn withdrawal(sandbox: &Sandbox, now: Timestamp) -> Value {
    let lifecycle = Lifecycle::of(sandbox);
    let left = Timers::of(&sandbox.spec).put_off_to(end_of_run(now, GRACE), lifecycle.on_timeout);
    let timers = if left == Timers::NONE {
        Timers::ending(end_of_run(now, lifecycle.wake_timeout()), lifecycle.on_timeout)
    } else {
        left
    };
    spec_patch(false, timers)
}

/// Whether the run that has begun goes on, ready or not.
pub(super) fn runs(sandbox: &Sandbox) -> bool {
    !sandbox.spec.paused && phase(sandbox) == Some(Phase::Running) && state(sandbox) != SandboxState::Terminating
}

impl Call {
    /// Sees to what is `owed` to the sandbox, which is as `known` if that is given. Returns the sandbox as it is then;
    /// nothing if it is gone, or if the API server does not answer: then it goes on behind who waits for this.
    pub(super) async fn owe(&self, owed: Owed, known: Option<Arc<Sandbox>>) -> Option<Arc<Sandbox>> {
        match self.pay(&owed, known).await {
            Ok(sandbox) => sandbox,
            Err(refusal) if is_passing(&refusal) => {
                let call = self.clone();
                self.gateway.see_to(async move { call.pay_later(&owed).await });
                None
            }
            Err(refusal) => {
                self.complain(&owed, &refusal);
                None
            }
        }
    }

    /// Tries again and again, ever later, for as long as the gateway follows its sandboxes.
    async fn pay_later(&self, owed: &Owed) {
        let (mut pause, longest) = PAUSES;
        let mut patience = PATIENCE;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.gateway.ended() => return,
            }
            match self.pay(owed, None).await {
                Ok(_) => return,
                Err(refusal) if is_passing(&refusal) && pause < patience => {
                    tracing::debug!(sandbox = %self.id, ?owed, %refusal, "what a call owes has to wait");
                }
                Err(refusal) => return self.complain(owed, &refusal),
            }
            patience = patience.saturating_sub(pause);
            pause = longest.min(pause * 2);
        }
    }

    /// Writes what is `owed`, if anything, to the sandbox as it is `known` or else read.
    async fn pay(&self, owed: &Owed, mut known: Option<Arc<Sandbox>>) -> Result<Option<Arc<Sandbox>>, Refusal> {
        for _ in 0..ROUNDS {
            let read = match known.take() {
                Some(known) => Some(known),
                None => self.gateway.cluster().get(&self.id).await?.map(Arc::new),
            };
            let Some(read) = read else {
                return Ok(None);
            };
            let Some(patch) = owed.due(&read, self.gateway.now()) else {
                return Ok(Some(read));
            };
            match self.write(&read, patch).await? {
                Written::Done(written) => return Ok(Some(Arc::new(*written))),
                Written::Stale => {}
            }
        }
        Err(self.changed_too_fast())
    }

    fn complain(&self, owed: &Owed, refusal: &Refusal) {
        tracing::warn!(sandbox = %self.id, ?owed, %refusal, "what a call owes to its sandbox could not be written");
    }
}

/// Whether the API server may take the same write later.
fn is_passing(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unavailable(_))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn at(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    /// A sandbox that runs since [`NOW`], whose pause was asked for if it is `paused`, and failed.
    fn running(paused: bool) -> Sandbox {
        let failed = json!({ "type": "SandboxPaused", "status": "False", "reason": "CheckpointFailed", "message": "",
            "observedGeneration": 1, "lastTransitionTime": "2024-01-01T00:00:00Z" });
        let object = json!({
            "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": { "name": "iabc", "generation": 1 },
            "spec": { "paused": paused },
            "status": { "phase": "Running", "runningSince": NOW.to_string(), "conditions": [failed] },
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn timers_that_have_run_out_until_they_can_be_given_back_are_put_off() {
        let action = OnTimeout::Kill;
        let owed = Owed::TimersBack {
            timers: Timers::ending(at(100), action),
            action,
        };
        for (now, end) in [(0, 100), (90, 150), (600, 660)] {
            let patch = spec_patch(false, Timers::ending(at(end), action));
            assert_eq!(owed.due(&running(true), at(now)), Some(patch), "at {now}");
        }
        assert_eq!(owed.due(&running(false), NOW), None, "somebody has withdrawn it");
    }

    #[test]
    fn a_timer_is_owed_to_its_own_run_only() {
        let owed = |since| Owed::Timer {
            since: Some(since),
            armed: Timers::NONE,
            end: at(9),
            action: OnTimeout::Kill,
        };
        let patch = Timers::ending(at(9), OnTimeout::Kill).patch_for_good();
        assert_eq!(owed(NOW).due(&running(false), NOW), Some(patch));
        assert_eq!(owed(at(-1)).due(&running(false), NOW), None);
        assert_eq!(owed(NOW).due(&running(true), NOW), None);
    }
}
