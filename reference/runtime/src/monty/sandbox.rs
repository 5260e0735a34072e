//! All contexts of one sandbox, its program and its files, and how they are written down and read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use monty::{DUMP_VERSION, DumpError, dump};
use monty_fs::MountError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::context::{Context, Execution, Session};
use super::host::{HOME, Host};
use super::image::{IMAGE_VERSION, SandboxImage};
use super::limits::ExecutionLimits;
use super::listing::Listing;
use super::memory::MemoryGauge;
use super::saved::{load_context, write_context};
use super::written::{SCRIPT_NAME, WriteError};
use crate::clock::Clock;
use crate::engine::{ContextId, ContextInfo, ExecutionSink};
use crate::files::{FileError, FileTree};
use crate::payload::{PayloadError, PayloadWriter};
use crate::store::EngineVersion;

/// Name of this engine in checkpoints.
const ENGINE_NAME: &str = "monty";
/// The context that the container's own program runs in; clients do not see it.
const PROGRAM: &str = "program";

/// This engine and the version of its dumps, the interpreter's and its own: only the same version reads them again.
#[must_use]
pub fn engine_version() -> EngineVersion {
    EngineVersion {
        name: ENGINE_NAME.to_owned(),
        version: (IMAGE_VERSION << 16) | u32::from(DUMP_VERSION),
    }
}

