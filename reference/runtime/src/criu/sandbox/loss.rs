//! The end of a sandbox that nobody ended.

use super::{CriuSandbox, Stage};
use crate::criu::error::CriuError;
use crate::engine::SandboxError;

impl CriuSandbox {
    /// Why nothing of it is reached any more, once that is so.
    pub(super) async fn lose(&self) -> SandboxError {
        if self.paging.done().await.is_err() {
            return SandboxError::Ended;
        }
        if let Err(error) = self.tree.ended().await {
            tracing::warn!(%error, "watch over the first process of the sandbox");
            return SandboxError::Ended;
        }
        loop {
            let moved = self.moved.notified();
            match *self.stage.lock().await {
                Stage::Running { .. } => {
                    self.contexts.lost();
                    return CriuError::InitEnded.into();
                }
                Stage::Ended => return SandboxError::Ended,
                // What is written down of it is whole.
                Stage::Frozen { .. } => {}
            }
            moved.await;
        }
    }
}
