//! The seam through which a node stand-in serves pages to `…/nodes/{name}/proxy/…`, as a kubelet does.

use futures::future::BoxFuture;

/// Why a page cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodePageRefused {
    /// No node is connected to this server; answered with 501.
    #[error("no source of node pages is connected to this server")]
    NotConnected,
    /// The node serves no such page; answered with 404.
    #[error("the node serves no such page")]
    NoSuchPage,
}

/// A source of pages that nodes serve.
pub trait NodePages: Send + Sync {
    /// The page of `node` at `path`, which has no slash in front: `metrics/cadvisor`.
    fn page(&self, node: &str, path: &str) -> BoxFuture<'static, Result<String, NodePageRefused>>;
}

/// The source used when none is connected: refuses everything.
pub(crate) struct NoNodePages;

impl NodePages for NoNodePages {
    fn page(&self, _node: &str, _path: &str) -> BoxFuture<'static, Result<String, NodePageRefused>> {
        Box::pin(async { Err(NodePageRefused::NotConnected) })
    }
}
