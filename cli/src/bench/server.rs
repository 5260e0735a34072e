//! The servers under load, each a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::param::clock_ticks_per_second;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::load::{Call, Connection};

/// Where the controller serves its meters.
pub const METERS: &str = "/metrics";
/// How long a server may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct Server {
    child: Child,
    /// `host:port`.
    pub authority: String,
    /// From the start of the process to its first answer.
    pub started_in: Duration,
    /// What it goes on to print must not be refused.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts the mock API server of this program.
    pub async fn mock() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args(["apiserver", "--port", "0"]);
        Self::start(command, "/readyz").await
    }

    /// Starts the controller of this program over the cluster of a kubeconfig; what it serves are its meters.
    pub async fn controller(kubeconfig: &Path, agent_port: u16) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args([
            "--log",
            "error",
            "controller",
            "--leader-elect",
            "false",
            "--store",
            "memory:///",
        ]);
        command.args(["--metrics-address", "127.0.0.1:0", "--health-address", "127.0.0.1:0"]);
        command
            .args(["--agent-port", &agent_port.to_string(), "--kubeconfig"])
            .arg(kubeconfig);
        Self::start(command, METERS).await
    }

    /// Starts Kubernetes' own API server for custom resources, with its etcd not waiting for the disk.
    pub async fn real(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["-listen", "127.0.0.1:0", "-no-fsync"]);
        Self::start(command, "/readyz").await
    }

    /// Starts a server that prints its URL on its first line, and waits until it answers on `path`.
    async fn start(mut command: Command, path: &str) -> anyhow::Result<Self> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let begin = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let output = child.stdout.take().context("read the output of a server")?;
        let mut output = BufReader::new(output).lines();
        let line = output.next_line().await?;
        let authority = line
            .as_deref()
            .and_then(|line| line.split_once("http://"))
            .and_then(|(_, rest)| rest.split([' ', '/']).next())
            .ok_or_else(|| anyhow!("{program} ended or printed no URL: {line:?}"))?
            .to_owned();
        Connection::open(&authority).await?.expect(&Call::get(path)).await?;
        Ok(Self {
            child,
            authority,
            started_in: begin.elapsed(),
            _output: output,
        })
    }

    /// The memory that the process holds, in MiB; `None` where the system does not say.
    pub fn resident_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes / 1024.0)
    }

    /// The processor time that the process has used; `None` where the system does not say.
    pub fn processor_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()?)).ok()?;
        // The name before may have spaces. From the state on, user and system time are the 12th and 13th field.
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks: Vec<u64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        let milliseconds = ticks.iter().sum::<u64>() * 1000 / clock_ticks_per_second();
        Some(Duration::from_millis(milliseconds))
    }

    /// Ends the server: kindly where it listens to the end of its input, by force otherwise.
    pub async fn stop(mut self, kindly: bool) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        if !kindly || tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
