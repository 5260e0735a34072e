//! Executions of code, and where what they do is told.

use serde_json::{Map, Value};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// Names a context within its sandbox.
pub type ContextId = String;

/// What a client is told of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextInfo {
    /// Its id.
    pub id: ContextId,
    /// Its working directory.
    pub cwd: String,
}

/// What happens while code runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionEvent {
    /// It wrote to its standard output.
    Stdout(String),
    /// It wrote to its standard error.
    Stderr(String),
    /// The value of its last expression, as Python prints it. Absent for `None`.
    Result(String),
    /// Something to be shown, in one or more formats.
    Display {
        /// By MIME type, as Jupyter's `display_data`.
        formats: Map<String, Value>,
        /// Whether it is the value of the last expression.
        is_main: bool,
    },
    /// It raised an exception that it did not handle.
    Error {
        /// Class of the exception.
        name: String,
        /// Its message.
        value: String,
        /// As CPython prints it.
        traceback: String,
    },
    /// It has ended; the number of executions of its context so far.
    Ended {
        /// Counts from 1.
        executions: u64,
    },
}

/// Where the events of one execution go, and whether somebody asked it to stop.
#[derive(Clone, Debug)]
pub struct ExecutionSink {
    /// Takes the events; nobody may listen any more.
    pub events: UnboundedSender<ExecutionEvent>,
    /// Cancelled to interrupt the execution.
    pub interrupt: CancellationToken,
}

impl ExecutionSink {
    /// A sink that nobody listens to and nobody interrupts.
    pub(crate) fn detached() -> Self {
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        Self {
            events,
            interrupt: CancellationToken::new(),
        }
    }

    pub(crate) fn send(&self, event: ExecutionEvent) {
        // A listener that has gone misses nothing that the sandbox needs.
        let _ = self.events.send(event);
    }
}
