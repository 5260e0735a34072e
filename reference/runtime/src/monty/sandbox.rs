//! All contexts of one sandbox, its program and its files, and how they are written down and read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use monty::{DUMP_VERSION, Dump, DumpError, Session as DumpedSession, SessionRef, dump};
use monty_fs::MountError;
use uuid::Uuid;

use super::context::{Context, ContextId, ContextInfo, Execution, Session, Sleeper};
use super::host::{ExecutionSink, HOME, Host};
use super::image::{ContextImage, SandboxImage, SleeperImage};
use crate::files::{FileError, FileTree};
use crate::store::EngineVersion;

/// Name of this engine in checkpoints.
pub const ENGINE_NAME: &str = "monty";
/// The context that the container's own program runs in; clients do not see it.
const PROGRAM: &str = "program";

/// This engine and the version of its dumps: only the same version reads them again.
#[must_use]
pub fn engine_version() -> EngineVersion {
    EngineVersion {
        name: ENGINE_NAME.to_owned(),
        version: u32::from(DUMP_VERSION),
    }
}

/// Why the engine could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
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
    /// The payload is not one of this engine.
    #[error("read the checkpoint's payload")]
    Payload(#[from] postcard::Error),
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
}

impl MontySandbox {
    /// A sandbox without history, with its folders below `root` and one context.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn fresh(root: &Path, env: BTreeMap<String, String>) -> Result<Self, EngineError> {
        let host = Host::open(root, env).map_err(EngineError::Folders)?;
        let default_context = Uuid::new_v4().to_string();
        let contexts = BTreeMap::from([(default_context.clone(), Context::fresh(HOME))]);
        Ok(Self {
            root: root.to_owned(),
            host,
            contexts,
            default_context,
        })
    }

    /// The sandbox that [`dump`](Self::dump) wrote, with its files laid out below the empty `root`.
    /// Its sleepers go on at `now`; the program's output goes to `program`.
    ///
    /// # Errors
    /// The payload is damaged or of another version, or the files cannot be laid out.
    pub fn restore(root: &Path, payload: &[u8], program: &ExecutionSink, now: Timestamp) -> Result<Self, EngineError> {
        let image: SandboxImage = postcard::from_bytes(payload)?;
        image.files.lay_out(root)?;
        let host = Host::open(root, image.env).map_err(EngineError::Folders)?;
        let mut contexts = BTreeMap::new();
        for (id, written) in image.contexts {
            let sink = if id == PROGRAM {
                program.clone()
            } else {
                ExecutionSink::detached()
            };
            contexts.insert(id.clone(), load_context(id, written, sink, now)?);
        }
        Ok(Self {
            root: root.to_owned(),
            host,
            contexts,
            default_context: image.default_context,
        })
    }

    /// Writes everything down. Only between calls of [`poll`](Self::poll), where every execution has ended or sleeps.
    ///
    /// # Errors
    /// A session or a file cannot be read.
    pub fn dump(&self, now: Timestamp) -> Result<Vec<u8>, EngineError> {
        let mut contexts = BTreeMap::new();
        for (id, context) in &self.contexts {
            contexts.insert(id.clone(), dump_context(id, context, now)?);
        }
        Ok(postcard::to_allocvec(&SandboxImage {
            env: self.host.env.clone(),
            default_context: self.default_context.clone(),
            contexts,
            files: FileTree::capture(&self.root)?,
        })?)
    }

    /// Bytes of interpreter state, as the engine writes it down. Files do not count.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let size = |(id, context)| dump_context(id, context, Timestamp::UNIX_EPOCH).map_or(0, |image| image.dump.len());
        self.contexts.iter().map(size).sum::<usize>() as u64
    }

    /// Hands code to a context (the default one when `None`); it runs at the next [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`EngineError::NoContext`].
    pub fn execute(
        &mut self,
        context: Option<&str>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Result<(), EngineError> {
        let id = context.unwrap_or(&self.default_context).to_owned();
        let context = self.visible(&id)?;
        context.waiting.push_back(Execution { code, env, sink });
        Ok(())
    }

    /// Starts the container's own program.
    pub fn start_program(&mut self, code: String, sink: ExecutionSink) {
        let mut context = Context::fresh(HOME);
        context.waiting.push_back(Execution {
            code,
            env: BTreeMap::new(),
            sink,
        });
        self.contexts.insert(PROGRAM.to_owned(), context);
    }

    /// Runs whatever can run at `now`.
    pub fn poll(&mut self, now: Timestamp) {
        for context in self.contexts.values_mut() {
            context.poll(&mut self.host, now);
        }
    }

    /// Moves every sleeper's end by the time for which the sandbox was frozen.
    pub fn skip(&mut self, frozen: SignedDuration) {
        for context in self.contexts.values_mut() {
            if let Session::Sleeping(sleeper) = &mut context.session {
                sleeper.until = sleeper.until.saturating_add(frozen).unwrap_or(Timestamp::MAX);
            }
        }
    }

    /// When [`poll`](Self::poll) has something to do by itself.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.contexts.values().filter_map(Context::wake_at).min()
    }

    /// The contexts that clients see, by id; the default one first.
    #[must_use]
    pub fn contexts(&self) -> Vec<ContextInfo> {
        let info = |(id, context): (&ContextId, &Context)| ContextInfo {
            id: id.clone(),
            cwd: context.cwd.clone(),
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = self
            .contexts
            .iter()
            .filter(|(id, _)| *id != PROGRAM)
            .map(info)
            .partition(|context| context.id == self.default_context);
        first.extend(rest);
        first
    }

    /// Makes a context.
    pub fn create_context(&mut self, cwd: Option<&str>) -> ContextInfo {
        let id = Uuid::new_v4().to_string();
        let context = Context::fresh(cwd.unwrap_or(HOME));
        let info = ContextInfo {
            id: id.clone(),
            cwd: context.cwd.clone(),
        };
        self.contexts.insert(id, context);
        info
    }

    /// Empties a context; whatever runs or waits in it ends without an answer.
    ///
    /// # Errors
    /// [`EngineError::NoContext`].
    pub fn restart_context(&mut self, id: &str) -> Result<(), EngineError> {
        let context = self.visible(id)?;
        *context = Context::fresh(&context.cwd.clone());
        Ok(())
    }

    /// Removes a context. The default one is emptied instead, since calls without a context go there.
    ///
    /// # Errors
    /// [`EngineError::NoContext`].
    pub fn remove_context(&mut self, id: &str) -> Result<(), EngineError> {
        if id == self.default_context {
            return self.restart_context(id);
        }
        self.visible(id)?;
        self.contexts.remove(id);
        Ok(())
    }

    /// The environment of the sandbox.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.host.env
    }

    fn visible(&mut self, id: &str) -> Result<&mut Context, EngineError> {
        let context = if id == PROGRAM { None } else { self.contexts.get_mut(id) };
        context.ok_or_else(|| EngineError::NoContext(id.to_owned()))
    }
}

