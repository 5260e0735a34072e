//! The traits of an engine, with what they promise and what they rely on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{ContextInfo, ExecutionSink, Facet, ProcessInfo, ProcessSpec, ProcessStream, SandboxError, TerminalSize};
use crate::payload::{Payload, PayloadReader};
use crate::store::{EngineVersion, Intake};

/// What a sandbox answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, SandboxError>>;

/// Where a sandbox runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// An existing empty directory that is this run's alone. Whoever made it removes it after the stop.
    pub directory: PathBuf,
    /// Where the output of the sandbox's own program goes.
    pub output: ExecutionSink,
    /// Takes what is written down while it is, if anybody does: an engine may give it the large parts of a payload
    /// from the freeze on. Such a payload is good for one seal, in the store that takes it.
    pub intake: Option<Intake>,
}

/// A sandbox without history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// The environment that code in it sees.
    pub env: BTreeMap<String, String>,
    /// The program that it runs by itself: a command line that [`Engine::accepts`], or empty for none.
    pub command: Vec<String>,
}

/// An engine does not run commands of this kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{accepted}, not {command:?}")]
pub struct CommandRefused {
    /// What the engine runs.
    pub accepted: &'static str,
    /// What it was given.
    pub command: Vec<String>,
}

/// What a sandbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of this run so far. Never goes back.
    pub cpu: Duration,
    /// Bytes of memory, as far as the engine can tell them apart from its own.
    pub memory_bytes: u64,
}

/// Runs sandboxes.
///
/// # Guarantees
/// - A restored sandbox has every [facet](Facet) of the written one that [`facets`](Self::facets) names.
/// - A payload that is damaged, or of another engine or version, is refused; nothing of it runs then. An engine that
///   restores lazily may find out later ([`Sandbox::restored`]), and ends the sandbox before it sees a wrong byte.
/// - Two sandboxes of one engine do not see each other, where the engine can run two in one place.
///
/// # Assumptions
/// The payload is one that [`Sandbox::checkpoint`] of the same [`version`](Self::version) gave, or is
/// refused: whoever stores it guards it against change.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Name of the engine, and version of what it writes.
    fn version(&self) -> EngineVersion;

    /// What a checkpoint of it keeps.
    fn facets(&self) -> &'static [Facet];

    /// Whether it can run this command as a sandbox's own program. No command at all is always accepted.
    ///
    /// # Errors
    /// [`CommandRefused`] says what it runs instead.
    fn accepts(&self, command: &[String]) -> Result<(), CommandRefused>;

    /// Starts a sandbox without history; answers once it serves.
    ///
    /// # Errors
    /// It cannot be set up.
    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>>;

    /// Brings a sandbox back from the payload of a checkpoint; answers once it serves.
    ///
    /// # Errors
    /// The payload is damaged or of another version, or the system refuses what it needs.
    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>>;
}

/// A sandbox that runs or is frozen.
///
/// # Guarantees
/// - Between a successful [`freeze`](Self::freeze) and [`thaw`](Self::thaw) none of its code runs and its timers stand.
/// - A checkpoint holds everything that was acknowledged before the freeze, and nothing later.
/// - A checkpoint changes nothing: after [`thaw`](Self::thaw) the sandbox goes on as if it had only been stopped.
/// - Every call may be repeated; a repeated [`freeze`](Self::freeze), [`thaw`](Self::thaw) or [`stop`](Self::stop) changes nothing.
/// - When [`stop`](Self::stop) answers, nothing of the sandbox runs any more.
pub trait Sandbox: fmt::Debug + Send + Sync {
    /// The root of its files, as a directory of the machine that the engine runs on.
    fn root(&self) -> &Path;

