//! Engines that break one guarantee each, made of one that keeps them all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use torpor_runtime::{
    Answer, CommandRefused, ContextInfo, Engine, EngineVersion, ExecutionEvent, ExecutionSink, Facet, Fresh,
    Interpreter, Payload, PayloadReader, Place, ProcessEvent, ProcessInfo, ProcessSpec, ProcessStream, Processes,
    Sandbox, SandboxError, TerminalSize, Usage,
};

/// A guarantee that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    RestoresWithoutMemory,
    RestoresWithoutFiles,
    BeginsTheProgramAnew,
    SleepsForgotten,
    RunsWhileFrozen,
    WritesDownWhatFollows,
    LosesMemoryByWritingDown,
    WritesDownWhatRuns,
    ThawsOnASecondFreeze,
    RunsAfterTheStop,
    StartsFreshFromDamage,
    IgnoresInterrupts,
    KnowsOneContext,
    CountsNothing,
    SharesOneSandbox,
    ForgetsTheEnvironment,
    ForgetsWhatWaits,
    LosesProcesses,
    ClosesFiles,
    ClosesListeningSockets,
    LosesOutput,
    IgnoresSizes,
    ForgetsOrphans,
    LosesChangesOfTheImage,
}

impl Fault {
    pub(crate) const ALL: [Self; 17] = [
        Self::RestoresWithoutMemory,
        Self::RestoresWithoutFiles,
        Self::BeginsTheProgramAnew,
        Self::SleepsForgotten,
        Self::RunsWhileFrozen,
        Self::WritesDownWhatFollows,
        Self::LosesMemoryByWritingDown,
        Self::WritesDownWhatRuns,
        Self::ThawsOnASecondFreeze,
        Self::RunsAfterTheStop,
        Self::StartsFreshFromDamage,
        Self::IgnoresInterrupts,
        Self::KnowsOneContext,
        Self::CountsNothing,
        Self::SharesOneSandbox,
        Self::ForgetsTheEnvironment,
        Self::ForgetsWhatWaits,
    ];

    /// Those that only an engine with processes can have.
    pub(crate) const OF_PROCESSES: [Self; 7] = [
        Self::LosesProcesses,
        Self::ClosesFiles,
        Self::ClosesListeningSockets,
        Self::LosesOutput,
        Self::IgnoresSizes,
        Self::ForgetsOrphans,
        Self::LosesChangesOfTheImage,
    ];

    /// The claim that has to fail.
    pub(crate) fn breaks(self) -> &'static str {
        match self {
            Self::RestoresWithoutMemory => "variables_functions_and_contexts_survive",
            Self::RestoresWithoutFiles => "files_survive_with_their_mode",
            Self::BeginsTheProgramAnew => "a_program_goes_on_without_gap_or_repetition",
            Self::SleepsForgotten => "a_sleep_that_was_interrupted_by_a_pause_ends_once",
            Self::RunsWhileFrozen => "nothing_runs_between_freeze_and_thaw",
            Self::WritesDownWhatFollows => "a_checkpoint_holds_nothing_later_than_the_freeze",
            Self::LosesMemoryByWritingDown => "a_checkpoint_changes_nothing",
            Self::WritesDownWhatRuns => "a_sandbox_that_runs_is_not_written_down",
            Self::ThawsOnASecondFreeze => "a_repeated_call_changes_nothing",
            Self::RunsAfterTheStop => "nothing_runs_after_a_stop",
            Self::StartsFreshFromDamage => "a_damaged_payload_is_refused",
            Self::IgnoresInterrupts => "an_interrupted_execution_ends_and_the_context_goes_on",
            Self::KnowsOneContext => "contexts_have_variables_of_their_own",
            Self::CountsNothing => "cpu_time_never_goes_back",
            Self::SharesOneSandbox => "two_sandboxes_do_not_see_each_other",
            Self::ForgetsTheEnvironment => "the_environment_survives",
            Self::ForgetsWhatWaits => "code_that_was_accepted_before_a_pause_runs_after_it",
            Self::LosesProcesses => "a_process_goes_on_with_its_pid_and_streams",
            Self::ClosesFiles => "pipes_unlinked_files_and_positions_survive",
            Self::ClosesListeningSockets => "a_listening_server_answers_again",
            Self::LosesOutput => "output_is_whole_and_the_exit_is_told",
            Self::IgnoresSizes => "a_terminal_survives",
            Self::ForgetsOrphans => "a_process_that_left_its_parent_belongs_to_the_sandbox",
            Self::LosesChangesOfTheImage => "files_deep_in_the_image_survive",
        }
    }

    /// What undoes something of a sandbox that was restored soundly.
    fn code_after_a_restore(self) -> Option<&'static str> {
        match self {
            Self::ClosesFiles => Some("log.close()"),
            Self::ClosesListeningSockets => Some("server.shutdown(socket.SHUT_RDWR)"),
            Self::ForgetsOrphans => Some(FORGETS_ORPHANS),
            Self::LosesChangesOfTheImage => Some("import shutil\nshutil.rmtree('/usr/share/licenses')"),
            _ => None,
        }
    }
}