fn dump_context(id: &ContextId, context: &Context, now: Timestamp) -> Result<ContextImage, EngineError> {
    let failed = |reason: String| EngineError::Dump {
        context: id.clone(),
        reason,
    };
    let (session, sleeping) = match &context.session {
        Session::Idle(repl) => (SessionRef::Idle(repl), None),
        Session::Sleeping(sleeper) => {
            let left = Duration::try_from(sleeper.until.duration_since(now)).unwrap_or_default();
            (
                SessionRef::Suspended(&sleeper.progress),
                Some(SleeperImage {
                    left,
                    env: sleeper.env.clone(),
                }),
            )
        }
        Session::Running => return Err(failed("an execution is under way".to_owned())),
    };
    let dump = dump("main.py", None, session).map_err(|error| failed(error.to_string()))?;
    Ok(ContextImage {
        cwd: context.cwd.clone(),
        executions: context.executions,
        dump,
        sleeping,
    })
}

fn load_context(
    id: ContextId,
    written: ContextImage,
    sink: ExecutionSink,
    now: Timestamp,
) -> Result<Context, EngineError> {
    let loaded = Dump::load(&written.dump).map_err(|source| EngineError::Load { context: id, source })?;
    let session = match (loaded.state, written.sleeping) {
        (DumpedSession::Suspended(progress), Some(SleeperImage { left, env })) => {
            let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::MAX);
            let until = now.saturating_add(left).unwrap_or(Timestamp::MAX);
            Session::Sleeping(Sleeper {
                progress,
                until,
                env,
                sink,
            })
        }
        (DumpedSession::Idle(repl), None) => Session::Idle(repl),
        (DumpedSession::Idle(_) | DumpedSession::Suspended(_) | DumpedSession::Running(_), _) => {
            return Err(EngineError::Payload(postcard::Error::SerdeDeCustom));
        }
    };
    Ok(Context {
        session,
        ..Context::fresh(&written.cwd)
    })
    .map(|mut context| {
        context.executions = written.executions;
        context
    })
}
