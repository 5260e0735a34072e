//! The servers under load, each a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::load::{Call, Connection};

/// How long a server may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct Server {
    child: Child,
    /// `host:port`.
    pub authority: String,
    /// From the start of the process to its first answer.
    pub started_in: Duration,
}

impl Server {
    /// Starts the mock API server of this program.
    pub async fn mock() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args(["apiserver", "--port", "0"]);
        Self::start(command).await
    }

    /// Starts Kubernetes' own API server for custom resources, with its etcd not waiting for the disk.
    pub async fn real(program: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["-listen", "127.0.0.1:0", "-no-fsync"]);
        Self::start(command).await
    }

    /// Starts a server that prints its URL on its first line.
    async fn start(mut command: Command) -> anyhow::Result<Self> {
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
        let line = BufReader::new(output).lines().next_line().await?;
        let authority = line
            .as_deref()
            .and_then(|line| line.split_once("http://"))
            .and_then(|(_, rest)| rest.split([' ', '/']).next())
            .ok_or_else(|| anyhow!("{program} ended or printed no URL: {line:?}"))?
            .to_owned();
        Connection::open(&authority)
            .await?
            .expect(&Call::get("/readyz"))
            .await?;
        Ok(Self {
            child,
            authority,
            started_in: begin.elapsed(),
        })
    }

    /// The memory that the process holds, in MiB; `None` where the system does not say.
    pub fn resident_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes / 1024.0)
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
