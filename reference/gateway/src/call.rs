//! Carries out a call on one sandbox: reads it, takes the step that [`decide`] names, and again, until
//! the step is an answer.
//!
//! ```text
//!  read ──▶ decide ──▶ write ──▶ wait ──▶ answer
//!   ▲          │         │ stale   │
//!   └──────────┴─────────┴─────────┘ decide again
//! ```

mod aftermath;
mod joining;
mod owed;

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
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
    state::{is_coming_up, progress_note, running_since, state},
    timer::{Timers, end_of_run, end_of_this_run, stand_in},
};

/// Writes that were overtaken by somebody else's before a call gives up.
const ROUNDS: usize = 32;
/// How long is waited for the index to follow what is known of a sandbox, so that a list and traffic
/// are right that come after it.
pub(crate) const FOLLOW: Duration = Duration::from_secs(2);

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
        let gateway = self.gateway.clone();
        let carried_out = gateway.see_to(async move { self.carry_out().await });
        carried_out.await.unwrap_or_else(crashed)
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
        Err(self.changed_too_fast())
    }

    fn changed_too_fast(&self) -> Refusal {
        Refusal::Unavailable(format!("sandbox {} is changed faster than it can be read", self.id))
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
                let down = self.clone().see_down(generation(&written), sandbox.clone());
                let settled = self.attend(Goal::Paused, self.gateway.see_to(down)).await?;
                self.paused(settled).map(ControlFlow::Break)
            }
        }
    }

    async fn join_pause(&self, sandbox: &Sandbox) -> Result<Outcome, Refusal> {
        let settled = self.settle(Goal::Paused, sandbox).await?;
        if let Settled::Failed(_) = settled {
            self.withdraw_of_another(sandbox).await;
        }
        self.paused(settled)
    }

    fn paused(&self, settled: Settled) -> Result<Outcome, Refusal> {
        match settled {
            Settled::Reached(_) => Ok(Outcome::Done),
            Settled::Failed(reason) => Err(Refusal::PauseFailed {
                id: self.id.to_string(),
                reason,
            }),
            Settled::Overtaken => Err(Refusal::Overtaken(self.id.to_string())),
            Settled::Gone => Err(Refusal::SandboxNotFound(self.id.to_string())),
        }
    }

    async fn resume(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let action = self.on_timeout.unwrap_or_else(|| Lifecycle::of(sandbox).on_timeout);
        // A timer that ran out on the way up would take back a restore that goes on. The rest is cut off once it serves.
        let armed = Timers::on_the_way_up(self.given_up());
        let mut patch = armed.patch_on_the_way_up();
        patch["spec"]["paused"] = json!(false);
        if let Some(on_timeout) = self.on_timeout {
            let lifecycle = Lifecycle {
                on_timeout,
                ..Lifecycle::of(sandbox)
            };
            patch["metadata"]["annotations"][annotation::E2B_LIFECYCLE] = json!(json!(lifecycle).to_string());
        }
        let Written::Done(written) = self.write(sandbox, patch).await? else {
            return Ok(ControlFlow::Continue(()));
        };
        let up = self.clone().see_up(generation(&written), action);
        match self.attend(Goal::Serving, self.gateway.see_to(up)).await? {
            Settled::Reached(serving) => Ok(ControlFlow::Break(Outcome::Resumed(serving))),
            Settled::Failed(reason) => Err(Refusal::ResumeFailed {
                id: self.id.to_string(),
                reason,
            }),
            Settled::Overtaken => Err(Refusal::Overtaken(self.id.to_string())),
            Settled::Gone => Err(Refusal::SandboxNotFound(self.id.to_string())),
        }
    }

    /// When a run that this call waits for is given up that has not come about.
    fn given_up(&self) -> Timestamp {
        end_of_run(
            self.gateway.now(),
            self.timeout.max(self.gateway.config().limits.resume),
        )
    }

    async fn withdraw(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        if self.is_given_back(sandbox).await {
            return Ok(ControlFlow::Continue(()));
        }
        if let Written::Done(written) = self
            .write(sandbox, owed::withdrawal(sandbox, self.gateway.now()))
            .await?
        {
            // The run counts as begun anew by then: a timer that is set next has to lie after that.
            let settled = self
                .gateway
                .index()
                .settle(&self.id, Goal::Serving, generation(&written));
            self.followed(async move { drop(settled.await) }).await;
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn extend(&self, sandbox: Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let set = Timers::of(&sandbox.spec);
        // Who began the resume is about to cut it off, to what that call asked for and no less than what is set then.
        let stands_in = !is_coming_up(&sandbox) && stand_in(&sandbox).is_some();
        let current = if stands_in { Timers::NONE } else { set };
        let end = end_of_this_run(self.gateway.now(), self.timeout, running_since(&sandbox));
        let extended = current.extended_to(end, action(&sandbox));
        if extended == set && !stands_in {
            return Ok(ControlFlow::Break(self.present(sandbox).await));
        }
        self.write_timers(&sandbox, extended).await
    }

    async fn set_timer(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let end = end_of_this_run(self.gateway.now(), self.timeout, running_since(sandbox));
        self.write_timers(sandbox, Timers::ending(end, action(sandbox))).await
    }

    async fn write_timers(&self, sandbox: &Sandbox, timers: Timers) -> Result<ControlFlow<Outcome>, Refusal> {
        match self.write(sandbox, timers.patch_for_good()).await? {
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
        let settled = self.gateway.index().settle(&self.id, goal, generation(sandbox));
        match tokio::time::timeout(self.limit(goal), settled).await {
            Ok(settled) => Ok(settled),
            Err(_) => self.too_slow(goal).await,
        }
    }

    /// Waits within the limit for `goal` for what `task` sees to its end; the task goes on after it.
    async fn attend(&self, goal: Goal, mut task: JoinHandle<Settled>) -> Result<Settled, Refusal> {
        if let Ok(ended) = tokio::time::timeout(self.limit(goal), &mut task).await {
            return ended.map_err(|crashed| Refusal::Internal(crashed.to_string()));
        }
        let late = self.too_slow(goal).await;
        if let Ok(Settled::Gone) = late {
            task.abort();
        }
        late
    }

    fn limit(&self, goal: Goal) -> Duration {
        let limits = &self.gateway.config().limits;
        match goal {
            Goal::Serving => limits.start,
            Goal::Paused | Goal::PauseEnded => limits.pause,
        }
    }

    /// What is said of a wait that has reached its limit: deleted before the index had it, or merely slow.
    async fn too_slow(&self, goal: Goal) -> Result<Settled, Refusal> {
        let what = match goal {
            Goal::Serving => "serve",
            Goal::Paused | Goal::PauseEnded => "pause",
        };
        let now = self.gateway.cluster().get(&self.id).await?;
        let note = now.as_ref().map(progress_note);
        note.map_or(Ok(Settled::Gone), |note| {
            Err(Refusal::TooSlow {
                id: self.id.to_string(),
                what,
                limit: self.limit(goal),
                note,
            })
        })
    }
}

/// What the end of a run is to do that is set now. What is on its way up is not deleted by the timer of
/// a run that has not begun; who asked for it sets the timer right once it serves.
fn action(sandbox: &Sandbox) -> OnTimeout {
    if is_coming_up(sandbox) {
        OnTimeout::Pause
    } else {
        Lifecycle::of(sandbox).on_timeout
    }
}

fn generation(sandbox: &Sandbox) -> i64 {
    sandbox.metadata.generation.unwrap_or_default()
}

fn spec_patch(paused: bool, timers: Timers) -> Value {
    let mut spec = timers.patch();
    spec["paused"] = json!(paused);
    json!({ "spec": spec })
}
