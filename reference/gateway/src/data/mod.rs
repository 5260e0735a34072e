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
    signature::SignedFile,
    state::{Endpoint, endpoint, state},
    token::TokenKind,
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
        Named::ByCredentials => {
            let holder = holder(gateway, &credentials).await;
            holder.ok_or_else(|| credentials.unplaced())?
        }
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
async fn holder(gateway: &Gateway, credentials: &Credentials<'_>) -> Option<SandboxId> {
    match credentials.holder() {
        Some(id) => Some(id.clone()),
        None => signer(gateway, credentials.signed()?.clone()).await,
    }
}

/// The sandbox whose token made the signature: nothing in a signed URL names it. Whoever sends one has shown nothing
/// yet, and has all sandboxes gone through: in turn, away from the threads that serve, and without the index.
async fn signer(gateway: &Gateway, signed: SignedFile) -> Option<SandboxId> {
    let turn = gateway.searches().acquire_owned().await.ok()?;
    let sandboxes: Vec<_> = gateway.index().read(|snapshot| snapshot.sandboxes().cloned().collect());
    let (tokens, now) = (gateway.tokens().clone(), gateway.now());
    let search = move || {
        // Also if the client hangs up: another search begins after this one.
        let _turn = turn;
        let mut ids = sandboxes
            .iter()
            .filter_map(|sandbox| SandboxId::parse(sandbox.metadata.name.as_deref()?).ok());
        ids.find(|id| signed.is_valid(&tokens.token(TokenKind::Envd, id), now))
    };
    // It does not panic; if it did, nobody would be found.
    tokio::task::spawn_blocking(search).await.ok().flatten()
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http::{HeaderMap, Method};
    use mock_apiserver::MockApiServer;

    use super::*;
    use crate::GatewayConfig;

    #[tokio::test]
    async fn a_signature_is_looked_for_in_turn_and_a_token_names_its_sandbox_at_once() {
        let client = MockApiServer::builder().build().client();
        let gateway = Gateway::new(&client, GatewayConfig::new("default", [7; 32]));
        let id = SandboxId::parse("iabc").unwrap();
        let token = gateway.tokens().token(TokenKind::Envd, &id);
        let (none, named) = (
            HeaderMap::new(),
            HeaderMap::from_iter([("x-access-token".parse().unwrap(), token.parse().unwrap())]),
        );
        let credentials = |headers| {
            let head = Head {
                method: &Method::GET,
                path: "/files",
                query: Some("path=a&signature=v1_x"),
                host: None,
                headers,
            };
            Credentials::of(&head, gateway.tokens(), gateway.now())
        };
        let searches = gateway.searches();
        let all = u32::try_from(searches.available_permits()).unwrap();
        let turns = searches.acquire_many(all).await.unwrap();
        let (signed, shown) = (credentials(&none), credentials(&named));
        let mut search = std::pin::pin!(holder(&gateway, &signed));
        assert!(search.as_mut().now_or_never().is_none());
        assert_eq!(holder(&gateway, &shown).now_or_never(), Some(Some(id)));
        drop(turns);
        assert_eq!(search.await, None);
    }
}
