//! The data plane: traffic of clients to what runs inside a sandbox.
//!
//! ```text
//!  request ─▶ plane ─▶ address ─▶ access ─▶ passage ─▶ forward
//!             which    which      may it?   awake?     stream both ways
//! ```
//! All but the last decide without I/O, each in its own module.

mod access;
mod address;
mod cors;
mod forward;
mod passage;
mod plane;
mod refusal;
mod sample;
mod switch;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use torpor_api::Sandbox;
use tower::ServiceExt;

use self::{
    access::{Access, Credentials},
    address::{Address, Head, Named},
    passage::{Passage, passage},
    plane::{Plane, plane},
    refusal::DataRefusal,
};
use crate::{
    Gateway,
    call::{Call, FOLLOW, Outcome},
    id::SandboxId,
    lifecycle::Lifecycle,
    operation::Operation,
    state::{Endpoint, endpoint, state},
};

pub(crate) use self::sample::metrics_sample;

/// `control` with the data plane beside it on the same port.
pub(crate) fn beside_control(gateway: &Gateway, control: Router) -> Router {
    Router::new().fallback(either).with_state((gateway.clone(), control))
}

async fn either(State((gateway, control)): State<(Gateway, Router)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let plane = plane(&Head::of(&parts), gateway.config().domain.as_deref());
    let request = Request::from_parts(parts, body);
    match plane {
        Plane::Data => serve(&gateway, request, None).await,
        Plane::Control => control.oneshot(request).await.unwrap_or_else(|never| match never {}),
    }
}

/// The data plane alone, for requests to `default_port` of a sandbox.
pub(crate) fn router(gateway: &Gateway, default_port: u16) -> Router {
    Router::new()
        .fallback(inside)
        .with_state((gateway.clone(), default_port))
}

async fn inside(State((gateway, default_port)): State<(Gateway, u16)>, request: Request) -> Response {
    serve(&gateway, request, Some(default_port)).await
}

async fn serve(gateway: &Gateway, request: Request, default_port: Option<u16>) -> Response {
    let (parts, body) = request.into_parts();
    let address = Address::of(&Head::of(&parts), default_port, gateway.config().domain.as_deref());
    // A refusal that names no port is nobody's secret.
    let open = address.as_ref().map_or(true, |address| cors::is_open(address.port));
    if open && cors::is_preflight(&parts.method, &parts.headers) {
        return cors::permission(&parts.headers);
    }
    let served = match address {
        Ok(address) => pass(gateway, parts, body, address).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = served.unwrap_or_else(IntoResponse::into_response);
    if open {
        cors::open(response.headers_mut());
    }
    response
}

async fn pass(gateway: &Gateway, parts: Parts, body: Body, address: Address) -> Result<Response, DataRefusal> {
    let (id, endpoint, port) = route(gateway, &parts, address).await?;
    forward::forward(gateway, &id, &endpoint, port, Request::from_parts(parts, body)).await
}

/// Finds out where a request to `address` goes, and wakes the sandbox if it is to be woken.
async fn route(gateway: &Gateway, parts: &Parts, address: Address) -> Result<(SandboxId, Endpoint, u16), DataRefusal> {
    gateway
        .ready()
        .await
        .map_err(|refusal| DataRefusal::NotReady(refusal.to_string()))?;
    let head = Head::of(parts);
    let credentials = Credentials::of(&head, gateway.tokens(), gateway.now());
    let id = match address.named {
        Named::Sandbox(id) => id,
        Named::ByCredentials => holder(gateway, &credentials).ok_or_else(|| credentials.unplaced())?,
    };
    let (port, path) = (address.port, head.path);
    let mut sandbox = gateway.index().get(&id);
    let mut decided = decide(&id, port, path, &credentials, sandbox.as_deref());
    if let (Access::Granted, Err(_)) = decided
        && index_was_behind(gateway, &id).await
    {
        sandbox = gateway.index().get(&id);
        decided = decide(&id, port, path, &credentials, sandbox.as_deref());
    }
    match (decided.1?, sandbox) {
        (Passage::Forward(endpoint), _) => Ok((id, endpoint, port)),
        (Passage::Wake, Some(sandbox)) => {
            let endpoint = wake(gateway, &id, &Lifecycle::of(&sandbox)).await?;
            Ok((id, endpoint, port))
        }
        (Passage::Wake, None) => Err(DataRefusal::NotFound { id: id.to_string() }),
    }
}

/// What becomes of a request for the sandbox `id`, if it is as `sandbox` says or there is none.
fn decide(
    id: &SandboxId,
    port: u16,
    path: &str,
    credentials: &Credentials<'_>,
    sandbox: Option<&Sandbox>,
) -> (Access, Result<Passage, DataRefusal>) {
    let Some(sandbox) = sandbox else {
        let not_found = DataRefusal::NotFound { id: id.to_string() };
        return (credentials.access(id, port, path, true), Err(not_found));
    };
    let lifecycle = Lifecycle::of(sandbox);
    let access = credentials.access(id, port, path, lifecycle.private_traffic);
    let serves = endpoint(sandbox);
    let decided = passage(id, port, access, &state(sandbox), serves, lifecycle.auto_resume);
    (access, decided)
}

/// Whether the sandbox `id` serves although the index did not say so, and now does: somebody who saw it
/// serve in the cluster may be faster than the watch.
async fn index_was_behind(gateway: &Gateway, id: &SandboxId) -> bool {
    let Ok(_look) = gateway.second_looks().try_acquire() else {
        return false;
    };
    match gateway.cluster().get(id).await {
        Ok(Some(now)) if endpoint(&now).is_some() => {
            let caught_up = gateway.index().caught_up_with(id, &now);
            tokio::time::timeout(FOLLOW, caught_up).await.is_ok()
        }
        Ok(_) | Err(_) => false,
    }
}

/// The sandbox that genuine credentials belong to.
fn holder(gateway: &Gateway, credentials: &Credentials<'_>) -> Option<SandboxId> {
    credentials.holder().cloned().or_else(|| {
        // Nothing in a signed URL names the sandbox: it is the one whose token made the signature.
        gateway.index().read(|snapshot| {
            let ids = snapshot
                .sandboxes()
                .filter_map(|sandbox| SandboxId::parse(sandbox.metadata.name.as_deref()?).ok());
            ids.into_iter().find(|id| credentials.signed_by(id))
        })
    })
}

async fn wake(gateway: &Gateway, id: &SandboxId, lifecycle: &Lifecycle) -> Result<Endpoint, DataRefusal> {
    let call = Call::new(gateway, id.clone(), Operation::Connect).with_timeout(lifecycle.wake_timeout());
    let woken = call.run().await;
    let failed = |message: String| DataRefusal::NotWoken {
        id: id.to_string(),
        message,
    };
    match woken.map_err(|refusal| failed(refusal.to_string()))? {
        Outcome::Present(sandbox) | Outcome::Resumed(sandbox) => {
            endpoint(&sandbox).ok_or_else(|| DataRefusal::NotFound { id: id.to_string() })
        }
        Outcome::Done => Err(DataRefusal::NotFound { id: id.to_string() }),
    }
}
