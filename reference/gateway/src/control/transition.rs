//! The calls that change a sandbox: pause, connect, resume, timeouts, kill.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;

use super::{Named, call};
use crate::{
    Gateway, body,
    call::{Call, Outcome},
    lifecycle::OnTimeout,
    operation::Operation,
    refusal::Refusal,
    request::{
        ApiVersion, ConnectSandbox, PauseSandbox, Refresh, ResumeSandbox, SetTimeout, bounded_timeout, connect_timeout,
        require_memory, resume_timeout,
    },
};

/// Time that `…/refreshes` adds when it does not say: as a connect of the newer route.
const REFRESH_DEFAULT: i64 = 300;

async fn receive(gateway: &Gateway, body: Body) -> Result<Bytes, Refusal> {
    body::receive(body, gateway.config().limits.body).await
}

pub(super) async fn pause(State(gateway): State<Gateway>, Named(id): Named, body: Body) -> Result<StatusCode, Refusal> {
    let asked: PauseSandbox = body::parse(&receive(&gateway, body).await?)?;
    require_memory(asked.memory)?;
    call(&gateway, &id, Operation::Pause)?
        .run()
        .await
        .map(|_| StatusCode::NO_CONTENT)
}

pub(super) async fn connect_v1(
    State(gateway): State<Gateway>,
    Named(id): Named,
    body: Body,
) -> Result<Response, Refusal> {
    connect(&gateway, &id, body, ApiVersion::V1).await
}

pub(super) async fn connect_v2(
    State(gateway): State<Gateway>,
    Named(id): Named,
    body: Body,
) -> Result<Response, Refusal> {
    connect(&gateway, &id, body, ApiVersion::V2).await
}

async fn connect(gateway: &Gateway, id: &str, body: Body, version: ApiVersion) -> Result<Response, Refusal> {
    let asked: ConnectSandbox = body::parse(&receive(gateway, body).await?)?;
    require_memory(asked.memory)?;
    let timeout = connect_timeout(asked.timeout, version, gateway.config().max_timeout)?;
    let call = call(gateway, id, Operation::Connect)?.with_timeout(timeout);
    answer_with_sandbox(gateway, call).await
}

pub(super) async fn resume(State(gateway): State<Gateway>, Named(id): Named, body: Body) -> Result<Response, Refusal> {
    let asked: ResumeSandbox = body::parse(&receive(&gateway, body).await?)?;
    require_memory(asked.memory)?;
    let timeout = resume_timeout(asked.timeout, gateway.config().max_timeout)?;
    let on_timeout = asked
        .auto_pause
        .map(|pause| if pause { OnTimeout::Pause } else { OnTimeout::Kill });
    let call = call(&gateway, &id, Operation::Resume)?.with_timeout(timeout);
    answer_with_sandbox(&gateway, Call { on_timeout, ..call }).await
}

async fn answer_with_sandbox(gateway: &Gateway, call: Call) -> Result<Response, Refusal> {
    let id = call.id.clone();
    let view = |sandbox| Json(gateway.viewer().sandbox(&id, sandbox));
    Ok(match call.run().await? {
        Outcome::Resumed(sandbox) => (StatusCode::CREATED, view(&sandbox)).into_response(),
        Outcome::Present(sandbox) => view(&sandbox).into_response(),
        Outcome::Done => StatusCode::NO_CONTENT.into_response(),
    })
}

pub(super) async fn set_timeout(
    State(gateway): State<Gateway>,
    Named(id): Named,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let asked: SetTimeout = body::parse(&receive(&gateway, body).await?)?;
    let timeout = bounded_timeout("timeout", asked.timeout, gateway.config().max_timeout)?;
    let call = call(&gateway, &id, Operation::SetTimeout)?.with_timeout(timeout);
    call.run().await.map(|_| StatusCode::NO_CONTENT)
}

pub(super) async fn refresh(
    State(gateway): State<Gateway>,
    Named(id): Named,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let asked: Refresh = body::parse(&receive(&gateway, body).await?)?;
    let seconds = asked.duration.unwrap_or(REFRESH_DEFAULT);
    let timeout = bounded_timeout("duration", seconds, gateway.config().max_timeout)?;
    let call = call(&gateway, &id, Operation::Refresh)?.with_timeout(timeout);
    call.run().await.map(|_| StatusCode::NO_CONTENT)
}

pub(super) async fn kill(State(gateway): State<Gateway>, Named(id): Named) -> Result<StatusCode, Refusal> {
    call(&gateway, &id, Operation::Kill)?
        .run()
        .await
        .map(|_| StatusCode::NO_CONTENT)
}
