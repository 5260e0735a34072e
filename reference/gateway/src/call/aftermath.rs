//! What a call has begun, seen to its end, also when nobody waits for the answer any more: a resume gets
//! its timer or is withdrawn, a pause that failed gives back the timers that it took.

use std::sync::Arc;

use torpor_api::Sandbox;

use super::{
    Call, FOLLOW,
    owed::{Owed, runs},
};
use crate::{
    goal::Goal,
    index::Settled,
    lifecycle::{Lifecycle, OnTimeout},
    state::running_since,
    timer::{Timers, end_of_this_run},
};

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
        let owed = Owed::TimersBack {
            timers: Timers::of(&before.spec),
            action: Lifecycle::of(before).on_timeout,
        };
        self.owe(owed, None).await;
    }

    /// After a pause that somebody else asked for and that failed, `joined` as it was then: sees to it
    /// that a run is asked for again.
    pub(super) async fn withdraw_of_another(&self, joined: &Sandbox) {
        if !self.is_given_back(joined).await {
            self.owe(Owed::Withdrawal, None).await;
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

    /// After a resume that failed: asks for a pause again, so that it is not tried again unasked
    /// and no timer of a run goes on.
    async fn hold(&self) {
        self.owe(Owed::Hold, None).await;
    }

    /// After a run that was lost: asks for a pause without timers, as after any resume that failed.
    pub(crate) async fn keep(&self) {
        self.owe(Owed::Keep, None).await;
    }

    /// Gives the run that has just begun its exact end; `armed` is what stood in for it on the way up, where that is not
    /// noted.
    pub(crate) async fn arm(&self, serving: Arc<Sandbox>, armed: Timers, action: OnTimeout) -> Arc<Sandbox> {
        let since = running_since(&serving);
        let end = end_of_this_run(self.gateway.now(), self.timeout, since);
        let timer = Owed::Timer {
            since,
            armed,
            end,
            action,
        };
        let paid = self.owe(timer, Some(Arc::clone(&serving))).await;
        paid.filter(|sandbox| runs(sandbox)).unwrap_or(serving)
    }
}
