//! From what is wanted and what is seen, to the next single step.
//!
//! Decides the report (what the status should say) and the effect (the one write to make
//! once the status says so). Leaves out how either is carried out, and why a thing failed:
//! no I/O, no clock, no text.
//!
//! ```text
//!            start                 freeze · checkpoint · record · delete Pod
//!  Pending ─────────▶ Running ─────────────────── Pausing ──────────────────▶ Paused
//!                      ▲  ▲                          │                          │
//!                      │  └── thaw ── Resuming ◀─────┘ called off, or failed    │
//!                      └───────────── Resuming ◀────────────────────────────────┘
//!                        serves          start from checkpoint
//! ```
//!
//! Every status is written before the effect that it announces, so a controller that dies
//! between any two writes finds on its return what it was about to do.

mod observed;

use torpor_api::LostPodPolicy;

pub use observed::{Due, Goal, History, Observed, Patience, Provision, Seal, Workload};

/// What the status should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// What it says already.
    AsIs,
    /// On its first way up.
    Starting,
    /// Serving; `ready` is false while the Pod is alive and takes no traffic.
    Running {
        /// Whether the Pod takes traffic.
        ready: bool,
    },
    /// The pause has begun; a checkpoint number is reserved for it.
    Pausing,
    /// The checkpoint of the frozen workload is sealed: put it on record.
    Sealed,
    /// On the way to `Paused` with nothing left to keep; the Pod is going.
    Stopping,
    /// Context kept, compute released.
    Paused,
    /// On the way from `Paused`, or from a pause that was called off, to `Running`.
    Resuming,
    /// The pause failed; the sandbox runs on.
    PauseFailed,
    /// The checkpoint could not be restored; it is kept.
    RestoreFailed,
    /// The context is lost, and the sandbox is to begin afresh, as its policy asks.
    ContextLost,
    /// Nothing can be started for now.
    Blocked(Blocker),
    /// No step is safe without a person.
    Failed(Fault),
    /// Being deleted.
    Terminating,
}

/// What is in the way of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// The template is missing, or no Pod can be made from it.
    TemplateInvalid,
    /// The Pod's name is taken by somebody else.
    PodForeign,
    /// The name of a volume claim is taken by somebody else.
    ClaimForeign,
    /// A volume claim is gone, with what the sandbox kept in it.
    ClaimLost,
}

/// Why a sandbox failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The workload is gone and no checkpoint can bring it back.
    StateLost,
    /// The first start failed; there was no context to lose.
    StartFailed,
}

/// One write to the world. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Hold the sandbox until its checkpoint data is removed.
    AddFinalizer,
    /// Create the Pod with no history.
    StartFresh,
    /// Create the Pod from the recorded checkpoint.
    StartFromCheckpoint,
    /// Stop the workload in place.
    Freeze,
    /// Write the checkpoint of the frozen workload, or join the one being written.
    Checkpoint,
    /// Let the workload run on.
    Thaw,
    /// Delete the Pod.
    DeletePod,
    /// Remove the checkpoint data, then the finalizer.
    Release,
    /// Set `spec.paused`.
    SetPaused,
    /// Delete the sandbox.
    DeleteSandbox,
}

impl Effect {
    /// Its name for machines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::StartFresh => "start_fresh",
            Self::StartFromCheckpoint => "start_from_checkpoint",
            Self::Freeze => "freeze",
            Self::Checkpoint => "checkpoint",
            Self::Thaw => "thaw",
            Self::DeletePod => "delete_pod",
            Self::Release => "release",
            Self::SetPaused => "set_paused",
            Self::DeleteSandbox => "delete_sandbox",
        }
    }
}

/// When to look again if nothing changes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A watch event will tell.
    OnChange,
    /// Soon: only the agent knows of the change.
    Soon,
    /// Later: what is in the way is not ours and not watched.
    Later,
}

/// The outcome of one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// What the status should say.
    pub report: Report,
    /// What to do once it says so.
    pub effect: Option<Effect>,
    /// When to look again.
    pub wake: Wake,
}

