//! What the kubelet and Prometheus ask: is it alive, is it ready, what has it measured.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use torpor_controller::ControllerMetrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `/healthz`: the process answers. `/readyz`: `not_ready` gives no reason against it.
pub fn health(not_ready: impl Fn() -> Option<String> + Send + Sync + 'static) -> Router {
    let not_ready = Arc::new(not_ready);
    let readiness = move || {
        let answer = match not_ready() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
        };
        std::future::ready(answer)
    };
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readiness))
}

/// `/metrics`: the meters of a controller.
pub fn metrics(metrics: ControllerMetrics) -> Router {
    let page = move || {
        let (status, text) = match metrics.render() {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("write the metrics: {error}\n"),
            ),
        };
        std::future::ready((status, [(CONTENT_TYPE, OPEN_METRICS)], text))
    };
    Router::new().route("/metrics", get(page))
}
