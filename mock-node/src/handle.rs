//! What others ask of a running node: logs, resource use and the pages of a kubelet.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use mock_apiserver::{LogOptions, NodePageRefused, NodePages, PodLogs, PodLogsRefused};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::{PodUsage, render};
use crate::node::PodKey;

/// Asks a [`MockNode`] for logs and resource use.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    /// `metadata.name` of the Node.
    pub(crate) name: String,
    pub(crate) requests: mpsc::Sender<NodeRequest>,
}

/// What the node's loop is asked.
pub(crate) enum NodeRequest {
    Usage(oneshot::Sender<Vec<PodUsage>>),
    Logs {
        key: PodKey,
        reply: oneshot::Sender<Option<LogStream>>,
        options: LogOptions,
    },
}

/// Bytes of a log.
pub type LogStream = BoxStream<'static, bytes::Bytes>;

impl NodeHandle {
    /// What each running Pod uses now, in the order of namespace and name. Empty when the node has stopped.
    pub async fn usage(&self) -> Vec<PodUsage> {
        let (reply, answer) = oneshot::channel();
        if self.requests.send(NodeRequest::Usage(reply)).await.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}

impl PodLogs for NodeHandle {
    fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> BoxFuture<'static, Result<LogStream, PodLogsRefused>> {
        let requests = self.requests.clone();
        let key = (namespace.to_owned(), pod.to_owned());
        let (pod, container) = (pod.to_owned(), container.to_owned());
        Box::pin(async move {
            if options.previous {
                return Err(PodLogsRefused::NoPrevious { pod, container });
            }
            let (reply, answer) = oneshot::channel();
            // A node that has stopped runs nothing, so nothing has started.
            let asked = requests.send(NodeRequest::Logs { key, reply, options }).await;
            let stream = if asked.is_ok() {
                answer.await.ok().flatten()
            } else {
                None
            };
            stream.ok_or_else(|| PodLogsRefused::NotStarted {
                pod,
                container,
                reason: "ContainerCreating".to_owned(),
            })
        })
    }
}

/// Serves the kubelet's page of what containers use, `metrics/cadvisor`, and none besides.
impl NodePages for NodeHandle {
    fn page(&self, node: &str, path: &str) -> BoxFuture<'static, Result<String, NodePageRefused>> {
        let known = node == self.name && path == "metrics/cadvisor";
        let handle = self.clone();
        Box::pin(async move {
            if known {
                Ok(render(&handle.usage().await))
            } else {
                Err(NodePageRefused::NoSuchPage)
            }
        })
    }
}
