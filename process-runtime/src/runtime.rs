//! Starts the process of a Pod.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use futures::FutureExt;
use futures::future::BoxFuture;
use mock_node::{ContainerRuntime, PodPlace, RunningContainer, SandboxPod, StartError};
use tokio::process::Command;

use crate::handover;
use crate::running::RunningProcess;

/// How processes are run.
#[derive(Clone)]
pub struct ProcessConfig {
    /// The `torpor` program.
    pub agent: PathBuf,
    /// Options of its command `agent` that are the same for every Pod.
    pub options: Vec<OsString>,
}

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The system makes none.
    #[error("start the agent's process {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It did not get its sockets.
    #[error("hand its sockets to the agent's process")]
    Handover(#[source] io::Error),
}

/// Runs each Pod as a process.
pub struct ProcessRuntime {
    config: ProcessConfig,
}

impl ProcessRuntime {
    /// A runtime that has started nothing yet.
    #[must_use]
    pub fn new(config: ProcessConfig) -> Self {
        Self { config }
    }

    fn run(&self, pod: &SandboxPod, place: PodPlace) -> Result<RunningProcess, ProcessError> {
        let (link, standard_input) = UnixStream::pair().map_err(ProcessError::Handover)?;
        handover::send(&link, place.listeners).map_err(ProcessError::Handover)?;
        let mut command = command(&self.config, pod, &place.work_dir);
        command
            .stdin(Stdio::from(OwnedFd::from(standard_input)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().map_err(|source| ProcessError::Spawn {
            program: self.config.agent.clone(),
            source,
        })?;
        // The other end goes with `command`: when the child has ended, nobody else holds it.
        drop(command);
        Ok(RunningProcess::new(
            pod.full_name(),
            child,
            link,
            place.ip,
            place.work_dir,
        ))
    }
}

/// The command of a Pod's agent. It has the variables of the container and none of this process.
fn command(config: &ProcessConfig, pod: &SandboxPod, work_dir: &Path) -> Command {
    let mut command = Command::new(&config.agent);
    command
        .args(["agent", "--under-node", "--work-dir"])
        .arg(work_dir)
        .args(&config.options)
        .args(
            pod.container
                .limits
                .memory_bytes
                .map(|bytes| format!("--memory-ceiling={bytes}")),
        )
        .arg("--")
        .args(&pod.container.command)
        .args(&pod.container.args)
        .env_clear()
        .envs(&pod.container.env)
        // Ctrl-C is for the node, which then ends its Pods in order.
        .process_group(0);
    command
}

impl ContainerRuntime for ProcessRuntime {
    fn start(&self, pod: SandboxPod, place: PodPlace) -> BoxFuture<'_, Result<Box<dyn RunningContainer>, StartError>> {
        async move {
            let running = self.run(&pod, place)?;
            Ok(Box::new(running) as Box<dyn RunningContainer>)
        }
        .boxed()
    }
}
