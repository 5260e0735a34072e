//! Calls that come across a resume that another call has begun: they keep it going, and wait until it serves.

use std::{borrow::Cow, ops::ControlFlow};

use torpor_api::Sandbox;

use super::{Call, Outcome};
use crate::{
    cluster::Written,
    goal::Goal,
    index::Settled,
    operation::Operation,
    refusal::Refusal,
    state::is_coming_up,
    timer::{Timers, end_of_run, stand_in},
};

impl Call {
    pub(super) async fn await_serving(&self, sandbox: &Sandbox) -> Result<ControlFlow<Outcome>, Refusal> {
        let Some(kept) = self.keep_up(sandbox).await? else {
            return Ok(ControlFlow::Continue(()));
        };
        let id = self.id.to_string();
        match self.settle(Goal::Serving, &kept).await? {
            Settled::Reached(_) | Settled::Overtaken => Ok(ControlFlow::Continue(())),
            Settled::Failed(reason) => Err(Refusal::ResumeFailed { id, reason }),
            Settled::Gone => Err(Refusal::SandboxNotFound(id)),
        }
    }

    /// Sees to it that a resume is not called off just when this call joins it, or before the next one can. `None` if
    /// somebody was faster.
    async fn keep_up<'a>(&self, sandbox: &'a Sandbox) -> Result<Option<Cow<'a, Sandbox>>, Refusal> {
        let until = end_of_run(self.gateway.now(), self.limit(Goal::Serving).saturating_mul(2));
        let kept = Timers::of(&sandbox.spec).kept_up(until, self.given_up());
        let Some(timers) = kept.filter(|_| self.joins(sandbox)) else {
            return Ok(Some(Cow::Borrowed(sandbox)));
        };
        // One that somebody has set is put off for good: it is not ours to cut off later.
        let patch = match stand_in(sandbox) {
            Some(_) => timers.patch_on_the_way_up(),
            None => timers.patch_for_good(),
        };
        match self.write(sandbox, patch).await? {
            Written::Done(written) => Ok(Some(Cow::Owned(*written))),
            Written::Stale => Ok(None),
        }
    }

    /// Whether this call asks for the run that is on its way.
    fn joins(&self, sandbox: &Sandbox) -> bool {
        match self.operation {
            Operation::Connect | Operation::Resume => is_coming_up(sandbox),
            Operation::Pause | Operation::SetTimeout | Operation::Refresh | Operation::Kill | Operation::Read => false,
        }
    }
}
