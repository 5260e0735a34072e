//! Condition types and reasons of a Sandbox, by the names that `OpenKruise` agents uses where it has one.

/// The `type` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The sandbox serves. Never true on a Pod that is being deleted.
    Ready,
    /// True once the checkpoint is durable and no Pod is left.
    Paused,
    /// True once a paused sandbox serves again.
    Resumed,
    /// True once context was lost and the sandbox was started afresh, as its `lostPodPolicy` asks.
    ContextLost,
    /// False while the Service that is asked for cannot be had; absent otherwise.
    ServiceProvided,
}

impl ConditionType {
    /// As written in `conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Paused => "SandboxPaused",
            Self::Resumed => "SandboxResumed",
            Self::ContextLost => "ContextLost",
            Self::ServiceProvided => "ServiceProvided",
        }
    }
}

/// The `reason` of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// `Ready`: the Pod serves.
    PodReady,
    /// `Ready`: there is no Pod, or it does not serve yet.
    PodNotReady,
    /// `Ready`: the Pod cannot be created.
    PodCreateFailed,
    /// `SandboxPaused`: asked for, nothing done yet.
    Pending,
    /// `SandboxPaused`: the workload is frozen and its checkpoint is being written.
    CheckpointCreating,
    /// `SandboxPaused`: the checkpoint is sealed, the Pod is going.
    CheckpointSucceeded,
    /// `SandboxPaused`: no checkpoint could be taken; the sandbox runs on.
    CheckpointFailed,
    /// `SandboxPaused`: the checkpoint is sealed and the Pod is gone.
    SnapshotPauseSucceed,
    /// `SandboxPaused`: it was paused before it ever served; there was nothing to keep.
    StopPauseSucceed,
    /// `SandboxResumed`: the Pod is on its way.
    CreatePod,
    /// `SandboxResumed`: the Pod serves, with the context of the checkpoint.
    ResumePod,
    /// `SandboxResumed`: the checkpoint could not be restored; it is kept.
    RestoreFailed,
    /// `Ready`: the Pod vanished with context that no checkpoint holds.
    StateLost,
    /// `Ready`: a Pod of the sandbox's name belongs to somebody else.
    PodOwnerMismatch,
    /// `Ready`: the template is missing or no Pod can be made from it.
    TemplateInvalid,
    /// `Ready`: a volume claim of the sandbox's name belongs to somebody else.
    ClaimOwnerMismatch,
    /// `Ready`: a volume claim is gone, with what the sandbox kept in it.
    ClaimLost,
    /// `Ready`: `shutdownTime` has passed; the sandbox is retained.
    SandboxExpired,
    /// `ContextLost`: the Pod vanished, and another was started afresh.
    PodRecreated,
    /// `ServiceProvided`: a Service of the sandbox's name belongs to somebody else.
    ServiceOwnerMismatch,
}

impl Reason {
    /// As written in `conditions[].reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodReady => "PodReady",
            Self::PodNotReady => "PodNotReady",
            Self::PodCreateFailed => "PodCreateFailed",
            Self::Pending => "Pending",
            Self::CheckpointCreating => "CheckpointCreating",
            Self::CheckpointSucceeded => "CheckpointSucceeded",
            Self::CheckpointFailed => "CheckpointFailed",
            Self::SnapshotPauseSucceed => "SnapshotPauseSucceed",
            Self::StopPauseSucceed => "StopPauseSucceed",
            Self::CreatePod => "CreatePod",
            Self::ResumePod => "ResumePod",
            Self::RestoreFailed => "RestoreFailed",
            Self::StateLost => "StateLost",
            Self::PodOwnerMismatch => "PodOwnerMismatch",
            Self::TemplateInvalid => "TemplateInvalid",
            Self::ClaimOwnerMismatch => "ClaimOwnerMismatch",
            Self::ClaimLost => "ClaimLost",
            Self::SandboxExpired => "SandboxExpired",
            Self::PodRecreated => "PodRecreated",
            Self::ServiceOwnerMismatch => "ServiceOwnerMismatch",
        }
    }
}
