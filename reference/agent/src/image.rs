//! What an agent puts into a checkpoint: the engine's payload, the container log so far, and what clients watch.
//!
//! The log is kept because a resumed sandbox runs in a new container, whose own log starts empty:
//! the agent says the earlier lines again, so that `kubectl logs` goes on where it stood.

use serde::{Deserialize, Serialize};
use torpor_runtime::{Payload, PayloadCursor, PayloadError, PayloadReader};

use crate::log::LogLine;
use crate::watchers::WatcherImage;

/// What stands in front of the engine's payload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AgentImage {
    pub(crate) log: Vec<LogLine>,
    /// What the program printed after its last line break; the next run completes it.
    pub(crate) partial_line: String,
    /// What clients watch.
    pub(crate) watchers: Vec<WatcherImage>,
}

/// As it was before watchers were kept.
#[derive(Deserialize)]
struct WithoutWatchers {
    log: Vec<LogLine>,
    partial_line: String,
}

impl AgentImage {
    /// The payload of a checkpoint.
    pub(crate) fn with(&self, engine: Payload) -> Result<Payload, PayloadError> {
        Payload::headed(self, engine)
    }

    /// The image, and the engine's payload behind it.
    pub(crate) async fn read(payload: PayloadReader) -> Result<(Self, PayloadReader), PayloadError> {
        let mut cursor = PayloadCursor::new(payload.clone());
        match cursor.head().await {
            Ok(image) => Ok((image, cursor.rest())),
            Err(PayloadError::Head(_)) => {
                let mut cursor = PayloadCursor::new(payload);
                let WithoutWatchers { log, partial_line } = cursor.head().await?;
                let image = Self {
                    log,
                    partial_line,
                    watchers: Vec::new(),
                };
                Ok((image, cursor.rest()))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Earlier {
        log: Vec<LogLine>,
        partial_line: String,
    }

    #[tokio::test]
    async fn an_image_of_before_watchers_were_kept_is_read() {
        let earlier = Earlier {
            log: Vec::new(),
            partial_line: "half a li".to_owned(),
        };
        let payload = Payload::headed(&earlier, Payload::from(b"engine".as_slice())).expect("a payload");
        let bytes = payload.into_bytes().expect("bytes");
        let (image, engine) = AgentImage::read(PayloadReader::from(bytes)).await.expect("read");
        assert_eq!((image.partial_line.as_str(), image.watchers.len()), ("half a li", 0));
        assert_eq!(engine.read().await.expect("read"), b"engine".as_slice());
    }
}
