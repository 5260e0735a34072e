//! The embedded engine by the contract of every engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};

use super::host::FOLDERS;
use super::limits::ExecutionLimits;
use super::memory::MemoryGauge;
use super::process::{Origin, SandboxProcess};
use super::sandbox::engine_version;
use crate::clock::Clock;
use crate::engine::{
    Answer, CommandRefused, ContextInfo, Engine, ExecutionSink, Facet, Fresh, Interpreter, Place, Processes, Sandbox,
    Usage,
};
use crate::payload::{Payload, PayloadReader};
use crate::step::{Step, Steps};
use crate::store::EngineVersion;

/// How long a reading of memory may take; code that runs just then is not waited for.
const USAGE_LIMIT: Duration = Duration::from_millis(200);

/// How long code may take to notice that its sandbox is to end.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Runs Python in this process. Any number of sandboxes, each on a thread of its own.
#[derive(Clone, Debug)]
pub struct MontyEngine {
    clock: Clock,
    limits: ExecutionLimits,
    gauge: Option<MemoryGauge>,
    steps: Steps,
}

impl MontyEngine {
    /// An engine whose sandboxes read this clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            limits: ExecutionLimits::default(),
            gauge: None,
            steps: Steps::default(),
        }
    }

    /// The same engine, whose executions are held to `limits`.
    #[must_use]
    pub fn with_limits(self, limits: ExecutionLimits) -> Self {
        Self { limits, ..self }
    }

    /// The same engine, with one sandbox in this process, whose executions are measured.
    #[must_use]
    pub fn with_gauge(self, gauge: MemoryGauge) -> Self {
        Self {
            gauge: Some(gauge),
            ..self
        }
    }

    /// The same engine, which tells the steps of restores.
    #[must_use]
    pub fn with_steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    async fn run(&self, place: Place, origin: Origin) -> Result<Arc<dyn Sandbox>, crate::SandboxError> {
        let (clock, limits, gauge) = (self.clock.clone(), self.limits, self.gauge.clone());
        let process = SandboxProcess::start_limited(place.directory, origin, place.output, clock, limits, gauge);
        Ok(Arc::new(process.await?))
    }
}

impl Engine for MontyEngine {
    fn version(&self) -> EngineVersion {
        engine_version()
    }

    fn facets(&self) -> &'static [Facet] {
        &[Facet::Memory, Facet::Files, Facet::Timers]
    }

    fn accepts(&self, command: &[String]) -> Result<(), CommandRefused> {
        program(command).map(drop)
    }

    fn start(&self, place: Place, fresh: Fresh) -> Answer<'_, Arc<dyn Sandbox>> {
        let origin = Origin::Fresh {
            env: fresh.env,
            // What is not accepted was refused before.
            program: program(&fresh.command).ok().flatten(),
        };
        self.run(place, origin).boxed()
    }

    fn restore(&self, place: Place, payload: PayloadReader) -> Answer<'_, Arc<dyn Sandbox>> {
        async move {
            let payload = payload.read().await?;
            self.steps.done(Step::Read);
            let sandbox = self.run(place, Origin::Checkpoint(payload)).await?;
            self.steps.done(Step::Serving);
            Ok(sandbox)
        }
        .boxed()
    }
}

/// The code of `python3 -c CODE`.
fn program(command: &[String]) -> Result<Option<String>, CommandRefused> {
    match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(None),
        ["python" | "python3", "-c", code] => Ok(Some((*code).to_owned())),
        _ => Err(CommandRefused {
            accepted: "the embedded engine runs [\"python3\", \"-c\", CODE] or no command at all",
            command: command.to_vec(),
        }),
    }
}

impl Sandbox for SandboxProcess {
    fn root(&self) -> &Path {
        Self::root(self)
    }

    /// Code holds these open: it would go on in what was removed or moved.
    fn fixed_folders(&self) -> &'static [&'static str] {
        &FOLDERS
    }

    fn freeze(&self, limit: Duration) -> Answer<'_, ()> {
        Self::freeze(self, limit).boxed()
    }

    fn checkpoint(&self) -> Answer<'_, Payload> {
        ready(self.dump()).boxed()
    }

    fn thaw(&self) -> Answer<'_, ()> {
        Self::thaw(self).boxed()
    }

    /// Code that catches every interrupt is not waited for; it is left to run out.
    fn stop(&self) -> BoxFuture<'_, ()> {
        tokio::time::timeout(STOP_LIMIT, Self::stop(self)).map(drop).boxed()
    }

    /// Memory is that of the last reading while code runs.
    fn usage(&self) -> Answer<'_, Usage> {
        async move {
            let memory_bytes = tokio::time::timeout(USAGE_LIMIT, self.state_bytes()).await;
            Ok(Usage {
                cpu: self.cpu(),
                memory_bytes: memory_bytes.unwrap_or(Ok(self.last_state_bytes()))?,
            })
        }
        .boxed()
    }

    fn env(&self) -> Answer<'_, BTreeMap<String, String>> {
        Self::env(self).boxed()
    }

    fn interpreter(&self) -> &dyn Interpreter {
        self
    }

    fn processes(&self) -> Option<&dyn Processes> {
        None
    }
}

impl Interpreter for SandboxProcess {
    fn execute(
        &self,
        context: Option<String>,
        code: String,
        env: BTreeMap<String, String>,
        sink: ExecutionSink,
    ) -> Answer<'_, ()> {
        Self::execute(self, context, code, env, sink).boxed()
    }

    fn contexts(&self) -> Answer<'_, Vec<ContextInfo>> {
        Self::contexts(self).boxed()
    }

    fn create_context(&self, cwd: Option<String>) -> Answer<'_, ContextInfo> {
        Self::create_context(self, cwd).boxed()
    }

    fn restart_context(&self, id: String) -> Answer<'_, ()> {
        Self::restart_context(self, id).boxed()
    }

    fn remove_context(&self, id: String) -> Answer<'_, ()> {
        Self::remove_context(self, id).boxed()
    }
}
