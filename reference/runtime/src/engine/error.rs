//! Why an engine did not do what it was asked for, whichever it is.

use std::time::Duration;

use super::ContextId;
#[cfg(target_os = "linux")]
use crate::criu::CriuError;
use crate::monty::MontyError;
use crate::payload::PayloadError;

/// Why a sandbox did not do what it was asked for. Unless it says that the sandbox has ended, the sandbox is as before.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no such context.
    #[error("context {0} not found")]
    NoContext(ContextId),
    /// There is no such process.
    #[error("process with pid {0} not found")]
    NoProcess(u32),
    /// The process is not made for this: it has no terminal, or its standard input is closed.
    #[error("process with pid {pid} has no {what}")]
    NoSuchStream {
        /// The process.
        pid: u32,
        /// What it lacks.
        what: &'static str,
    },
    /// Code still runs; the sandbox goes on.
    #[error("code in the sandbox did not reach a point where it can be stopped within {0:?}")]
    Busy(Duration),
    /// Memory still comes from the checkpoint that it was restored from; the sandbox goes on.
    #[error("the rest of its memory did not come from its last checkpoint within {0:?}")]
    Incomplete(Duration),
    /// A checkpoint was asked of a sandbox that is not frozen.
    #[error("the sandbox is not frozen")]
    NotFrozen,
    /// The sandbox has ended.
    #[error("the interpreter of the sandbox has ended")]
    Ended,
    /// The payload of a checkpoint cannot be read, or what is to become one.
    #[error("read the checkpoint's payload")]
    Payload(#[from] PayloadError),
    /// The thread of the embedded engine could not be made.
    #[error("start the interpreter's thread")]
    Thread(#[source] std::io::Error),
    /// The embedded engine failed.
    #[error(transparent)]
    Monty(MontyError),
    /// The CRIU engine failed.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Criu(#[from] CriuError),
}

impl From<MontyError> for SandboxError {
    fn from(error: MontyError) -> Self {
        match error {
            MontyError::NoContext(id) => Self::NoContext(id),
            other => Self::Monty(other),
        }
    }
}

/// An error with its sources, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
