//! Why a workload did not come up, or was not written down.

use std::path::PathBuf;

use torpor_runtime::{PayloadError, SandboxError, StoreError};

/// Why a checkpoint was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error("write the sandbox down")]
    Dump(#[from] SandboxError),
    #[error("put the checkpoint together")]
    Image(#[from] PayloadError),
    #[error("store the checkpoint")]
    Store(#[from] StoreError),
}

/// Why a workload did not come up.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("make the directory {path}")]
    WorkDir { path: PathBuf, source: std::io::Error },
    #[error("load checkpoint {generation}")]
    Load { generation: u64, source: StoreError },
    #[error("read the payload of checkpoint {generation}")]
    Payload { generation: u64, source: PayloadError },
    #[error("start the sandbox")]
    Start(#[source] SandboxError),
    #[error("restore checkpoint {generation}")]
    Restore { generation: u64, source: SandboxError },
}
