//! Carries out a call on one sandbox: reads it, takes the step that [`decide`] names, and again, until
//! the step is an answer.
//!
//! ```text
//!  read ──▶ decide ──▶ write ──▶ wait ──▶ answer
//!   ▲          │         │ stale   │
//!   └──────────┴─────────┴─────────┘ decide again
//! ```

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use serde_json::{Value, json};
use torpor_api::{Sandbox, annotation};

use crate::{
    Gateway,
    cluster::Written,
    goal::Goal,
    id::SandboxId,
    index::Settled,
    lifecycle::{Lifecycle, OnTimeout},
    operation::{Operation, Step, decide},
    refusal::Refusal,
    state::{SandboxState, progress_note, running_since, state},
    timer::{Timers, end_of_run, end_of_this_run},
};

/// Writes that were overtaken by somebody else's before a call gives up.
const ROUNDS: usize = 32;
/// How long is waited for the index to follow what is known of a sandbox, so that a list and traffic
/// are right that come after it.
pub(crate) const FOLLOW: Duration = Duration::from_secs(2);
/// What a run has left at least when a pause of it has failed.
const GRACE: Duration = Duration::from_mins(1);

/// A call on one sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) gateway: Gateway,
    pub(crate) id: SandboxId,
    pub(crate) operation: Operation,
    /// Of the operations that have one; else zero.
    pub(crate) timeout: Duration,
    /// What to do at the timeout from now on, where the call changes that.
    pub(crate) on_timeout: Option<OnTimeout>,
}

/// How a call was answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There is nothing more to say.
    Done,
    /// It is as it was, but for its timer.
    Present(Arc<Sandbox>),
    /// It was paused, and this call resumed it.
    Resumed(Arc<Sandbox>),
}

impl Call {
    /// A call of `operation` on the sandbox `id`, without a timeout.
    pub(crate) fn new(gateway: &Gateway, id: SandboxId, operation: Operation) -> Self {
        Self {
            gateway: gateway.clone(),
            id,
            operation,
            timeout: Duration::ZERO,
            on_timeout: None,
        }
    }

    /// The same call with a timeout.
    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Carries the call out to its end, even if the caller hangs up meanwhile: a pause that fails
    /// has to be withdrawn by somebody.
    pub(crate) async fn run(self) -> Result<Outcome, Refusal> {
        let crashed = |error: tokio::task::JoinError| Err(Refusal::Internal(error.to_string()));
        tokio::spawn(async move { self.carry_out().await })
            .await
            .unwrap_or_else(crashed)
    }

    async fn carry_out(&self) -> Result<Outcome, Refusal> {
        self.gateway.ready().await?;
        for _ in 0..ROUNDS {
            let sandbox = self.gateway.cluster().get(&self.id).await?;
            let sandbox = sandbox.ok_or_else(|| Refusal::SandboxNotFound(self.id.to_string()))?;
            let step = decide(self.operation, &state(&sandbox));
            tracing::debug!(sandbox = %self.id, operation = ?self.operation, ?step, "decided");
            if let ControlFlow::Break(outcome) = self.take(step, sandbox).await? {
                return Ok(outcome);
            }
        }
        Err(Refusal::Unavailable(format!(
            "sandbox {} is changed faster than it can be read",
            self.id
        )))
    }

    async fn take(&self, step: Step, sandbox: Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        match step {
            Step::Pause => self.pause(&sandbox).await,
            Step::JoinPause => self.join_pause(&sandbox).await.map(ControlFlow::Break),
            Step::AwaitPauseEnd => {
                // Whatever came of it is read and judged next.
                self.settle(Goal::PauseEnded, &sandbox).await?;
                Ok(ControlFlow::Continue(()))
            }
            Step::Resume => self.resume(&sandbox).await,
            Step::AwaitServing => self.await_serving(&sandbox).await,
            Step::WithdrawPause => self.withdraw(&sandbox).await,
            Step::Extend => self.extend(sandbox).await,
            Step::SetTimer => self.set_timer(&sandbox).await,
            Step::Delete => self.delete(&sandbox).await.map(ControlFlow::Break),
            Step::Show => Ok(ControlFlow::Break(Outcome::Present(Arc::new(sandbox)))),
            Step::Refuse(conflict) => Err(Refusal::conflict(conflict, self.id.as_str())),
        }
    }

    async fn pause(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        match self.write(sandbox, spec_patch(true, Timers::NONE)).await? {
            Written::Stale => Ok(ControlFlow::Continue(())),
            Written::Done(written) => {
                let joined = self.join_pause(&written).await;
                if let Err(Refusal::PauseFailed { .. }) = joined {
                    self.give_back(sandbox).await;
                }
                joined.map(ControlFlow::Break)
            }
        }
    }

    async fn join_pause(&self, sandbox: &Sandbox) -> Result<Outcome, Refusal> {
        match self.settle(Goal::Paused, sandbox).await? {
            Settled::Reached(_) => Ok(Outcome::Done),
            Settled::Failed(reason) => Err(Refusal::PauseFailed {
                id: self.id.to_string(),
                reason,
            }),
            Settled::Overtaken => Err(Refusal::Overtaken(self.id.to_string())),
            Settled::Gone => Err(Refusal::SandboxNotFound(self.id.to_string())),
        }
    }

