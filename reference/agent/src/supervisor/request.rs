//! What the control endpoint asks of the supervisor, and why that is refused.

use tokio::sync::oneshot;
use torpor_runtime::SandboxError;

/// Tells whoever asked how it went.
pub(super) type Reply = oneshot::Sender<Result<(), ControlRefused>>;

/// What the control endpoint asks for.
#[derive(Debug)]
pub(crate) enum ControlRequest {
    Freeze(Reply),
    Thaw(Reply),
    Checkpoint { generation: u64, reply: Reply },
}

/// Why a control request is refused; the state is as before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlRefused {
    #[error("the workload is not up")]
    NotUp,
    #[error("the workload is not frozen")]
    NotFrozen,
    #[error("freeze the workload")]
    Freeze(#[source] SandboxError),
    #[error("requests on files are under way")]
    FilesBusy,
    #[error("the workload went on before its checkpoint was sealed")]
    Outlived,
}
