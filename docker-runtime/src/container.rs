//! One container that runs.

use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{LogsOptions, StatsOptions, StopContainerOptions};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use mock_apiserver::LogOptions;
use mock_node::{ContainerStage, ContainerUsage, LogStream, RunningContainer, StopError};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::runtime::remove;
use crate::watch::{follow_stage, pass_on_words};

/// Seconds that an agent has to end its sandbox.
const GRACE_SECONDS: i32 = 3;

/// A container of a sandbox Pod.
pub(crate) struct DockerContainer {
    docker: Docker,
    id: String,
    address: IpAddr,
    stage: watch::Receiver<ContainerStage>,
    _watching: DropGuard,
}

impl DockerContainer {
    pub(crate) fn new(docker: Docker, id: String, address: IpAddr, pod: String) -> Self {
        let watching = CancellationToken::new();
        let stage = watch::Sender::new(ContainerStage::Starting);
        let receiver = stage.subscribe();
        let follow = follow_stage(docker.clone(), id.clone(), address, stage);
        tokio::spawn(watching.clone().run_until_cancelled_owned(follow));
        let words = pass_on_words(docker.clone(), id.clone(), pod);
        tokio::spawn(watching.clone().run_until_cancelled_owned(words));
        Self {
            docker,
            id,
            address,
            stage: receiver,
            _watching: watching.drop_guard(),
        }
    }
}

impl RunningContainer for DockerContainer {
    fn id(&self) -> String {
        format!("docker://{}", self.id)
    }

    fn pod_ip(&self) -> IpAddr {
        self.address
    }

    fn stage(&self) -> watch::Receiver<ContainerStage> {
        self.stage.clone()
    }

    fn usage(&self) -> BoxFuture<'_, Option<ContainerUsage>> {
        let options = StatsOptions {
            stream: false,
            one_shot: true,
        };
        async move {
            let mut readings = Box::pin(self.docker.stats(&self.id, Some(options)));
            usage(&readings.next().await?.ok()?)
        }
        .boxed()
    }

    fn logs(&self, options: &LogOptions) -> LogStream {
        let lines = self.docker.logs(&self.id, Some(of_docker(options)));
        let lines = lines.filter_map(|line| std::future::ready(line.ok().map(LogOutput::into_bytes)));
        match options.limit_bytes {
            Some(limit) => Box::pin(first(limit, lines)),
            None => Box::pin(lines),
        }
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        async move {
            let options = StopContainerOptions {
                t: Some(GRACE_SECONDS),
                ..StopContainerOptions::default()
            };
            if let Err(error) = self.docker.stop_container(&self.id, Some(options)).await {
                tracing::debug!(%error, id = self.id, "stop a container");
            }
            remove(&self.docker, &self.id).await.map_err(Into::into)
        }
        .boxed()
    }
}

/// What Docker is asked for; a limit of bytes is none that it knows, and of a time only the second.
fn of_docker(options: &LogOptions) -> LogsOptions {
    let since = options.since.map_or(0, Timestamp::as_second);
    LogsOptions {
        follow: options.follow,
        stdout: true,
        timestamps: options.timestamps,
        since: i32::try_from(since.max(0)).unwrap_or(i32::MAX),
        tail: options
            .tail_lines
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
        ..LogsOptions::default()
    }
}

/// The first `limit` bytes.
fn first(limit: u64, pieces: impl Stream<Item = Bytes>) -> impl Stream<Item = Bytes> {
    pieces.scan(limit, |left, piece| {
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
        *left -= taken as u64;
        std::future::ready((taken > 0).then(|| piece.slice(..taken)))
    })
}

/// As the kubelet counts it: memory without what the kernel can give back at once.
fn usage(stats: &ContainerStatsResponse) -> Option<ContainerUsage> {
    let cpu = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    let memory = stats.memory_stats.as_ref()?;
    let of_files = |name: &str| memory.stats.as_ref().and_then(|stats| stats.get(name).copied());
    let reclaimable = of_files("total_inactive_file").or_else(|| of_files("inactive_file"));
    Some(ContainerUsage {
        cpu: Duration::from_nanos(cpu),
        memory_bytes: memory.usage?.saturating_sub(reclaimable.unwrap_or(0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_is_asked_for_the_lines_that_are_wanted() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let asked = |since, tail_lines| {
            let options = of_docker(&LogOptions {
                since,
                tail_lines,
                ..LogOptions::default()
            });
            (options.since, options.tail)
        };
        assert_eq!(asked(None, None), (0, "all".to_owned()));
        assert_eq!(asked(Some(at(1_800_000_000)), Some(2)), (1_800_000_000, "2".to_owned()));
        assert_eq!(asked(Some(Timestamp::MIN), None).0, 0);
        assert_eq!(asked(Some(Timestamp::MAX), None).0, i32::MAX);
    }

    #[tokio::test]
    async fn no_more_bytes_come_than_are_wanted() {
        for (limit, expected) in [(0, ""), (3, "one"), (5, "one t"), (100, "one two")] {
            let pieces = futures::stream::iter(["one", " ", "two"].map(Bytes::from));
            let got: Vec<Bytes> = first(limit, pieces).collect().await;
            assert_eq!(got.concat(), expected.as_bytes(), "{limit}");
        }
    }
}
