//! The control plane: E2B's routes, of both generations, and what each is carried out by.

mod create;
mod read;
mod transition;

use axum::{
    Router,
    extract::{FromRequestParts, Path, Request, State, rejection::PathRejection},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{any, get, post, put},
};
use http::{HeaderMap, Method, StatusCode, Uri, request::Parts};

use crate::{Gateway, config::KeyVerdict, id::SandboxId, operation::Operation, refusal::Refusal};

/// The control plane as a service. Every body that it answers with an error is JSON.
pub(crate) fn router(gateway: &Gateway) -> Router {
    let listing = get(read::list_running).post(create::create_v1);
    Router::new()
        .route("/sandboxes", listing)
        .route("/v2/sandboxes", get(read::list).post(create::create_v2))
        .route("/sandboxes/{id}", get(read::detail).delete(transition::kill))
        .route("/sandboxes/{id}/connect", post(transition::connect_v1))
        .route("/v2/sandboxes/{id}/connect", post(transition::connect_v2))
        .route("/sandboxes/{id}/pause", post(transition::pause))
        .route("/sandboxes/{id}/resume", post(transition::resume))
        .route("/sandboxes/{id}/timeout", post(transition::set_timeout))
        .route("/sandboxes/{id}/refreshes", post(transition::refresh))
        .route("/sandboxes/{id}/metrics", get(read::metrics))
        .route("/sandboxes/{id}/snapshots", post(read::unsupported))
        .route("/sandboxes/{id}/fork", post(read::unsupported))
        .route("/sandboxes/{id}/network", put(read::unsupported))
        .route("/sandboxes/{id}/logs", get(read::unsupported))
        .route("/v2/sandboxes/{id}/logs", get(read::unsupported))
        .route("/snapshots", get(read::no_snapshots))
        .route("/templates", any(read::no_templates))
        .route("/templates/{*rest}", any(read::no_templates))
        .route_layer(from_fn_with_state(gateway.clone(), require_key))
        .route("/health", get(health))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(gateway.clone())
}

async fn require_key(State(gateway): State<Gateway>, request: Request, next: Next) -> Result<Response, Refusal> {
    match gateway.config().api_keys.judge(api_key(request.headers())) {
        KeyVerdict::Accepted => Ok(next.run(request).await),
        KeyVerdict::Missing => Err(Refusal::MissingKey),
        KeyVerdict::Unknown => Err(Refusal::UnknownKey),
    }
}

fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key").and_then(|value| value.to_str().ok())
}

/// Whether the gateway itself answers; it names no sandbox.
async fn health(State(gateway): State<Gateway>) -> Result<StatusCode, Refusal> {
    gateway.ready().await.map(|()| StatusCode::NO_CONTENT)
}

async fn no_route(method: Method, uri: Uri) -> Refusal {
    Refusal::NoRoute {
        method,
        path: uri.path().to_owned(),
    }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    Refusal::MethodNotAllowed {
        method,
        path: uri.path().to_owned(),
    }
}

/// What stands for a sandbox in a path, as it is written there. What is no text is refused like all else.
struct Named(String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(named) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| Refusal::invalid("the path", rejection.body_text()))?;
        Ok(Self(named))
    }
}

/// Reads what stands for a sandbox in a path.
fn sandbox_id(text: &str) -> Result<SandboxId, Refusal> {
    SandboxId::parse(text).map_err(Refusal::from)
}

/// A call that was taken over by the table of operations.
fn call(gateway: &Gateway, id: &str, operation: Operation) -> Result<crate::call::Call, Refusal> {
    Ok(crate::call::Call::new(gateway, sandbox_id(id)?, operation))
}
