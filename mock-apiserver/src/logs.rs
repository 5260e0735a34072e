//! The seam through which a node stand-in serves container logs.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// What a client asked of `GET …/pods/{name}/log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Keep the stream open and send lines as they are written.
    pub follow: bool,
    /// Only that many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines from then on.
    pub since: Option<jiff::Timestamp>,
    /// Prefix each line with its RFC 3339 time.
    pub timestamps: bool,
    /// The log of the container's previous instance.
    pub previous: bool,
    /// Stop after that many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a log cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PodLogsRefused {
    /// No source of logs is connected to this server; answered with 501.
    #[error("no source of container logs is connected to this server")]
    NotConnected,
    /// The container has not started (400 in a real cluster).
    #[error("container {container:?} in pod {pod:?} is waiting to start: {reason}")]
    NotStarted {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
        /// Why it waits, e.g. `ContainerCreating`.
        reason: String,
    },
    /// There is no previous instance of the container (400 in a real cluster).
    #[error("previous terminated container {container:?} in pod {pod:?} not found")]
    NoPrevious {
        /// The pod's name.
        pod: String,
        /// The container's name.
        container: String,
    },
    /// The log is gone or unreadable (500).
    #[error("{0}")]
    Unreadable(String),
}

/// A source of container logs.
pub trait PodLogs: Send + Sync {
    /// The log of one container, as the bytes to send. The stream ends when the log does (or never, with `follow`).
    fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Bytes>, PodLogsRefused>>;
}

/// The source used when none is connected: refuses everything.
pub(crate) struct NoLogs;

impl PodLogs for NoLogs {
    fn logs(
        &self,
        _namespace: &str,
        _pod: &str,
        _container: &str,
        _options: LogOptions,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Bytes>, PodLogsRefused>> {
        Box::pin(async { Err(PodLogsRefused::NotConnected) })
    }
}
