//! The code contexts of a sandbox: which kernel each has, and who waits for which execution.
//!
//! A kernel is a process like any other, kept by init over hang-ups and restores. One that dies ends its
//! executions with an error; the next execution gets a new one.

mod image;
mod interrupt;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{Followed, InitClient};
use super::init::Request;
use super::kernel::{KernelEvent, KernelLine, KernelRequest, Lines};
use crate::engine::{ContextId, ContextInfo, ExecutionEvent, ExecutionSink, ProcessEvent, ProcessSpec, SandboxError};
pub(super) use image::ContextsImage;
use interrupt::Interrupt;

const HOME: &str = "/home/user";
const SIGKILL: i32 = 9;

/// All contexts of a sandbox. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub(super) struct Contexts {
    client: InitClient,
    script: PathBuf,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug)]
struct Table {
    default: ContextId,
    contexts: BTreeMap<ContextId, Context>,
}

#[derive(Debug)]
struct Context {
    cwd: String,
    /// Held by whoever starts or ends its kernel.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// The pid of its kernel, if it has one.
    kernel: Option<u32>,
    next_execution: u64,
    waiting: BTreeMap<u64, Waiting>,
    lines: Lines,
}

#[derive(Debug)]
struct Waiting {
    sink: ExecutionSink,
    started: CancellationToken,
    ended: CancellationToken,
}

impl Context {
    fn new(cwd: &str) -> Self {
        Self {
            cwd: cwd.to_owned(),
            changing: Arc::default(),
            kernel: None,
            next_execution: 1,
            waiting: BTreeMap::new(),
            lines: Lines::default(),
        }
    }

    /// Has no kernel.
    fn empty(&mut self) {
        self.kernel = None;
        self.next_execution = 1;
        self.lines = Lines::default();
        self.end_all();
    }

    /// Whoever waits gets no answer.
    fn end_all(&mut self) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            waiting.ended.cancel();
        }
    }
}

impl Contexts {
    /// One context, with a kernel that starts.
    pub(super) async fn fresh(client: InitClient, script: PathBuf) -> Result<Self, SandboxError> {
        let default = Uuid::new_v4().to_string();
        let contexts = BTreeMap::from([(default.clone(), Context::new(HOME))]);
        let contexts = Self {
            client,
            script,
            table: Arc::new(Mutex::new(Table {
                default: default.clone(),
                contexts,
            })),
        };
        contexts.start_kernel(&default).await?;
        Ok(contexts)
    }