impl Decision {
    const fn act(report: Report, effect: Effect) -> Self {
        Self {
            report,
            effect: Some(effect),
            wake: Wake::OnChange,
        }
    }

    const fn rest(report: Report) -> Self {
        Self {
            report,
            effect: None,
            wake: Wake::OnChange,
        }
    }

    const fn wait(report: Report, wake: Wake) -> Self {
        Self {
            report,
            effect: None,
            wake,
        }
    }
}

/// Decides the next step. Total, and free of I/O and clocks.
pub const fn decide(seen: Observed) -> Decision {
    match (seen.goal, seen.due) {
        (Goal::Deleted, _) => toward_deleted(seen),
        (Goal::Running | Goal::Paused, Some(Due::Shutdown)) => Decision::act(Report::AsIs, Effect::DeleteSandbox),
        (Goal::Running, Some(Due::Pause)) => Decision::act(Report::AsIs, Effect::SetPaused),
        (Goal::Paused, _) => toward_paused(seen),
        (Goal::Running, None) => toward_running(seen),
    }
}

const fn toward_deleted(seen: Observed) -> Decision {
    use {Decision as D, Effect as E, Report as R, Workload as W};
    match seen.workload {
        W::Absent | W::Foreign if seen.guarded => D::act(R::Terminating, E::Release),
        W::Absent | W::Foreign | W::Stopping => D::rest(R::Terminating),
        W::Unready | W::Serving | W::Frozen(_) | W::Silent | W::FailedToStart | W::Torn | W::Ended | W::TakenAway => {
            D::act(R::Terminating, E::DeletePod)
        }
    }
}

#[expect(clippy::match_same_arms, reason = "rows stay in the order of life")]
const fn toward_paused(seen: Observed) -> Decision {
    use {Decision as D, Effect as E, Fault as F, History as H, Patience as Pa, Report as R, Workload as W};
    match (seen.history, seen.workload, seen.patience) {
        (H::Live, W::Serving, Pa::Left) => D::act(R::Pausing, E::Freeze),
        (H::Live, W::Frozen(Seal::None | Seal::Writing), Pa::Left) => D::act(R::Pausing, E::Checkpoint),
        (H::Live, W::Frozen(Seal::Sealed), _) => D::rest(R::Sealed),
        (H::Live, W::Unready | W::Silent, Pa::Left) => D::wait(R::Pausing, Wake::Soon),

        // A workload that serves has outlived the record, even if no traffic was let in: its program ran.
        // The status says so first, and the pause begins from there.
        (H::Kept, W::Serving, _) => D::rest(R::Running { ready: true }),

        // From here on nothing is lost with the Pod: there was nothing, or the checkpoint holds it.
        (H::New, W::Serving, _) => D::act(R::Stopping, E::DeletePod),
        (H::New | H::Kept, W::Unready | W::Frozen(_) | W::Silent, _) => D::act(R::Stopping, E::DeletePod),
        (H::New | H::Kept, W::FailedToStart | W::Torn | W::Ended | W::TakenAway, _) => {
            D::act(R::Stopping, E::DeletePod)
        }
        (H::New | H::Kept, W::Stopping, _) => D::rest(R::Stopping),
        (H::New | H::Kept, W::Absent, _) => D::rest(R::Paused),
        (H::New | H::Kept, W::Foreign, _) => D::wait(R::Paused, Wake::Later),

        // What it did since it was resumed is lost, and must be told; the checkpoint holds again.
        (H::Live, W::Torn, _) => D::rest(R::RestoreFailed),

        // The pause failed. The goal is `Running` from the next pass on.
        (H::Live, W::Frozen(Seal::Failed), _) => D::rest(R::PauseFailed),
        (H::Live, W::Serving | W::Unready | W::Silent, Pa::Spent) => D::rest(R::PauseFailed),
        (H::Live, W::Frozen(Seal::None | Seal::Writing), Pa::Spent) => D::rest(R::PauseFailed),

        // Never report as paused what cannot be resumed.
        (H::Live, W::Absent | W::Foreign | W::FailedToStart | W::Ended | W::TakenAway | W::Stopping, _) => {
            D::rest(R::Failed(F::StateLost))
        }
    }
}

