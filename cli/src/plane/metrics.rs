//! One Prometheus page for the control plane: resource use by Pod, then the controller's own metrics.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use mock_node::NodeHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use torpor_controller::ControllerMetrics;

/// Serves `/metrics` until `shutdown`.
///
/// # Errors
/// The listener fails.
pub(super) async fn serve(
    listener: TcpListener,
    node: NodeHandle,
    controller: Option<ControllerMetrics>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let page = move || {
        let (node, controller) = (node.clone(), controller.clone());
        async move {
            let controller = controller.map(|metrics| metrics.render());
            // Writing into a String cannot fail; a page without the controller's part would still be a page.
            let controller = controller.and_then(Result::ok).unwrap_or_default();
            let body = mock_node::render(&node.usage().await) + &controller;
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body)
        }
    };
    let router = Router::new().route("/metrics", get(page));
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}
