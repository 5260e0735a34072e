//! What runs sandboxes: the choice on the command line, and the init that the CRIU engine starts of this program.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use torpor_runtime::{Clock, Engine, MontyEngine};

/// What runs sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// Python alone, interpreted in the process; needs nothing
    #[default]
    Monty,
    /// Real processes, checkpointed by CRIU; needs Linux and a container with its capabilities
    Criu,
}

impl EngineKind {
    /// The engine, to run sandboxes in this process or below it.
    ///
    /// # Errors
    /// This system has no such engine.
    pub fn build(self) -> anyhow::Result<Arc<dyn Engine>> {
        match self {
            Self::Monty => Ok(Arc::new(MontyEngine::new(Clock::system()))),
            Self::Criu => criu(),
        }
    }
}

#[cfg(target_os = "linux")]
fn criu() -> anyhow::Result<Arc<dyn Engine>> {
    use anyhow::Context as _;

    let program = std::env::current_exe().context("find the program of init")?;
    let init = vec![program.into_os_string(), "sandbox-init".into()];
    let config = torpor_runtime::CriuConfig::new(init);
    Ok(Arc::new(torpor_runtime::CriuEngine::new(config)))
}

#[cfg(not(target_os = "linux"))]
fn criu() -> anyhow::Result<Arc<dyn Engine>> {
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