/// Ends the process, and waits until it has ended: a signal takes a moment.
const FORGETS_ORPHANS: &str = "
import os, signal
orphan = int(open('/tmp/orphan').read())
os.kill(orphan, signal.SIGKILL)
try:
    while open(f'/proc/{orphan}/stat').read().rpartition(') ')[2][0] not in 'ZX':
        pass
except (FileNotFoundError, ProcessLookupError):
    pass
";

/// An engine with a fault.
#[derive(Debug)]
pub(crate) struct FaultyEngine {
    sound: Arc<dyn Engine>,
    fault: Fault,
    first: Mutex<Option<Arc<dyn Sandbox>>>,
    fresh: Mutex<Fresh>,
}

#[derive(Debug)]
struct FaultySandbox {
    sound: Arc<dyn Sandbox>,
    fault: Fault,
    frozen: Mutex<bool>,
    /// Whose turn it is where one execution after the other is passed on.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl FaultyEngine {
    pub(crate) fn new(sound: Arc<dyn Engine>, fault: Fault) -> Self {
        Self {
            sound,
            fault,
            first: Mutex::default(),
            fresh: Mutex::default(),
        }
    }

    fn faulty(&self, sound: Arc<dyn Sandbox>) -> Arc<dyn Sandbox> {
        Arc::new(FaultySandbox {
            sound,
            fault: self.fault,
            frozen: Mutex::new(false),
            turn: Arc::default(),
        })
    }

    fn earlier(&self) -> Fresh {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn begin(&self, place: Place, fresh: Fresh) -> Result<Arc<dyn Sandbox>, SandboxError> {
        *self.fresh.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Fault::SharesOneSandbox, Some(first)) = (self.fault, first) {
            return Ok(first);
        }
        let sandbox = self.faulty(self.sound.start(place, fresh).await?);
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&sandbox));
        Ok(sandbox)
    }

    async fn bring_back(&self, place: Place, payload: PayloadReader) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let mut fresh = self.earlier();
        let sound = match self.fault {
            Fault::RestoresWithoutMemory | Fault::BeginsTheProgramAnew => self.sound.start(place, fresh).await?,
            Fault::SleepsForgotten | Fault::ForgetsTheEnvironment => {
                fresh = Fresh::default();
                self.sound.start(place, fresh).await?
            }
            Fault::StartsFreshFromDamage => match self.sound.restore(place.clone(), payload).await {
                Ok(sandbox) => sandbox,
                Err(_) => self.sound.start(place, fresh).await?,
            },
            Fault::RestoresWithoutFiles => {
                let sandbox = self.sound.restore(place, payload).await?;
                // Gone already is as good.
                let _ = std::fs::remove_dir_all(sandbox.root().join("home/user"));
                sandbox
            }
            Fault::WritesDownWhatFollows => {
                let sandbox = self.sound.restore(place, payload).await?;
                let (later, sink) = ("x = 2".to_owned(), crate::bench::sink().0);
                sandbox
                    .interpreter()
                    .execute(None, later, BTreeMap::new(), sink)
                    .await?;
                sandbox
            }
            Fault::LosesProcesses => {
                let sandbox = self.sound.restore(place, payload).await?;
                if let Some(processes) = sandbox.processes() {
                    for lost in processes.list().await? {
                        processes.signal(lost.pid, 9).await?;
                    }
                }
                sandbox
            }
            fault => {
                let sandbox = self.sound.restore(place, payload).await?;
                match fault.code_after_a_restore() {
                    Some(code) => run_after(sandbox, code).await?,
                    None => sandbox,
                }
            }
        };
        Ok(self.faulty(sound))
    }
}

