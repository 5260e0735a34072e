//! What runs sandboxes: the choice on the command line, and the init that the CRIU engine starts of this program.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use torpor_runtime::{Clock, Engine, ExecutionLimits, MemoryGauge, MontyEngine, Steps};

use crate::exit::wrong_input;
use crate::operate::args::AgentArgs;

/// What runs sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// Python alone, interpreted in the process; needs nothing
    #[default]
    Monty,
    /// Real processes, checkpointed by CRIU; needs Linux and a container with its capabilities
    Criu,
}

/// What one execution of code may take.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct ExecutionArgs {
    /// End code that has computed for so long with `TimeoutError`; sleeping does not count. For the monty engine
    #[arg(long, value_name = "SECONDS", value_parser = RangedU64ValueParser::<u64>::new().range(1..=31_536_000))]
    pub execution_time: Option<u64>,
    /// How deep calls may be nested before `RecursionError`; 1000 when absent. For the monty engine
    #[arg(long, value_name = "CALLS", value_parser = RangedU64ValueParser::<u32>::new().range(1..=5000))]
    pub recursion_limit: Option<u32>,
    /// End code that adds more than this to the memory of its process with `MemoryError`; 1024 when absent. In a process that
    /// sandboxes share, only single results are held to it. For the monty engine
    #[arg(long, value_name = "MIB", value_parser = RangedU64ValueParser::<u64>::new().range(1..=4_294_967_296))]
    pub execution_memory: Option<u64>,
}

impl ExecutionArgs {
    /// The options that say the same to another process.
    pub fn options(self) -> Vec<OsString> {
        let options = [
            self.execution_time.map(|seconds| format!("--execution-time={seconds}")),
            self.recursion_limit.map(|calls| format!("--recursion-limit={calls}")),
            self.execution_memory.map(|mib| format!("--execution-memory={mib}")),
        ];
        options.into_iter().flatten().map(OsString::from).collect()
    }

    fn refuse_for_criu(self) -> anyhow::Result<()> {
        if self.limits() == ExecutionLimits::default() {
            return Ok(());
        }
        Err(wrong_input(
            "--engine criu holds no execution to --execution-time, --execution-memory or --recursion-limit; limit the \
             container (resources.limits of the Pod) or the code (resource.setrlimit, sys.setrecursionlimit)",
        ))
    }

    fn limits(self) -> ExecutionLimits {
        let usual = ExecutionLimits::default();
        ExecutionLimits {
            time: self.execution_time.map(Duration::from_secs).or(usual.time),
            recursion: self.recursion_limit.map_or(usual.recursion, |calls| calls as usize),
            memory: self.execution_memory.map(bytes).or(usual.memory),
        }
    }
}

/// When the memory of a sandbox is stored ahead of its pause.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct AheadArgs {
    /// Store the memory of a sandbox that uses no processor time for so long, ahead of a pause, which then writes what has
    /// changed since; 0 for never, 2 when absent. A new sandbox is stored as soon as it has loaded. For the criu engine, and
    /// a store on a disk without a quota
    #[arg(long, value_name = "SECONDS")]
    pub store_ahead_after: Option<u64>,
}

impl AheadArgs {
    /// The options that say the same to another process.
    pub fn options(self) -> Vec<String> {
        vec![format!("--store-ahead-after={}", self.seconds())]
    }

    /// Refuses it for the monty engine, which has no memory to store: it keeps what a session dumps.
    ///
    /// # Errors
    /// It was said.
    pub fn refuse_for_monty(self) -> anyhow::Result<()> {
        match self.store_ahead_after {
            None => Ok(()),
            Some(_) => Err(wrong_input(
                "--store-ahead-after is for --engine criu: the monty engine stores nothing ahead of a pause; leave it out",
            )),
        }
    }

    const fn seconds(self) -> u64 {
        match self.store_ahead_after {
            Some(seconds) => seconds,
            None => 2,
        }
    }

    fn delay(self) -> Option<Duration> {
        (self.seconds() > 0).then(|| Duration::from_secs(self.seconds()))
    }
}

/// More than a machine can address is no limit that it reaches.
fn bytes(mib: u64) -> usize {
    usize::try_from(mib << 20).unwrap_or(usize::MAX)
}

impl EngineKind {
    /// The engine, to run the sandbox of an agent in this process or below it. Beyond its ceiling of memory the process ends.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn build_alone(self, agent: &AgentArgs) -> anyhow::Result<Arc<dyn Engine>> {
        let limits = agent.execution;
        match self {
            Self::Monty => {
                agent.ahead.refuse_for_monty()?;
                Ok(Arc::new(match MemoryGauge::start(agent.memory_ceiling) {
                    Ok(gauge) => monty(limits).with_gauge(gauge),
                    Err(error) => {
                        tracing::warn!(%error, "memory cannot be measured here; only single results are held to a limit");
                        monty(limits)
                    }
                }))
            }
            Self::Criu => {
                limits.refuse_for_criu()?;
                criu(Steps::default(), agent.ahead.delay())
            }
        }
    }

    /// The engine, to run sandboxes in this process or below it.
    ///
    /// # Errors
    /// This system has no such engine, or it cannot hold executions to limits.
    pub fn build(self, limits: ExecutionArgs) -> anyhow::Result<Arc<dyn Engine>> {
        match self {
            Self::Monty => Ok(Arc::new(monty(limits))),
            Self::Criu => {
                limits.refuse_for_criu()?;
                criu(Steps::default(), None)
            }
        }
    }
}

fn monty(limits: ExecutionArgs) -> MontyEngine {
    MontyEngine::new(Clock::system()).with_limits(limits.limits())
}

/// The CRIU engine, which tells `steps` of its checkpoints and restores, and stores the memory of a sandbox ahead of its
/// pause when nothing was used for so long.
///
/// # Errors
/// This program does not know where it is.
#[cfg(target_os = "linux")]
pub fn criu(steps: Steps, store_ahead_after: Option<Duration>) -> anyhow::Result<Arc<dyn Engine>> {
    use anyhow::Context as _;

    let program = std::env::current_exe().context("find the program of init")?;
    let init = vec![program.into_os_string(), "sandbox-init".into()];
    let config = torpor_runtime::CriuConfig {
        steps,
        store_ahead_after,
        ..torpor_runtime::CriuConfig::new(init)
    };
    Ok(Arc::new(torpor_runtime::CriuEngine::new(config)))
}

#[cfg(not(target_os = "linux"))]
fn criu(_steps: Steps, _store_ahead_after: Option<Duration>) -> anyhow::Result<Arc<dyn Engine>> {
    anyhow::bail!("--engine criu needs Linux")
}

/// Runs as the init of a sandbox, for ever.
///
/// # Errors
/// It cannot listen, or the system has no init of this kind.
#[cfg(target_os = "linux")]
pub fn run_init(socket: &Path) -> anyhow::Result<()> {
    Ok(torpor_runtime::run_init(socket)?)
}

/// Runs as the init of a sandbox, for ever.
///
/// # Errors
/// The system has no init of this kind.
#[cfg(not(target_os = "linux"))]
pub fn run_init(socket: &Path) -> anyhow::Result<()> {
    anyhow::bail!("{}: sandboxes of processes need Linux", socket.display())
}
