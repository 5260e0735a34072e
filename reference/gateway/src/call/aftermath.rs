//! What a call has begun, seen to its end, also when nobody waits for the answer any more: a resume gets
//! its timer or is withdrawn, a pause that failed gives back the timers that it took.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use torpor_api::{Phase, Sandbox};

use super::{Call, FOLLOW, ROUNDS, spec_patch};
use crate::{
    cluster::Written,
    goal::Goal,
    index::Settled,
    lifecycle::{Lifecycle, OnTimeout},
    state::{SandboxState, phase, running_since, state},
    timer::{Timers, end_of_run, end_of_this_run, outlives_its_run, settled},
};

/// What a run has left at least when a pause of it has failed.
const GRACE: Duration = Duration::from_mins(1);

impl Call {
    /// Waits for the run that was asked for with `generation`, however long it takes to serve, and gives
    /// it its timer or, if it fails, withdraws it. What stands in for the timer meanwhile is noted as that.
    pub(super) async fn see_up(self, generation: i64, action: OnTimeout) -> Settled {
        let settled = self.gateway.index().settle(&self.id, Goal::Serving, generation).await;
        match settled {
            Settled::Reached(serving) => Settled::Reached(self.arm(serving, Timers::NONE, action).await),
            Settled::Failed(reason) => {
                self.hold().await;
                Settled::Failed(reason)
            }
            Settled::Overtaken | Settled::Gone => settled,
        }
    }

    /// Waits for the pause that was asked for with `generation`, however long it takes, and if it fails
    /// gives back the timers of `before`.
    pub(super) async fn see_down(self, generation: i64, before: Sandbox) -> Settled {
        let settled = self.gateway.index().settle(&self.id, Goal::Paused, generation).await;
        if let Settled::Failed(_) = settled {
            self.give_back(&before).await;
        }
        settled
    }

    /// After a pause that failed: asks for a run again, with the timers of `before`. One that has run
    /// out meanwhile is put off a little: nobody is to lose what the pause was meant to keep.
    async fn give_back(&self, before: &Sandbox) {
        let patch = spec_patch(false, self.put_off(before));
        self.correct(|read| is_refused(read).then(|| patch.clone())).await;
    }

    /// After a pause that somebody else asked for and that failed, `joined` as it was then: sees to it
    /// that a run is asked for again.
    pub(super) async fn withdraw_of_another(&self, joined: &Sandbox) {
        if !self.is_given_back(joined).await {
            self.correct(|read| is_refused(read).then(|| self.withdrawal(read)))
                .await;
        }
    }

    /// Whether who asked for the pause of `sandbox` has withdrawn it: a call of a gateway takes the timers,
    /// and nobody else knows them. It is waited for, but not for long: it may have ended with its gateway.
    pub(super) async fn is_given_back(&self, sandbox: &Sandbox) -> bool {
        let index = self.gateway.index();
        let withdrawn = async {
            index.caught_up_with(&self.id, sandbox).await;
            index.withdrawn(&self.id).await;
        };
        Timers::of(&sandbox.spec) == Timers::NONE && tokio::time::timeout(FOLLOW, withdrawn).await.is_ok()
    }

    /// What withdraws a pause of `sandbox` that failed: a run with the timers that are left, or with a new one.
    pub(super) fn withdrawal(&self, sandbox: &Sandbox) -> Value {
        let timers = self.put_off(sandbox);
        if timers != Timers::NONE {
            return spec_patch(false, timers);
        }
        let lifecycle = Lifecycle::of(sandbox);
        let end = end_of_run(self.gateway.now(), lifecycle.wake_timeout());
        spec_patch(false, Timers::ending(end, lifecycle.on_timeout))
    }

    /// The timers of `sandbox`, but none that has run out or is about to.
    fn put_off(&self, sandbox: &Sandbox) -> Timers {
        let grace = end_of_run(self.gateway.now(), GRACE);
        Timers::of(&sandbox.spec).put_off_to(grace, Lifecycle::of(sandbox).on_timeout)
    }

    /// After a resume that failed: asks for a pause again, so that it is not tried again unasked
    /// and no timer of a run goes on.
    async fn hold(&self) {
        let failed = |read: &Sandbox| matches!(state(read), SandboxState::ResumeFailed { .. });
        self.correct(|read| failed(read).then(|| spec_patch(true, Timers::NONE)))
            .await;
    }

    /// After a run that was lost: asks for a pause without timers, as after any resume that failed.
    pub(crate) async fn keep(&self) {
        self.correct(|read| outlives_its_run(read).then(|| spec_patch(true, Timers::NONE)))
            .await;
    }

    /// Writes what `patch` makes of the sandbox as it is read, unless that is nothing.
    async fn correct(&self, patch: impl Fn(&Sandbox) -> Option<Value>) {
        for _ in 0..ROUNDS {
            let written = match self.gateway.cluster().get(&self.id).await {
                Ok(Some(sandbox)) => match patch(&sandbox) {
                    Some(patch) => self.write(&sandbox, patch).await,
                    None => return,
                },
                Ok(None) => return,
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

    /// Gives the run that has just begun its exact end; `armed` is what stood in for it on the way up, where that is not
    /// noted.
    pub(crate) async fn arm(&self, mut serving: Arc<Sandbox>, armed: Timers, action: OnTimeout) -> Arc<Sandbox> {
        for _ in 0..ROUNDS {
            let end = end_of_this_run(self.gateway.now(), self.timeout, running_since(&serving));
            let Some(timers) = settled(&serving, armed, end, action) else {
                return serving;
            };
            match self.write(&serving, timers.patch_for_good()).await {
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

fn is_refused(sandbox: &Sandbox) -> bool {
    matches!(state(sandbox), SandboxState::PauseRefused { .. })
}

/// Whether the run that has begun goes on, ready or not.
fn runs(sandbox: &Sandbox) -> bool {
    !sandbox.spec.paused && phase(sandbox) == Some(Phase::Running) && state(sandbox) != SandboxState::Terminating
}
