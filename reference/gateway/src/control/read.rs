//! The calls that change nothing: get, the lists, metrics, and the ones that are not supported.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri};
use serde_json::{Value, json};

use super::{Named, call, sandbox_id};
use crate::{
    Gateway,
    call::Outcome,
    data,
    list::{ListQuery, Page},
    operation::Operation,
    refusal::Refusal,
    view::SandboxDetail,
};

pub(super) async fn detail(State(gateway): State<Gateway>, Named(id): Named) -> Result<Json<SandboxDetail>, Refusal> {
    let call = call(&gateway, &id, Operation::Read)?;
    let parsed = call.id.clone();
    let detail = match call.run().await? {
        Outcome::Present(sandbox) | Outcome::Resumed(sandbox) => gateway.viewer().detail(&parsed, &sandbox),
        Outcome::Done => None,
    };
    detail
        .map(Json)
        .ok_or_else(|| Refusal::SandboxNotFound(parsed.to_string()))
}

pub(super) async fn list(State(gateway): State<Gateway>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let query = ListQuery::parse(query.as_deref().unwrap_or_default())?;
    let Page {
        sandboxes,
        next_token,
        total_running,
    } = page(&gateway, &query).await?;
    let mut response = Json(sandboxes).into_response();
    let headers = response.headers_mut();
    headers.insert("x-total-running", HeaderValue::from(total_running));
    // The token is base64: always a valid header value.
    if let Some(token) = next_token.and_then(|token| HeaderValue::from_str(&token).ok()) {
        headers.insert("x-next-token", token);
    }
    Ok(response)
}

pub(super) async fn list_running(
    State(gateway): State<Gateway>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = ListQuery::running_only(query.as_deref().unwrap_or_default())?;
    Ok(Json(page(&gateway, &query).await?.sandboxes).into_response())
}

async fn page(gateway: &Gateway, query: &ListQuery) -> Result<Page, Refusal> {
    gateway.ready().await?;
    let viewer = gateway.viewer();
    let all = gateway
        .index()
        .read(|snapshot| snapshot.sandboxes().cloned().collect::<Vec<_>>());
    Ok(query.page(all.iter().filter_map(|sandbox| viewer.listed(sandbox))))
}

/// One sample, taken now; none of a sandbox that does not serve. Earlier ones are Prometheus' to keep.
pub(super) async fn metrics(State(gateway): State<Gateway>, Named(id): Named) -> Result<Json<Value>, Refusal> {
    let id = sandbox_id(&id)?;
    call(&gateway, id.as_str(), Operation::Read)?.run().await?;
    let sample = data::metrics_sample(&gateway, &id).await;
    Ok(Json(Value::Array(sample.into_iter().collect())))
}

/// A call on one sandbox that this gateway cannot carry out; of a sandbox that is not there it says that.
pub(super) async fn unsupported(
    State(gateway): State<Gateway>,
    uri: Uri,
    Named(id): Named,
) -> Result<Json<Value>, Refusal> {
    call(&gateway, &id, Operation::Read)?.run().await?;
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    let (feature, hint) = match last {
        "snapshots" => (
            "a snapshot beside the running sandbox",
            "pause it, and connect to it later",
        ),
        "fork" => ("a fork of a sandbox", "create another one from the template"),
        "network" => ("a network restriction", "use a NetworkPolicy"),
        "logs" => ("the log of a sandbox over this API", "use kubectl logs"),
        _ => ("this call", "see the list of routes in the documentation"),
    };
    Err(Refusal::Unsupported { feature, hint })
}

pub(super) async fn no_snapshots() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn no_templates() -> Refusal {
    Refusal::Unsupported {
        feature: "the template API",
        hint: "manage SandboxTemplate objects with kubectl",
    }
}
