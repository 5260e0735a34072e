//! What an agent puts into a checkpoint: the engine's payload, and the container log so far.
//!
//! The log is kept because a resumed sandbox runs in a new container, whose own log starts empty:
//! the agent says the earlier lines again, so that `kubectl logs` goes on where it stood.

use serde::{Deserialize, Serialize};
use torpor_runtime::{Payload, PayloadCursor, PayloadError, PayloadReader};

use crate::log::LogLine;

/// What stands in front of the engine's payload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentImage {
    pub(crate) log: Vec<LogLine>,
    /// What the program printed after its last line break; the next run completes it.
    pub(crate) partial_line: String,
}

impl AgentImage {
    /// The payload of a checkpoint.
    pub(crate) fn with(&self, engine: Payload) -> Result<Payload, PayloadError> {
        Payload::headed(self, engine)
    }

    /// The image, and the engine's payload behind it.
    pub(crate) async fn read(payload: PayloadReader) -> Result<(Self, PayloadReader), PayloadError> {
        let mut cursor = PayloadCursor::new(payload);
        let image = cursor.head().await?;
        Ok((image, cursor.rest()))
    }
}
