//! A sandbox for tests: its processes run until they are signalled or told to end, and it uses what a test says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tokio::sync::{Notify, RwLock, mpsc, watch};
use torpor_api::{Addressee, AgentState, CheckpointState, WorkloadState};
use torpor_runtime::{
    Answer, CommandRefused, ContextInfo, Engine, EngineVersion, ExecutionSink, Exit, Facet, Fresh, Interpreter,
    Payload, PayloadReader, Place, ProcessEvent, ProcessInfo, ProcessSpec, ProcessStream, Processes, Sandbox,
    SandboxError, TerminalSize, Usage,
};

use crate::supervisor::Workload;
use crate::watchers::Watchers;

/// Pids are given out anew, from the first one.
const FIRST_PID: u32 = 100;

#[derive(Debug, Default)]
pub(crate) struct FakeSandbox {
    root: PathBuf,
    usage: Mutex<Usage>,
    loss: Notify,
    code: Mutex<FakeCode>,
    taken: Notify,
    running: Mutex<BTreeMap<u32, FakeProcess>>,
}

/// Code that it was given.
#[derive(Debug, Default)]
struct FakeCode {
    /// Waited for before any is taken.
    held: Option<Arc<Notify>>,
    taken: Vec<ExecutionSink>,
}

#[derive(Debug)]
struct FakeProcess {
    spec: ProcessSpec,
    listeners: Vec<mpsc::Sender<ProcessEvent>>,
}

/// Starts one sandbox.
#[derive(Debug)]
pub(crate) struct FakeEngine(pub(crate) Arc<FakeSandbox>);

/// A workload that serves, and what keeps it so.
pub(crate) struct Serving {
    pub(crate) workload: Workload,
    pub(crate) sandbox: Arc<FakeSandbox>,
    pub(crate) state: watch::Sender<AgentState>,
    _sandboxes: watch::Sender<Option<Arc<dyn Sandbox>>>,
}

impl Serving {
    pub(crate) fn below(root: &Path) -> Self {
        let sandbox = Arc::new(FakeSandbox {
            root: root.to_owned(),
            ..FakeSandbox::default()
        });
        let state = watch::Sender::new(AgentState {
            addressee: Addressee::default(),
            engine: "fake".to_owned(),
            restored_generation: None,
            workload: WorkloadState::Serving,
            checkpoint: CheckpointState::None,
        });
        let sandboxes = watch::Sender::new(Some(Arc::clone(&sandbox) as Arc<dyn Sandbox>));
        Self {
            workload: Workload {
                state: state.subscribe(),
                sandbox: sandboxes.subscribe(),
                files: Arc::new(RwLock::new(())),
                watchers: Watchers::default(),
                directory: root.to_owned(),
            },
            sandbox,
            state,
            _sandboxes: sandboxes,
        }
    }
}

impl FakeSandbox {
    pub(crate) fn uses(&self, usage: Usage) {
        *self.usage.lock().expect("whole") = usage;
    }

    /// It ends by itself.
    pub(crate) fn lose(&self) {
        self.loss.notify_one();
    }

    /// Takes no code before it is notified.
    pub(crate) fn hold_code(&self) -> Arc<Notify> {
        let held = Arc::new(Notify::new());
        self.code.lock().expect("whole").held = Some(Arc::clone(&held));
        held
    }

    /// Code that it has taken, once it has.
    pub(crate) async fn code(&self) -> ExecutionSink {
        self.taken.notified().await;
        self.code.lock().expect("whole").taken.pop().expect("some")
    }

    async fn take(&self, sink: ExecutionSink) {
        let held = self.code.lock().expect("whole").held.clone();
        if let Some(held) = held {
            held.notified().await;
        }
        self.code.lock().expect("whole").taken.push(sink);
        self.taken.notify_one();
    }

    /// Who is there, by the program.
    pub(crate) fn runs(&self) -> Vec<String> {
        let running = self.running.lock().expect("whole");
        running.values().map(|process| process.spec.program.clone()).collect()
    }

    pub(crate) fn end(&self, pid: u32, exit: Exit) -> Result<(), SandboxError> {
        let ended = self.running.lock().expect("whole").remove(&pid);
        for listener in ended.ok_or(SandboxError::NoProcess(pid))?.listeners {
            // Whoever listened may have gone.
            let _ = listener.try_send(ProcessEvent::Exited(exit));
        }
        Ok(())
    }

