//! One Prometheus page for the control plane: resource use by Pod, then the controller's own metrics.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use futures::future::BoxFuture;
use mock_apiserver::{NodePageRefused, NodePages};
use mock_node::NodeHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use torpor_controller::ControllerMetrics;

use crate::fault::PageRule;

/// What the page shows.
pub(super) struct Page {
    pub(super) node: NodeHandle,
    pub(super) controller: Option<ControllerMetrics>,
    /// A deliberate mistake in it.
    pub(super) rule: Option<PageRule>,
}

impl Page {
    async fn render(&self) -> String {
        let controller = self.controller.as_ref().map(ControllerMetrics::render);
        // Writing into a String cannot fail; a page without the controller's part would still be a page.
        let controller = controller.and_then(Result::ok).unwrap_or_default();
        let text = mock_node::render(&self.node.usage().await) + &controller;
        match &self.rule {
            Some(rule) => rule(text),
            None => text,
        }
    }
}

/// The pages of the nodes themselves, which the API server passes on.
pub(super) fn of_nodes(node: &NodeHandle, rule: Option<&PageRule>) -> Arc<dyn NodePages> {
    match rule {
        None => Arc::new(node.clone()),
        Some(rule) => Arc::new(Ruled {
            node: node.clone(),
            rule: Arc::clone(rule),
        }),
    }
}

/// A node whose pages have a deliberate mistake.
struct Ruled {
    node: NodeHandle,
    rule: PageRule,
}

impl NodePages for Ruled {
    fn page(&self, node: &str, path: &str) -> BoxFuture<'static, Result<String, NodePageRefused>> {
        let (page, rule) = (self.node.page(node, path), Arc::clone(&self.rule));
        Box::pin(async move { page.await.map(|text| rule(text)) })
    }
}

/// Serves `/metrics` until `shutdown`.
///
/// # Errors
/// The listener fails.
pub(super) async fn serve(listener: TcpListener, page: Page, shutdown: CancellationToken) -> std::io::Result<()> {
    let page = Arc::new(page);
    let answer = move || {
        let page = Arc::clone(&page);
        async move {
            let text = page.render().await;
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
        }
    };
    let router = Router::new().route("/metrics", get(answer));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
