//! What a call has begun, seen to its end, also when nobody waits for the answer any more: a resume gets
//! its timer or is withdrawn, a pause that failed gives back the timers that it took.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use torpor_api::{Phase, Sandbox};

use super::{Call, spec_patch};
use crate::{
    cluster::Written,
    goal::Goal,
    index::Settled,
    lifecycle::{Lifecycle, OnTimeout},
    state::{SandboxState, phase, running_since, state},
    timer::{Timers, end_of_run, end_of_this_run},
};

/// Writes that were overtaken by somebody else's before this is left to somebody else.
const ROUNDS: usize = 32;
/// What a run has left at least when a pause of it has failed.
const GRACE: Duration = Duration::from_mins(1);

impl Call {
    /// Waits for the run that was asked for with `generation`, however long it takes to serve, and gives
    /// it its timer or, if it fails, withdraws it; `armed` is what stands in for the timer meanwhile.
    pub(super) async fn see_up(self, generation: i64, armed: Timers, action: OnTimeout) -> Settled {
        let settled = self.gateway.index().settle(&self.id, Goal::Serving, generation).await;
        match settled {
            Settled::Reached(serving) => Settled::Reached(self.arm(serving, armed, action).await),
            Settled::Failed(reason) => {
                self.hold().await;
                Settled::Failed(reason)
            }
            Settled::Overtaken | Settled::Gone => settled,
        }
    }

    /// After a pause that failed: asks for a run again, with the timers of `before`. One that has run
    /// out meanwhile is put off a little: nobody is to lose what the pause was meant to keep.
    pub(super) async fn give_back(&self, before: &Sandbox) {
        let grace = end_of_run(self.gateway.now(), GRACE);
        let timers = Timers::of(&before.spec).put_off_to(grace, Lifecycle::of(before).on_timeout);
        let refused = |state: &SandboxState| matches!(state, SandboxState::PauseRefused { .. });
        self.correct(refused, spec_patch(false, timers)).await;
    }

    /// After a resume that failed: asks for a pause again, so that it is not tried again unasked
    /// and no timer of a run goes on.
    async fn hold(&self) {
        let failed = |state: &SandboxState| matches!(state, SandboxState::ResumeFailed { .. });
        self.correct(failed, spec_patch(true, Timers::NONE)).await;
    }

    /// Writes `patch` if the sandbox is still in the state that calls for it.
    async fn correct(&self, applies: impl Fn(&SandboxState) -> bool, patch: Value) {
        for _ in 0..ROUNDS {
            let written = match self.gateway.cluster().get(&self.id).await {
                Ok(Some(sandbox)) if applies(&state(&sandbox)) => self.write(&sandbox, patch.clone()).await,
                Ok(_) => return,
                Err(refusal) => Err(refusal),
            };
            match written {
                Ok(Written::Done(_)) => return,
                Ok(Written::Stale) => {}
                Err(refusal) => {
                    tracing::warn!(sandbox = %self.id, %refusal, "a failed call could not be withdrawn");
                    return;
                }
            }
        }
    }

    /// Gives the run that has just begun its exact end; `armed` is what stood in for it on the way up.
    pub(crate) async fn arm(&self, mut serving: Arc<Sandbox>, armed: Timers, action: OnTimeout) -> Arc<Sandbox> {
        for _ in 0..ROUNDS {
            let end = end_of_this_run(self.gateway.now(), self.timeout, running_since(&serving));
            let Some(timers) = Timers::of(&serving.spec).settled(armed, end, action) else {
                return serving;
            };
            match self.write(&serving, json!({ "spec": timers.patch() })).await {
                Ok(Written::Done(written)) => return Arc::new(*written),
                Ok(Written::Stale) => match self.gateway.cluster().get(&self.id).await {
                    Ok(Some(read)) if runs(&read) => serving = Arc::new(read),
                    Ok(_) | Err(_) => return serving,
                },
                Err(refusal) => {
                    tracing::warn!(sandbox = %self.id, %refusal, "the timeout is not what was asked for");
                    return serving;
                }
            }
        }
        serving
    }
}

/// Whether the run that has begun goes on, ready or not.
fn runs(sandbox: &Sandbox) -> bool {
    !sandbox.spec.paused && phase(sandbox) == Some(Phase::Running) && state(sandbox) != SandboxState::Terminating
}
