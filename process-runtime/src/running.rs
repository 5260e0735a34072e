//! One process that runs.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mock_apiserver::LogOptions;
use mock_node::{ContainerStage, ContainerUsage, LogStream, RunningContainer, StopError, said_in};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use torpor_agent::{ContainerLog, LogReader};

use crate::report::AgentReport;
use crate::usage;

/// How long an agent has to end its sandbox; then it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// Lines of standard error that are part of how a process ended.
const LAST_WORDS: usize = 3;

/// The process of a sandbox Pod.
pub(crate) struct RunningProcess {
    pid: u32,
    address: IpAddr,
    work_dir: PathBuf,
    stage: watch::Receiver<ContainerStage>,
    log: LogReader,
    /// Closed, it tells the agent to end.
    link: Option<UnixStream>,
    kill: CancellationToken,
    /// Ends when the process has; `None` once that was waited for.
    following: Option<JoinHandle<()>>,
}

impl RunningProcess {
    /// The process of the Pod `pod` (`namespace/name`).
    pub(crate) fn new(pod: String, child: Child, link: UnixStream, address: IpAddr, work_dir: PathBuf) -> Self {
        let (stage, log, kill) = (
            watch::Sender::new(ContainerStage::Starting),
            ContainerLog::default(),
            CancellationToken::new(),
        );
        Self {
            pid: child.id().unwrap_or_default(),
            address,
            work_dir,
            stage: stage.subscribe(),
            log: log.reader(),
            link: Some(link),
            kill: kill.clone(),
            following: Some(tokio::spawn(follow(pod, child, stage, log, kill))),
        }
    }
}

impl RunningContainer for RunningProcess {
    fn id(&self) -> String {
        format!("process://{}", self.pid)
    }

    fn pod_ip(&self) -> IpAddr {
        self.address
    }

    fn stage(&self) -> watch::Receiver<ContainerStage> {
        self.stage.clone()
    }

    fn usage(&self) -> BoxFuture<'_, Option<ContainerUsage>> {
        // The number of a process that has ended may be another's by now.
        let runs = !matches!(*self.stage.borrow(), ContainerStage::Ended { .. });
        std::future::ready(runs.then(|| usage::of(self.pid)).flatten()).boxed()
    }

    fn logs(&self, options: &LogOptions) -> LogStream {
        mock_node::log_stream(&self.log, options)
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        async move {
            drop(self.link.take());
            if let Some(mut following) = self.following.take()
                && tokio::time::timeout(GRACE, &mut following).await.is_err()
            {
                self.kill.cancel();
                // A task that panicked has dropped the process, which kills it.
                let _ = following.await;
            }
            match tokio::fs::remove_dir_all(&self.work_dir).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(%error, path = %self.work_dir.display(), "remove the files of a stopped sandbox");
                }
                Ok(()) | Err(_) => {}
            }
            Ok(())
        }
        .boxed()
    }
}

/// Publishes what the process reports until it has ended, and then how it ended.
async fn follow(
    pod: String,
    mut child: Child,
    stage: watch::Sender<ContainerStage>,
    log: ContainerLog,
    kill: CancellationToken,
) {
    let reports = child.stdout.take();
    let words = tokio::spawn(last_words(pod, child.stderr.take()));
    tokio::select! {
        () = read(reports, &stage, &log) => {}
        () = kill.cancelled() => {}
    }
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = kill.cancelled() => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    let words = words.await.unwrap_or_default();
    let message = match ended {
        Ok(status) => end(status, &words),
        Err(error) => format!("the agent's process cannot be waited for: {error}"),
    };
    stage.send_replace(ContainerStage::Ended { message });
}

async fn read(reports: Option<impl AsyncRead + Unpin>, stage: &watch::Sender<ContainerStage>, log: &ContainerLog) {
    let Some(reports) = reports else { return };
    let mut lines = BufReader::new(reports).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match AgentReport::from_line(&line) {
            Ok(AgentReport::Workload(workload)) => {
                let now = ContainerStage::of(&workload);
                stage.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
            }
            Ok(AgentReport::Log(line)) => log.append(line),
            Err(error) => tracing::warn!(%error, line, "an agent's process reports something unknown"),
        }
    }
}

/// Passes on what the process says of itself, and keeps the last lines.
async fn last_words(pod: String, standard_error: Option<impl AsyncRead + Unpin>) -> VecDeque<String> {
    let mut kept = VecDeque::new();
    let Some(standard_error) = standard_error else {
        return kept;
    };
    let mut lines = BufReader::new(standard_error).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{}", said_in(&pod, &line));
        if is_said_of_itself(&line) {
            kept.push_back(line);
        }
        if kept.len() > LAST_WORDS {
            kept.pop_front();
        }
    }
    kept
}

/// Neither what it logged, nor advice for those who develop it.
fn is_said_of_itself(line: &str) -> bool {
    !(line.trim().is_empty() || line.starts_with('{') || line.starts_with("note: "))
}

/// How a process ended, in the words of the system and its own.
fn end(status: ExitStatus, words: &VecDeque<String>) -> String {
    let words: Vec<&str> = words.iter().map(|line| line.trim()).collect();
    let said = if words.is_empty() {
        String::new()
    } else {
        format!("; it said: {}", words.join(" / "))
    };
    format!("the agent's process ended with {status}{said}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn an_end_is_told_with_the_signal_and_the_last_words() {
        let words = VecDeque::from(["memory allocation of 8 bytes failed".to_owned()]);
        let text = end(ExitStatus::from_raw(6), &words);
        assert!(text.contains("SIGABRT") && text.contains("memory allocation"), "{text}");
        assert!(end(ExitStatus::from_raw(2 << 8), &VecDeque::new()).ends_with("exit status: 2"));
    }
}