    /// After a pause that failed: asks for a run again, with the timers of `before`. One that has run
    /// out meanwhile is put off a little: nobody is to lose what the pause was meant to keep.
    async fn give_back(&self, before: &Sandbox) {
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

    async fn resume(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let action = self.on_timeout.unwrap_or_else(|| Lifecycle::of(sandbox).on_timeout);
        // A timer that ran out on the way up would count as one of an earlier run. The rest is cut off below.
        let generous = self.timeout.max(self.gateway.config().limits.start);
        let armed = Timers::ending(end_of_run(self.gateway.now(), generous), action);
        let mut patch = spec_patch(false, armed);
        if let Some(on_timeout) = self.on_timeout {
            let lifecycle = Lifecycle {
                on_timeout,
                ..Lifecycle::of(sandbox)
            };
            patch["metadata"] = json!({ "annotations": { annotation::E2B_LIFECYCLE: json!(lifecycle).to_string() } });
        }
        let Written::Done(written) = self.write(sandbox, patch).await? else {
            return Ok(ControlFlow::Continue(()));
        };
        match self.settle(Goal::Serving, &written).await? {
            Settled::Reached(serving) => {
                let serving = self.arm(serving, armed, action).await;
                Ok(ControlFlow::Break(Outcome::Resumed(serving)))
            }
            Settled::Failed(reason) => {
                self.hold().await;
                Err(Refusal::ResumeFailed {
                    id: self.id.to_string(),
                    reason,
                })
            }
            Settled::Overtaken => Err(Refusal::Overtaken(self.id.to_string())),
            Settled::Gone => Err(Refusal::SandboxNotFound(self.id.to_string())),
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
                    Ok(Some(read)) if state(&read) == SandboxState::Serving => serving = Arc::new(read),
                    Ok(_) | Err(_) => return serving,
                },
                Err(refusal) => {
                    tracing::warn!(sandbox = %self.id, %refusal, "the timeout is longer than asked for");
                    return serving;
                }
            }
        }
        serving
    }

    async fn await_serving(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let id = self.id.to_string();
        match self.settle(Goal::Serving, sandbox).await? {
            Settled::Reached(_) | Settled::Overtaken => Ok(ControlFlow::Continue(())),
            Settled::Failed(reason) => Err(Refusal::ResumeFailed { id, reason }),
            Settled::Gone => Err(Refusal::SandboxNotFound(id)),
        }
    }

    async fn withdraw(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let lifecycle = Lifecycle::of(sandbox);
        let timers = Timers::of(&sandbox.spec);
        let timers = if timers == Timers::NONE {
            let end = end_of_run(self.gateway.now(), lifecycle.wake_timeout());
            Timers::ending(end, lifecycle.on_timeout)
        } else {
            timers
        };
        self.write(sandbox, spec_patch(false, timers)).await?;
        Ok(ControlFlow::Continue(()))
    }

    async fn extend(&self, sandbox: Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let current = Timers::of(&sandbox.spec);
        let end = end_of_run(self.gateway.now(), self.timeout);
        let extended = current.extended_to(end, Lifecycle::of(&sandbox).on_timeout);
        if extended == current {
            return Ok(ControlFlow::Break(self.present(sandbox).await));
        }
        self.write_timers(&sandbox, extended).await
    }

    async fn set_timer(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let end = end_of_this_run(self.gateway.now(), self.timeout, running_since(sandbox));
        self.write_timers(sandbox, Timers::ending(end, Lifecycle::of(sandbox).on_timeout))
            .await
    }

    async fn write_timers(&self, sandbox: &Sandbox, timers: Timers) -> Result<ControlFlow<Outcome>, Refusal> {
        match self.write(sandbox, json!({ "spec": timers.patch() })).await? {
            Written::Done(written) => Ok(ControlFlow::Break(self.present(*written).await)),
            Written::Stale => Ok(ControlFlow::Continue(())),
        }
    }

    /// The answer that `sandbox` serves, given once traffic that comes after it is let through.
    async fn present(&self, sandbox: Sandbox) -> Outcome {
        self.followed(self.gateway.index().caught_up_with(&self.id, &sandbox))
            .await;
        Outcome::Present(Arc::new(sandbox))
    }

    /// Waits for what the index is to take in, but not for long: a broken watch holds up no answer.
    async fn followed(&self, taken_in: impl Future<Output = ()>) {
        if tokio::time::timeout(FOLLOW, taken_in).await.is_err() {
            tracing::warn!(sandbox = %self.id, operation = ?self.operation, "the index has not followed a call yet");
        }
    }

    async fn delete(&self, sandbox: &Sandbox) -> Result<Outcome, Refusal> {
        if !self.gateway.cluster().delete(sandbox).await? {
            return Err(Refusal::SandboxNotFound(self.id.to_string()));
        }
        self.followed(self.gateway.index().deleted(&self.id)).await;
        Ok(Outcome::Done)
    }

    async fn write(&self, sandbox: &Sandbox, patch: Value) -> Result<Written, Refusal> {
        self.gateway.cluster().patch(sandbox, patch).await
    }

    /// Waits for `goal` within the limit for it, as of the version `sandbox`.
    pub(crate) async fn settle(&self, goal: Goal, sandbox: &Sandbox) -> Result<Settled, Refusal> {
        let limits = &self.gateway.config().limits;
        let (limit, what) = match goal {
            Goal::Serving => (limits.start, "serve"),
            Goal::Paused | Goal::PauseEnded => (limits.pause, "pause"),
        };
        let generation = sandbox.metadata.generation.unwrap_or_default();
        let settled = tokio::time::timeout(limit, self.gateway.index().settle(&self.id, goal, generation)).await;
        if let Ok(settled) = settled {
            return Ok(settled);
        }
        // Deleted before the index had it, or merely slow.
        let now = self.gateway.cluster().get(&self.id).await?;
        let note = now.as_ref().map(progress_note);
        note.map_or(Ok(Settled::Gone), |note| {
            Err(Refusal::TooSlow {
                id: self.id.to_string(),
                what,
                limit,
                note,
            })
        })
    }
}

fn spec_patch(paused: bool, timers: Timers) -> Value {
    let mut spec = timers.patch();
    spec["paused"] = json!(paused);
    json!({ "spec": spec })
}
