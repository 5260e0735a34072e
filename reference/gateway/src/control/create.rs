//! Creation: from the call to a sandbox that serves, or to nothing at all.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use torpor_api::Sandbox;

use super::api_key;
use crate::{
    Gateway, body,
    call::Call,
    cluster::Written,
    goal::Goal,
    id::SandboxId,
    index::Settled,
    lifecycle::Lifecycle,
    operation::Operation,
    refusal::Refusal,
    request::{ApiVersion, Creation, NewSandbox},
    state::{SandboxState, state},
    template::Blueprint,
    timer::{Timers, end_of_run},
};

pub(super) async fn create_v1(state: State<Gateway>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    create(state.0, headers, body, ApiVersion::V1).await
}

pub(super) async fn create_v2(state: State<Gateway>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    create(state.0, headers, body, ApiVersion::V2).await
}

async fn create(gateway: Gateway, headers: HeaderMap, body: Body, version: ApiVersion) -> Result<Response, Refusal> {
    let bytes = body::receive(body, gateway.config().limits.body).await?;
    let creation = body::parse::<NewSandbox>(&bytes)?.check(version, gateway.config().max_timeout)?;
    let (id, request_digest) = match idempotency_key(&headers)? {
        Some(key) => {
            let id = gateway
                .tokens()
                .id_for_idempotency_key(api_key(&headers).unwrap_or_default(), key);
            (id, Some(digest(&bytes)))
        }
        None => (SandboxId::from_bytes(&rand::random()), None),
    };
    gateway.ready().await?;
    // To its end, even if the caller hangs up: what does not start has to be removed.
    let call = Call::new(&gateway, id.clone(), Operation::Connect).with_timeout(creation.timeout);
    let run = async move { bring_up(&call, creation, request_digest).await };
    let crashed = |error: tokio::task::JoinError| Err(Refusal::Internal(error.to_string()));
    let sandbox = gateway.see_to(run).await.unwrap_or_else(crashed)?;
    Ok((StatusCode::CREATED, Json(gateway.viewer().sandbox(&id, &sandbox))).into_response())
}

/// Reads the `Idempotency-Key` header.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let valid = |key: &&str| {
        (1..=255).contains(&key.len())
            && key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let problem = || {
        Refusal::invalid(
            "header \"Idempotency-Key\"",
            "it is not 1 to 255 characters of a-z, 0-9 and -",
        )
    };
    value.to_str().ok().filter(valid).map(Some).ok_or_else(problem)
}

fn digest(body: &Bytes) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(body))
}

async fn bring_up(call: &Call, creation: Creation, digest: Option<String>) -> Result<Arc<Sandbox>, Refusal> {
    let template = call.gateway.cluster().template(&creation.template).await?;
    let lifecycle = Lifecycle {
        template: template.metadata.name.unwrap_or_default(),
        request_digest: digest,
        ..creation.lifecycle
    };
    // Long enough to outlive the start; the exact end is set when it serves.
    let generous = creation.timeout.max(call.gateway.config().limits.start);
    let action = lifecycle.on_timeout;
    let armed = Timers::ending(end_of_run(call.gateway.now(), generous), action);
    let expected_digest = lifecycle.request_digest.clone();
    let blueprint = Blueprint {
        id: call.id.clone(),
        template: template.spec.template,
        env: creation.env,
        metadata: creation.metadata,
        lifecycle,
        timers: armed,
    };
    match call.gateway.cluster().create(&blueprint.build()).await? {
        Written::Done(created) => {
            let serving = start(call, &created).await?;
            Ok(call.arm(serving, armed, action).await)
        }
        Written::Stale => join(call, expected_digest.as_ref()).await,
    }
}

/// Waits until the new sandbox serves; if it does not, removes it.
async fn start(call: &Call, created: &Sandbox) -> Result<Arc<Sandbox>, Refusal> {
    let reason = match call.settle(Goal::Serving, created).await {
        Ok(Settled::Reached(serving)) => return Ok(serving),
        Ok(Settled::Failed(reason)) => reason,
        Ok(Settled::Overtaken) => "it was paused before it served".to_owned(),
        Ok(Settled::Gone) => "it was deleted before it served".to_owned(),
        Err(refusal) => refusal.to_string(),
    };
    if let Err(refusal) = call.gateway.cluster().delete(created).await {
        tracing::warn!(sandbox = %call.id, %refusal, "a sandbox that did not start could not be removed");
    }
    Err(Refusal::StartFailed {
        id: call.id.to_string(),
        reason,
    })
}

/// Answers a creation that was sent before: with the sandbox that came of it.
async fn join(call: &Call, digest: Option<&String>) -> Result<Arc<Sandbox>, Refusal> {
    let existing = call.gateway.cluster().get(&call.id).await?;
    let existing = existing.ok_or_else(|| Refusal::SandboxNotFound(call.id.to_string()))?;
    if Lifecycle::of(&existing).request_digest.as_ref() != digest {
        return Err(Refusal::IdempotencyMismatch);
    }
    match state(&existing) {
        SandboxState::Starting | SandboxState::Resuming => start_of_another(call, &existing).await,
        SandboxState::Terminating => Err(Refusal::SandboxNotFound(call.id.to_string())),
        SandboxState::Failed { reason } => Err(Refusal::Broken {
            id: call.id.to_string(),
            reason,
        }),
        SandboxState::Serving
        | SandboxState::Pausing
        | SandboxState::Paused
        | SandboxState::PauseRefused { .. }
        | SandboxState::ResumeFailed { .. } => Ok(Arc::new(existing)),
    }
}

async fn start_of_another(call: &Call, existing: &Sandbox) -> Result<Arc<Sandbox>, Refusal> {
    let id = call.id.to_string();
    match call.settle(Goal::Serving, existing).await? {
        Settled::Reached(serving) => Ok(serving),
        Settled::Failed(reason) => Err(Refusal::StartFailed { id, reason }),
        Settled::Overtaken => Err(Refusal::Overtaken(id)),
        Settled::Gone => Err(Refusal::SandboxNotFound(id)),
    }
}