    fn started(&self, spec: ProcessSpec) -> ProcessStream {
        let mut running = self.running.lock().expect("whole");
        let pid = (FIRST_PID..u32::MAX)
            .find(|pid| !running.contains_key(pid))
            .expect("a pid");
        let (listener, events) = mpsc::channel(1);
        let listeners = vec![listener];
        running.insert(pid, FakeProcess { spec, listeners });
        ProcessStream { pid, events }
    }

    fn joined(&self, pid: u32) -> Result<ProcessStream, SandboxError> {
        let mut running = self.running.lock().expect("whole");
        let process = running.get_mut(&pid).ok_or(SandboxError::NoProcess(pid))?;
        let (listener, events) = mpsc::channel(1);
        process.listeners.push(listener);
        Ok(ProcessStream { pid, events })
    }

    fn listed(&self) -> Vec<ProcessInfo> {
        let running = self.running.lock().expect("whole");
        let info = |(pid, process): (&u32, &FakeProcess)| ProcessInfo {
            pid: *pid,
            spec: process.spec.clone(),
        };
        running.iter().map(info).collect()
    }
}

impl Engine for FakeEngine {
    fn version(&self) -> EngineVersion {
        EngineVersion {
            name: "fake".to_owned(),
            version: 1,
        }
    }

    fn facets(&self) -> &'static [Facet] {
        &[]
    }

    fn accepts(&self, _: &[String]) -> Result<(), CommandRefused> {
        Ok(())
    }

    fn start(&self, _: Place, _: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        ready(Ok(Arc::clone(&self.0) as Arc<dyn Sandbox>)).boxed()
    }

    fn restore(&self, _: Place, _: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        ready(Err(SandboxError::Ended)).boxed()
    }
}

impl Sandbox for FakeSandbox {
    fn root(&self) -> &Path {
        &self.root
    }

    fn lost(&self) -> BoxFuture<'_, SandboxError> {
        async {
            self.loss.notified().await;
            SandboxError::NoProcess(1)
        }
        .boxed()
    }

    fn freeze(&self, _: Duration) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn checkpoint(&self) -> Answer<'_, Payload> {
        ready(Err(SandboxError::NotFrozen)).boxed()
    }

    fn thaw(&self) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }

    fn usage(&self) -> Answer<'_, Usage> {
        ready(Ok(*self.usage.lock().expect("whole"))).boxed()
    }

    fn env(&self) -> Answer<'_, BTreeMap<String, String>> {
        ready(Ok(BTreeMap::new())).boxed()
    }

    fn interpreter(&self) -> &dyn Interpreter {
        self
    }

    fn processes(&self) -> Option<&dyn Processes> {
        Some(self)
    }
}

impl Interpreter for FakeSandbox {
    fn execute(
        &self,
        _: Option<String>,
        _: String,
        _: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        self.take(sink).map(Ok).boxed()
    }

    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn create_context(&self, _: Option<String>) -> Answer<'_, ContextInfo> {
        ready(Err(SandboxError::Ended)).boxed()
    }

    fn restart_context(&self, id: String) -> Answer<'_, ()> {
        ready(Err(SandboxError::NoContext(id))).boxed()
    }

    fn remove_context(&self, id: String) -> Answer<'_, ()> {
        ready(Err(SandboxError::NoContext(id))).boxed()
    }
}

impl Processes for FakeSandbox {
    fn list(&self) -> Answer<'_, Vec<ProcessInfo>> {
        ready(Ok(self.listed())).boxed()
    }

    fn start(&self, spec: ProcessSpec) -> Answer<'_, ProcessStream> {
        ready(Ok(self.started(spec))).boxed()
    }

    fn connect(&self, pid: u32) -> Answer<'_, ProcessStream> {
        ready(self.joined(pid)).boxed()
    }

    fn send_input(&self, _: u32, _: Vec<u8>) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn close_stdin(&self, _: u32) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }

    fn signal(&self, pid: u32, signal: i32) -> Answer<'_, ()> {
        ready(self.end(pid, Exit::Signal(signal))).boxed()
    }

    fn resize(&self, _: u32, _: TerminalSize) -> Answer<'_, ()> {
        ready(Ok(())).boxed()
    }
}