    /// Listens to every kernel again, after a hang-up.
    pub(super) async fn listen(&self) -> Result<(), SandboxError> {
        for (id, pid) in self.kernels() {
            match self.client.follow("listen to a kernel", Request::Connect { pid }).await {
                Ok(followed) => self.follow(id, followed),
                Err(SandboxError::NoProcess(_)) => self.kernel_ended(&id, pid),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Init has ended, and with it the way to every kernel.
    pub(super) fn lost(&self) {
        for (id, pid) in self.kernels() {
            self.kernel_ended(&id, pid);
        }
    }

    fn kernels(&self) -> Vec<(ContextId, u32)> {
        let table = self.table();
        let kernel = |(id, context): (&ContextId, &Context)| Some((id.clone(), context.kernel?));
        table.contexts.iter().filter_map(kernel).collect()
    }

    pub(super) fn list(&self) -> Vec<ContextInfo> {
        let table = self.table();
        let info = |(id, context): (&ContextId, &Context)| ContextInfo {
            id: id.clone(),
            cwd: context.cwd.clone(),
        };
        let all = table.contexts.iter().map(info);
        let (mut first, rest): (Vec<_>, Vec<_>) = all.partition(|context| context.id == table.default);
        first.extend(rest);
        first
    }

    pub(super) async fn create(&self, cwd: Option<String>) -> Result<ContextInfo, SandboxError> {
        let id = Uuid::new_v4().to_string();
        let cwd = cwd.unwrap_or_else(|| HOME.to_owned());
        let followed = self.begin_kernel(cwd.clone()).await?;
        // Only now, before anything can be written down: nobody was given its id.
        let context = Context {
            kernel: Some(followed.stream.pid),
            ..Context::new(&cwd)
        };
        self.table().contexts.insert(id.clone(), context);
        self.follow(id.clone(), followed);
        Ok(ContextInfo { id, cwd })
    }

    /// Ends the context's kernel; the default context is emptied and stays.
    pub(super) async fn remove(&self, id: &str) -> Result<(), SandboxError> {
        if id == self.table().default {
            return self.restart(id).await;
        }
        let _changing = self.changing(id).await?;
        self.end_kernel(id).await?;
        self.table().contexts.remove(id);
        Ok(())
    }

    pub(super) async fn restart(&self, id: &str) -> Result<(), SandboxError> {
        let _changing = self.changing(id).await?;
        self.end_kernel(id).await?;
        find(&mut self.table(), id)?.empty();
        self.start_kernel(id).await
    }

    /// For whoever starts or ends the kernel of a context: nobody else does meanwhile.
    async fn changing(&self, id: &str) -> Result<OwnedMutexGuard<()>, SandboxError> {
        let changing = Arc::clone(&find(&mut self.table(), id)?.changing);
        let alone = changing.lock_owned().await;
        // It may have been removed meanwhile.
        find(&mut self.table(), id).map(|_| alone)
    }

    /// The pid of a kernel that code can be sent to.
    async fn kernel(&self, id: &str) -> Result<u32, SandboxError> {
        if let Some(pid) = find(&mut self.table(), id)?.kernel {
            return Ok(pid);
        }
        let _changing = self.changing(id).await?;
        let known = find(&mut self.table(), id)?.kernel;
        if known.is_none() {
            self.start_kernel(id).await?;
        }
        find(&mut self.table(), id)?.kernel.ok_or(SandboxError::Ended)
    }

    pub(super) async fn execute(
        &self,
        id: Option<String>,
        code: &str,
        env: &BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Result<(), SandboxError> {
        let id = id.unwrap_or_else(|| self.table().default.clone());
        self.kernel(&id).await?;
        let waiting = Waiting {
            sink,
            started: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let interrupt = Interrupt {
            client: self.client.clone(),
            asked: waiting.sink.interrupt.clone(),
            started: waiting.started.clone(),
            ended: waiting.ended.clone(),
        };
        let (pid, execution) = {
            let mut table = self.table();
            let context = find(&mut table, &id)?;
            let pid = context.kernel.ok_or(SandboxError::Ended)?;
            let execution = context.next_execution;
            context.next_execution += 1;
            context.waiting.insert(execution, waiting);
            (pid, execution)
        };
        tokio::spawn(interrupt.run(pid));
        let request = KernelRequest {
            id: execution,
            code,
            env,
        };
        let data = request.to_line().into();
        let sent = self.client.ask("run code", Request::Input { pid, data }).await;
        if let Err(error) = sent {
            if let Some(context) = self.table().contexts.get_mut(&id) {
                context.waiting.remove(&execution);
            }
            return Err(error);
        }
        Ok(())
    }

    async fn start_kernel(&self, id: &str) -> Result<(), SandboxError> {
        let cwd = find(&mut self.table(), id)?.cwd.clone();
        let followed = self.begin_kernel(cwd).await?;
        find(&mut self.table(), id)?.kernel = Some(followed.stream.pid);
        self.follow(id.to_owned(), followed);
        Ok(())
    }

    /// A kernel that is in no context yet. Nothing is written down as long as it is held.
    async fn begin_kernel(&self, cwd: String) -> Result<Followed, SandboxError> {
        let spec = ProcessSpec {
            program: "python3".to_owned(),
            args: vec![self.script.display().to_string()],
            cwd: Some(cwd),
            keep_output: true,
            ..ProcessSpec::default()
        };
        self.client.follow("start a kernel", Request::Start(spec)).await
    }

    /// Whatever waits in the context ends without an answer, and then its kernel. What is written down in between has it
    /// still, as the tree does.
    async fn end_kernel(&self, id: &str) -> Result<(), SandboxError> {
        let kernel = {
            let mut table = self.table();
            let context = find(&mut table, id)?;
            context.end_all();
            context.kernel
        };
        let Some(pid) = kernel else { return Ok(()) };
        let signal = Request::Signal { pid, signal: SIGKILL };
        match self.client.ask("end a kernel", signal).await {
            Ok(_) | Err(SandboxError::NoProcess(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hands on what a kernel says until init hangs up or the kernel ends.
    fn follow(&self, id: ContextId, mut followed: Followed) {
        let contexts = self.clone();
        tokio::spawn(async move {
            let pid = followed.stream.pid;
            while let Some(event) = followed.stream.events.recv().await {
                match event {
                    ProcessEvent::Stdout(piece) => contexts.said(&id, pid, &piece),
                    ProcessEvent::Stderr(text) => {
                        tracing::warn!(context = id, text = %String::from_utf8_lossy(&text), "a kernel complains");
                    }
                    ProcessEvent::Terminal(_) => {}
                    ProcessEvent::Exited(_) => contexts.kernel_ended(&id, pid),
                }
            }
        });
    }

    fn said(&self, id: &str, pid: u32, piece: &[u8]) {
        let mut table = self.table();
        let current = table.contexts.get_mut(id).filter(|context| context.kernel == Some(pid));
        let Some(context) = current else { return };
        for line in context.lines.push(piece) {
            match serde_json::from_slice(&line) {
                Ok(line) => context.take(line),
                Err(error) => tracing::warn!(%error, context = id, "a kernel said what cannot be read"),
            }
        }
    }

    fn kernel_ended(&self, id: &str, pid: u32) {
        let mut table = self.table();
        let current = table.contexts.get_mut(id).filter(|context| context.kernel == Some(pid));
        let Some(context) = current else { return };
        context.kernel = None;
        context.lines = Lines::default();
        for (_, waiting) in std::mem::take(&mut context.waiting) {
            waiting.ended.cancel();
            waiting.sink.send(ExecutionEvent::Error {
                name: "KernelDied".to_owned(),
                value: "the interpreter of this context ended; its variables are lost".to_owned(),
                traceback: String::new(),
            });
            waiting.sink.send(ExecutionEvent::Ended { executions: 0 });
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that holds the lock can panic half-way through a change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    fn take(&mut self, line: KernelLine) {
        // An execution of before the checkpoint has nobody who waits for it.
        let Some(id) = line.id.filter(|id| self.waiting.contains_key(id)) else {
            return;
        };
        let ended = matches!(line.event, KernelEvent::Ended { .. });
        if let Some(waiting) = self.waiting.get(&id) {
            waiting.started.cancel();
            if let Some(event) = line.event.into_execution_event() {
                waiting.sink.send(event);
            }
        }
        if ended && let Some(waiting) = self.waiting.remove(&id) {
            waiting.ended.cancel();
        }
    }
}

fn find<'a>(table: &'a mut Table, id: &str) -> Result<&'a mut Context, SandboxError> {
    let context = table.contexts.get_mut(id);
    context.ok_or_else(|| SandboxError::NoContext(id.to_owned()))
}