    /// Folders of it that have to stay where they are: who changes its files may empty them, but not remove or move them.
    fn fixed_folders(&self) -> &'static [&'static str] {
        &[]
    }

    /// Answers when it needs nothing more of the checkpoint that it was restored from, as is so from the beginning
    /// unless its engine restores lazily.
    ///
    /// # Errors
    /// The rest cannot be had, or is of no use any more ([`SandboxError::Ended`]). Then nothing of the sandbox runs any more;
    /// the checkpoint is as it was.
    fn restored(&self) -> Answer<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }

    /// Answers, if ever, when it has ended though nobody ended it, and why; with [`SandboxError::Ended`] when somebody has.
    /// Whoever waits for an execution has been told then. Of what is lost while memory still comes
    /// [`restored`](Self::restored) tells.
    fn lost(&self) -> BoxFuture<'_, SandboxError> {
        std::future::pending().boxed()
    }

    /// Stops it in place.
    ///
    /// # Errors
    /// [`SandboxError::Busy`] when it does not come to a stop within `limit`, [`SandboxError::Incomplete`] when a restore before is not
    /// done by then. After any error it goes on.
    fn freeze(&self, limit: Duration) -> Answer<'_, ()>;

    /// Writes it down. The payload may be read from files of the sandbox, or be written while it is read: it has to be
    /// stored before the sandbox goes on. When a payload of it could not be sealed, another one may be asked for.
    ///
    /// # Errors
    /// [`SandboxError::NotFrozen`]; or something of it cannot be read, and then it is frozen still. What is found out
    /// while the payload is written is said to whoever reads it, and then, too, it is frozen still.
    fn checkpoint(&self) -> Answer<'_, Payload>;

    /// Lets it go on.
    ///
    /// # Errors
    /// It has ended.
    fn thaw(&self) -> Answer<'_, ()>;

    /// Ends it, frozen or not.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// What it uses.
    ///
    /// # Errors
    /// It has ended.
    fn usage(&self) -> Answer<'_, Usage>;

    /// The environment that code in it sees.
    ///
    /// # Errors
    /// It has ended.
    fn env(&self) -> Answer<'_, BTreeMap<String, String>>;

    /// Its code interpreter.
    fn interpreter(&self) -> &dyn Interpreter;

    /// Its processes, for an engine that has any.
    fn processes(&self) -> Option<&dyn Processes>;
}

/// Runs code in contexts, each with variables of its own. Executions of one context run one after the other.
pub trait Interpreter: Send + Sync {
    /// Runs code in a context (the default one when `None`); its events go to `sink`. Answers when it is accepted.
    ///
    /// # Errors
    /// There is no such context, or the sandbox has ended.
    fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()>;

    /// The contexts that clients see; the default one first.
    ///
    /// # Errors
    /// The sandbox has ended.
    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>>;

    /// Makes a context.
    ///
    /// # Errors
    /// It cannot be made, or the sandbox has ended.
    fn create_context(&self, cwd: Option<String>) -> Answer<'_, ContextInfo>;

    /// Empties a context; whatever runs or waits in it ends without an answer.
    ///
    /// # Errors
    /// There is no such context, or the sandbox has ended.
    fn restart_context(&self, id: String) -> Answer<'_, ()>;

    /// Removes a context. The default one is emptied instead, since calls without a context go there.
    ///
    /// # Errors
    /// There is no such context, or the sandbox has ended.
    fn remove_context(&self, id: String) -> Answer<'_, ()>;
}

/// Starts and reaches processes.
pub trait Processes: Send + Sync {
    /// Those that clients started and that still run, by pid.
    ///
    /// # Errors
    /// The sandbox has ended.
    fn list(&self) -> Answer<'_, Vec<ProcessInfo>>;

    /// Starts a process.
    ///
    /// # Errors
    /// There is no such program or directory, or the sandbox has ended.
    fn start(&self, spec: ProcessSpec) -> Answer<'_, ProcessStream>;

    /// Listens to a process from now on.
    ///
    /// # Errors
    /// There is no such process, or the sandbox has ended.
    fn connect(&self, pid: u32) -> Answer<'_, ProcessStream>;

    /// Writes to the standard input or the terminal of a process.
    ///
    /// # Errors
    /// There is no such process, or it has closed its input.
    fn send_input(&self, pid: u32, input: Vec<u8>) -> Answer<'_, ()>;

    /// Closes the standard input of a process.
    ///
    /// # Errors
    /// There is no such process, or its input is a terminal.
    fn close_stdin(&self, pid: u32) -> Answer<'_, ()>;

    /// Sends a signal, by its number on Linux. SIGKILL is answered when the process has ended and is no longer listed.
    ///
    /// # Errors
    /// There is no such process.
    fn signal(&self, pid: u32, signal: i32) -> Answer<'_, ()>;

    /// Changes the size of a process's terminal.
    ///
    /// # Errors
    /// There is no such process, or it has no terminal.
    fn resize(&self, pid: u32, size: TerminalSize) -> Answer<'_, ()>;
}