#[expect(clippy::match_same_arms, reason = "rows stay in the order of life")]
const fn toward_running(seen: Observed) -> Decision {
    use {Decision as D, Effect as E, Fault as F, History as H, Report as R, Workload as W};
    match (seen.history, seen.workload) {
        (H::New, W::Absent) => start(seen, R::Starting, E::StartFresh),
        (H::New, W::Unready | W::Silent) => D::wait(R::Starting, Wake::Soon),
        // A freeze that is still to come would stop what is reported as running, and nobody would look again.
        (H::Live, W::Serving) if !seen.settled => D::act(R::Resuming, E::Thaw),
        (H::New | H::Live | H::Kept, W::Serving) => D::rest(R::Running { ready: true }),
        (H::Live, W::Unready) if seen.routed => D::rest(R::Running { ready: false }),
        (H::Live, W::Silent) if seen.routed => D::wait(R::Running { ready: false }, Wake::Soon),
        (H::Kept, W::Absent) => start(seen, R::Resuming, E::StartFromCheckpoint),
        (H::Kept, W::Unready | W::Silent) => D::wait(R::Resuming, Wake::Soon),

        // The pause was called off, or failed. A Pod that is already going goes first.
        (H::Live | H::Kept, W::Frozen(_)) => D::act(R::Resuming, E::Thaw),
        (H::Live, W::Unready | W::Silent) => D::wait(R::Resuming, Wake::Soon),
        (H::Kept, W::Stopping) => D::rest(R::Resuming),
        (H::New, W::Stopping) => D::rest(R::Starting),
        (H::New, W::Frozen(_)) => D::act(R::Starting, E::Thaw),

        // The checkpoint is worth more than the run that failed or ended on the way.
        (H::Kept, W::FailedToStart | W::Torn) => D::act(R::RestoreFailed, E::DeletePod),
        (H::Live, W::Torn) => D::rest(R::RestoreFailed),
        (H::Kept, W::Ended | W::TakenAway) => D::act(R::Resuming, E::DeletePod),
        (H::New, W::TakenAway) => D::act(R::Starting, E::DeletePod),
        (H::New, W::FailedToStart | W::Torn | W::Ended) => D::rest(R::Failed(F::StartFailed)),
        (H::New | H::Kept, W::Foreign) => D::wait(R::Blocked(Blocker::PodForeign), Wake::Later),

        // A fresh start over a history that cannot be restored is for the user to ask for, and only over a Pod that
        // somebody took away: one that ended by itself would end again.
        (H::Live, W::Absent | W::Foreign | W::TakenAway | W::Stopping) => match seen.lost_pod {
            LostPodPolicy::Fail => D::rest(R::Failed(F::StateLost)),
            LostPodPolicy::Recreate => D::rest(R::ContextLost),
        },
        (H::Live, W::FailedToStart | W::Ended) => D::rest(R::Failed(F::StateLost)),
    }
}

/// The Pod is created under the finalizer, so that none outlives its sandbox.
const fn start(seen: Observed, report: Report, effect: Effect) -> Decision {
    match (seen.provision, seen.guarded) {
        (Provision::Complete, true) => Decision::act(report, effect),
        (Provision::Complete, false) => Decision::act(report, Effect::AddFinalizer),
        // A template is watched.
        (Provision::TemplateInvalid, _) => Decision::rest(Report::Blocked(Blocker::TemplateInvalid)),
        (Provision::ClaimForeign, _) => Decision::wait(Report::Blocked(Blocker::ClaimForeign), Wake::Later),
        (Provision::ClaimLost, _) => Decision::wait(Report::Blocked(Blocker::ClaimLost), Wake::Later),
    }
}

#[cfg(test)]
mod tests;
