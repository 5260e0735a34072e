//! Processes that clients start in a sandbox, as the E2B process service describes them.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// What to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program, looked up in `PATH` unless it is a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those of the sandbox.
    pub env: BTreeMap<String, String>,
    /// Where it starts; the sandbox's home when absent.
    pub cwd: Option<String>,
    /// A name that its client gave it.
    pub tag: Option<String>,
    /// The size of its terminal, for a process that has one.
    pub terminal: Option<TerminalSize>,
    /// Whether it begins without an input: what it reads is at its end. One that has a terminal reads that.
    pub no_input: bool,
    /// Whether output waits for a reader. If not, what nobody listens to is dropped.
    pub keep_output: bool,
}

/// Rows and columns of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its pid in the sandbox, the same before and after a pause.
    pub pid: u32,
    /// What it was started with.
    pub spec: ProcessSpec,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// With a code.
    Code(i32),
    /// By a signal, by its number.
    Signal(i32),
}

/// What a process does while somebody listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It wrote to its standard output.
    Stdout(Bytes),
    /// It wrote to its standard error.
    Stderr(Bytes),
    /// It wrote to its terminal.
    Terminal(Bytes),
    /// It has ended; the last event.
    Exited(Exit),
}

/// What a process does from now on. Ends without [`ProcessEvent::Exited`] when the sandbox is frozen or ends.
#[derive(Debug)]
pub struct ProcessStream {
    /// The process.
    pub pid: u32,
    /// Its events. Dropping the receiver does not end the process.
    pub events: mpsc::Receiver<ProcessEvent>,
}
