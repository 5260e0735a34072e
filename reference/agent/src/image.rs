//! What an agent puts into a checkpoint: the engine's payload, and the container log so far.
//!
//! The log is kept because a resumed sandbox runs in a new container, whose own log starts empty:
//! the agent says the earlier lines again, so that `kubectl logs` goes on where it stood.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::log::LogLine;

/// The payload of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentImage {
    pub(crate) log: Vec<LogLine>,
    /// What the program printed after its last line break; the next run completes it.
    pub(crate) partial_line: String,
    pub(crate) engine: Bytes,
}

impl AgentImage {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}