/// Runs code in a sandbox to its end.
async fn run_after(sandbox: Arc<dyn Sandbox>, code: &str) -> Result<Arc<dyn Sandbox>, SandboxError> {
    let (sink, mut events) = crate::bench::sink();
    let interpreter = sandbox.interpreter();
    interpreter
        .execute(None, code.to_owned(), BTreeMap::new(), sink)
        .await?;
    while let Some(event) = events.recv().await {
        if matches!(event, ExecutionEvent::Ended { .. }) {
            break;
        }
    }
    Ok(sandbox)
}

impl Engine for FaultyEngine {
    fn version(&self) -> EngineVersion {
        self.sound.version()
    }

    fn facets(&self) -> &'static [Facet] {
        self.sound.facets()
    }

    fn accepts(&self, command: &[String]) -> Result<(), CommandRefused> {
        self.sound.accepts(command)
    }

    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        self.begin(place, fresh).boxed()
    }

    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        self.bring_back(place, payload).boxed()
    }
}

impl FaultySandbox {
    async fn freeze_faultily(&self, limit: Duration) -> Result<(), SandboxError> {
        let second = std::mem::replace(&mut *self.frozen.lock().unwrap_or_else(PoisonError::into_inner), true);
        match self.fault {
            Fault::RunsWhileFrozen => Ok(()),
            Fault::ThawsOnASecondFreeze if second => Err(SandboxError::Busy(limit)),
            _ => self.sound.freeze(limit).await,
        }
    }

    async fn write_down(&self) -> Result<Payload, SandboxError> {
        match self.fault {
            Fault::WritesDownWhatRuns => {
                self.sound.freeze(Duration::from_secs(1)).await?;
                self.sound.checkpoint().await
            }
            Fault::LosesMemoryByWritingDown => {
                let payload = self.sound.checkpoint().await?;
                let contexts = self.sound.interpreter().contexts().await?;
                for context in contexts {
                    self.sound.interpreter().restart_context(context.id).await?;
                }
                Ok(payload)
            }
            _ => self.sound.checkpoint().await,
        }
    }
}

impl Sandbox for FaultySandbox {
    fn root(&self) -> &Path {
        self.sound.root()
    }

    fn freeze(&self, limit: Duration) -> Answer<'_, ()> {
        self.freeze_faultily(limit).boxed()
    }

    fn checkpoint(&self) -> Answer<'_, Payload> {
        self.write_down().boxed()
    }

    fn thaw(&self) -> Answer<'_, ()> {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.sound.thaw()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        match self.fault {
            Fault::RunsAfterTheStop => std::future::ready(()).boxed(),
            _ => self.sound.stop(),
        }
    }

    fn usage(&self) -> Answer<'_, Usage> {
        match self.fault {
            Fault::CountsNothing => std::future::ready(Ok(Usage::default())).boxed(),
            _ => self.sound.usage(),
        }
    }

    fn env(&self) -> Answer<'_, BTreeMap<String, String>> {
        self.sound.env()
    }

    fn interpreter(&self) -> &dyn Interpreter {
        self
    }

    fn processes(&self) -> Option<&dyn Processes> {
        self.sound.processes().map(|_| -> &dyn Processes { self })
    }
}