/// Why the engine could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum MontyError {
    /// The sandbox's folders cannot be opened.
    #[error("open the folders of the sandbox")]
    Folders(#[source] MountError),
    /// Its files cannot be read or laid out.
    #[error("keep the files of the sandbox")]
    Files(#[from] FileError),
    /// A session cannot be written down.
    #[error("dump context {context}: {reason}")]
    Dump {
        /// The context.
        context: ContextId,
        /// What the interpreter said.
        reason: String,
    },
    /// A session cannot be read again.
    #[error("load context {context}")]
    Load {
        /// The context.
        context: ContextId,
        /// What the interpreter said.
        source: DumpError,
    },
    /// What the sandbox is beside its sessions cannot be written down.
    #[error("write down what the sandbox is")]
    Describe(#[from] WriteError),
    /// The payload is not one of this engine.
    #[error("read the checkpoint's payload")]
    Payload(#[from] PayloadError),
    /// There is no such context.
    #[error("context {0} not found")]
    NoContext(ContextId),
}

/// One sandbox of the embedded engine.
pub struct MontySandbox {
    root: PathBuf,
    host: Host,
    contexts: BTreeMap<ContextId, Context>,
    default_context: ContextId,
    limits: ExecutionLimits,
    listing: Listing,
}

impl MontySandbox {
    /// A sandbox without history, with its folders below `root` and one context.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn fresh(root: &Path, env: BTreeMap<String, String>, clock: Clock) -> Result<Self, MontyError> {
        let host = Host::open(root, env, clock, Duration::ZERO).map_err(MontyError::Folders)?;
        let mut sandbox = Self {
            root: root.to_owned(),
            host,
            contexts: BTreeMap::new(),
            default_context: Uuid::new_v4().to_string(),
            limits: ExecutionLimits::default(),
            listing: Listing::default(),
        };
        sandbox.put_context(&sandbox.default_context.clone(), HOME);
        Ok(sandbox)
    }

    /// The sandbox that a dump wrote, with its files laid out below the empty `root`.
    /// Its sleepers go on at once; the program's output goes to `program`.
    ///
    /// # Errors
    /// The payload is damaged or of another version, or the files cannot be laid out.
    pub fn restore(root: &Path, payload: &Bytes, program: &ExecutionSink, clock: Clock) -> Result<Self, MontyError> {
        let image = SandboxImage::from_bytes(payload)?;
        image.files.lay_out(root)?;
        let host = Host::open(root, image.env, clock, image.uptime).map_err(MontyError::Folders)?;
        let (mut contexts, listing) = (BTreeMap::new(), Listing::default());
        for (id, written) in image.contexts {
            let sink = if id == PROGRAM {
                program.clone()
            } else {
                ExecutionSink::detached()
            };
            let ending = host.ending.child_token();
            let context = load_context(id.clone(), written, &sink, ending.clone())?;
            if id != PROGRAM {
                listing.put(&id, &context.cwd, ending);
            }
            contexts.insert(id, context);
        }
        Ok(Self {
            root: root.to_owned(),
            host,
            contexts,
            default_context: image.default_context,
            limits: ExecutionLimits::default(),
            listing,
        })
    }

    /// The same sandbox, whose executions are held to `limits`. Contexts that ran already keep their depth of calls and memory.
    #[must_use]
    pub fn with_limits(mut self, limits: ExecutionLimits) -> Self {
        self.limits = limits;
        for (id, context) in &mut self.contexts {
            let limits = if id == PROGRAM { limits.of_the_program() } else { limits };
            context.time_limit = limits.time;
            if context.executions == 0 && matches!(context.session, Session::Idle(_)) {
                let waiting = std::mem::take(&mut context.waiting);
                *context = Context::fresh(&context.cwd.clone(), limits, context.ending.clone());
                context.waiting = waiting;
            }
        }
        self
    }

    /// The same sandbox, whose executions are measured; it has to be the only one of its process.
    #[must_use]
    pub fn with_gauge(mut self, gauge: Option<MemoryGauge>) -> Self {
        self.host.gauge = gauge;
        self
    }

    /// Writes everything down. Only between calls of [`poll`](Self::poll), where every execution has ended or sleeps.
    /// Whoever reads the payload is told when a session or a file cannot be read. Gives its bytes, if it came to its end.
    pub(super) fn dump(&self, mut writer: PayloadWriter) -> Option<u64> {
        match self.write(&mut writer) {
            Ok(()) => {
                let bytes = writer.bytes();
                // Who does not want it is not waiting.
                let _ = writer.finish();
                Some(bytes)
            }
            Err(error) => {
                writer.fail(error);
                None
            }
        }
    }

    fn write(&self, writer: &mut PayloadWriter) -> Result<(), MontyError> {
        let mut contexts = BTreeMap::new();
        for (id, context) in &self.contexts {
            contexts.insert(id.clone(), write_context(id, context, writer)?);
        }
        let image = SandboxImage {
            env: self.host.env.clone(),
            default_context: self.default_context.clone(),
            uptime: self.host.uptime(),
            contexts,
            files: FileTree::capture(&self.root)?,
        };
        Ok(image.write_behind_dumps(writer)?)
    }

    /// Bytes of interpreter state, as the engine writes it down. Files do not count.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let size = |context: &Context| {
            let session = context.session.to_dump()?;
            dump(SCRIPT_NAME, None, session).ok().map(|dump| dump.len())
        };
        self.contexts.values().filter_map(size).sum::<usize>() as u64
    }

    /// Hands code to a context (the default one when `None`); it runs at the next [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`MontyError::NoContext`].
    pub fn execute(
        &mut self,
        context: Option<&str>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Result<(), MontyError> {
        let id = context.unwrap_or(&self.default_context).to_owned();
        let is_late = self.host.is_frozen();
        let context = self.visible(&id)?;
        context.waiting.push_back(Execution {
            code,
            env,
            sink,
            is_late,
        });
        Ok(())
    }

    /// Starts the container's own program.
    pub fn start_program(&mut self, code: String, sink: ExecutionSink) {
        let mut context = Context::fresh(HOME, ExecutionLimits::default(), self.host.ending.child_token());
        context.waiting.push_back(Execution {
            code,
            env: BTreeMap::new(),
            sink,
            is_late: false,
        });
        self.contexts.insert(PROGRAM.to_owned(), context);
    }

    /// Runs whatever can run now; nothing can while it is frozen.
    pub fn poll(&mut self) {
        if self.host.is_frozen() {
            return;
        }
        for context in self.contexts.values_mut() {
            context.poll(&mut self.host);
        }
    }

    /// Stops the sandbox's time. Its sleepers do not come closer to their end.
    pub fn freeze(&mut self) {
        if self.host.is_frozen() {
            return;
        }
        for context in self.contexts.values_mut() {
            context.settle(&mut self.host);
        }
        self.host.freeze();
    }

    /// Lets a frozen sandbox's time go on.
    pub fn thaw(&mut self) {
        for waiting in self.contexts.values_mut().flat_map(|context| &mut context.waiting) {
            waiting.is_late = false;
        }
        self.host.thaw();
    }

    /// Whether its time stands still.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.host.is_frozen()
    }

    /// How long [`poll`](Self::poll) has nothing to do unless somebody asks for something.
    #[must_use]
    pub fn wake_in(&self) -> Option<Duration> {
        if self.host.is_frozen() {
            return None;
        }
        let wake_at = self.contexts.values().filter_map(Context::wake_at).min()?;
        Some(wake_at.saturating_sub(self.host.uptime()))
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.host.clock
    }

    /// The contexts that clients see, by id; the default one first.
    #[must_use]
    pub fn contexts(&self) -> Vec<ContextInfo> {
        self.listing.list(&self.default_context).unwrap_or_default()
    }

    /// Makes a context.
    pub fn create_context(&mut self, cwd: Option<&str>) -> ContextInfo {
        let id = Uuid::new_v4().to_string();
        let cwd = cwd.unwrap_or(HOME).to_owned();
        self.put_context(&id, &cwd);
        ContextInfo { id, cwd }
    }

    /// A context without history, in place of the one that had its id.
    fn put_context(&mut self, id: &str, cwd: &str) {
        let ending = self.host.ending.child_token();
        self.listing.put(id, cwd, ending.clone());
        let context = Context::fresh(cwd, self.limits, ending);
        self.contexts.insert(id.to_owned(), context);
    }

    /// Empties a context; whatever runs or waits in it ends without an answer.
    ///
    /// # Errors
    /// [`MontyError::NoContext`].
    pub fn restart_context(&mut self, id: &str) -> Result<(), MontyError> {
        let cwd = self.visible(id)?.cwd.clone();
        self.put_context(id, &cwd);
        Ok(())
    }

    /// Removes a context. The default one is emptied instead, since calls without a context go there.
    ///
    /// # Errors
    /// [`MontyError::NoContext`].
    pub fn remove_context(&mut self, id: &str) -> Result<(), MontyError> {
        if id == self.default_context {
            return self.restart_context(id);
        }
        self.visible(id)?;
        self.contexts.remove(id);
        self.listing.remove(id);
        Ok(())
    }

    /// Cancelled to interrupt whatever runs, because the sandbox is to end.
    #[must_use]
    pub fn ending(&self) -> CancellationToken {
        self.host.ending.clone()
    }

    /// Its contexts, for whoever does not wait for its code.
    pub(super) fn listing(&self) -> (ContextId, Listing) {
        (self.default_context.clone(), self.listing.clone())
    }

    /// The environment of the sandbox.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.host.env
    }

    fn visible(&mut self, id: &str) -> Result<&mut Context, MontyError> {
        let context = if id == PROGRAM { None } else { self.contexts.get_mut(id) };
        context.ok_or_else(|| MontyError::NoContext(id.to_owned()))
    }
}

impl Drop for MontySandbox {
    fn drop(&mut self) {
        self.listing.close();
    }
}
