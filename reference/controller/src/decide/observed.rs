//! What a decision may depend on.

use torpor_api::LostPodPolicy;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The sandbox should serve.
    Running,
    /// The sandbox should hold its context and no compute.
    Paused,
    /// The sandbox is being deleted.
    Deleted,
}

/// Where the context of the sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// It never served: there is no context.
    New,
    /// It served, and only its Pod holds the context.
    Live,
    /// A sealed checkpoint holds the context; no traffic was let in since.
    Kept,
}

/// The checkpoint of a frozen workload, as its agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// None was asked for.
    None,
    /// It is being written.
    Writing,
    /// It is complete and durable.
    Sealed,
    /// It could not be written.
    Failed,
}

/// The Pod and what runs in it, as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// There is no Pod.
    Absent,
    /// A Pod of the name belongs to somebody else.
    Foreign,
    /// The Pod exists and does not serve yet, or not now.
    Unready,
    /// The Pod serves.
    Serving,
    /// The Pod exists; its workload is stopped in place.
    Frozen(Seal),
    /// The Pod runs and its agent does not answer.
    Silent,
    /// The Pod, or the restore in it, failed before it served.
    FailedToStart,
    /// It served before all of its memory was restored, and the rest could not be had: nothing of it runs, and its agent
    /// reports the sealed checkpoint that it came from.
    Torn,
    /// The run that served is over: its Pod ended, or a container of it began anew.
    Ended,
    /// The Pod was ended by the cluster, which wanted its node or the room on it, and not by what ran in it.
    TakenAway,
    /// The Pod is being deleted.
    Stopping,
}

/// Whether a pause that is under way may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// There is time left.
    Left,
    /// The deadline has passed, or the agent refused to freeze.
    Spent,
}

/// A timer of the spec that has come due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// `shutdownTime`.
    Shutdown,
    /// `pauseTime`.
    Pause,
}

/// Whether a Pod can be made, with the volumes it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provision {
    /// It can.
    Complete,
    /// The template is missing, or no Pod can be made from it.
    TemplateInvalid,
    /// A volume claim of the name belongs to somebody else.
    ClaimForeign,
    /// A volume claim is gone, with what the sandbox kept in it.
    ClaimLost,
}

/// Everything a decision may depend on. Read once per pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What is wanted.
    pub goal: Goal,
    /// Where the context is.
    pub history: History,
    /// The Pod and what runs in it.
    pub workload: Workload,
    /// Whether the status says `Running`, so that traffic is let in.
    pub routed: bool,
    /// Whether no freeze that was asked for can still come: the agent has carried out a thaw since, or nothing was asked of it. One whose
    /// answer was lost may be waiting for files and code, and the workload serves until it is carried out.
    pub settled: bool,
    /// Whether a pause under way may go on.
    pub patience: Patience,
    /// Whether the sandbox holds our finalizer.
    pub guarded: bool,
    /// Whether a Pod can be made, with the volumes it needs.
    pub provision: Provision,
    /// What to do when the Pod of a running sandbox vanishes.
    pub lost_pod: LostPodPolicy,
    /// The timer that has come due, if any.
    pub due: Option<Due>,
}