impl FaultySandbox {
    fn sound_processes(&self) -> Result<&dyn Processes, SandboxError> {
        self.sound.processes().ok_or(SandboxError::Ended)
    }
}

/// Passes on all but the first piece of output.
fn without_the_first(mut sound: ProcessStream) -> ProcessStream {
    let (events, receiver) = tokio::sync::mpsc::channel(64);
    let pid = sound.pid;
    tokio::spawn(async move {
        let mut lost = false;
        while let Some(event) = sound.events.recv().await {
            let first = !lost && matches!(event, ProcessEvent::Stdout(_));
            lost |= first;
            if !first && events.send(event).await.is_err() {
                return;
            }
        }
    });
    ProcessStream { pid, events: receiver }
}

impl Processes for FaultySandbox {
    fn list(&self) -> Answer<'_, Vec<ProcessInfo>> {
        async move { self.sound_processes()?.list().await }.boxed()
    }

    fn start(&self, spec: ProcessSpec) -> Answer<'_, ProcessStream> {
        async move {
            let stream = self.sound_processes()?.start(spec).await?;
            Ok(match self.fault {
                Fault::LosesOutput => without_the_first(stream),
                _ => stream,
            })
        }
        .boxed()
    }

    fn connect(&self, pid: u32) -> Answer<'_, ProcessStream> {
        async move { self.sound_processes()?.connect(pid).await }.boxed()
    }

    fn send_input(&self, pid: u32, input: Vec<u8>) -> Answer<'_, ()> {
        async move { self.sound_processes()?.send_input(pid, input).await }.boxed()
    }

    fn close_stdin(&self, pid: u32) -> Answer<'_, ()> {
        async move { self.sound_processes()?.close_stdin(pid).await }.boxed()
    }

    fn signal(&self, pid: u32, signal: i32) -> Answer<'_, ()> {
        async move { self.sound_processes()?.signal(pid, signal).await }.boxed()
    }

    fn resize(&self, pid: u32, size: TerminalSize) -> Answer<'_, ()> {
        async move {
            match self.fault {
                Fault::IgnoresSizes => Ok(()),
                _ => self.sound_processes()?.resize(pid, size).await,
            }
        }
        .boxed()
    }
}

impl FaultySandbox {
    /// Keeps code to itself until what came before has ended.
    fn accept(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        let (sound, turn) = (Arc::clone(&self.sound), Arc::clone(&self.turn));
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let (passed, mut events) = crate::bench::sink();
            // What is refused has no events.
            let _ = sound.interpreter().execute(context, code, env, passed).await;
            while let Some(event) = events.recv().await {
                let ended = matches!(event, ExecutionEvent::Ended { .. });
                let _ = sink.events.send(event);
                if ended {
                    return;
                }
            }
        });
        std::future::ready(Ok(())).boxed()
    }
}

impl Interpreter for FaultySandbox {
    fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        mut sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        let mut to = context;
        match self.fault {
            Fault::IgnoresInterrupts => sink.interrupt = CancellationToken::new(),
            Fault::KnowsOneContext => to = None,
            Fault::ForgetsWhatWaits => return self.accept(to, code, env, sink),
            _ => {}
        }
        self.sound.interpreter().execute(to, code, env, sink)
    }

    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>> {
        self.sound.interpreter().contexts()
    }

    fn create_context(&self, cwd: Option<String>) -> Answer<'_, ContextInfo> {
        self.sound.interpreter().create_context(cwd)
    }

    fn restart_context(&self, id: String) -> Answer<'_, ()> {
        self.sound.interpreter().restart_context(id)
    }

    fn remove_context(&self, id: String) -> Answer<'_, ()> {
        self.sound.interpreter().remove_context(id)
    }
}
