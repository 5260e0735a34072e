//! The control endpoint: the protocol of [`torpor_api::AgentState`] over HTTP.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot, watch};
use torpor_api::{
    Addressee, AgentRefusal, AgentState, CHECKPOINT_PATH, CheckpointRequest, FREEZE_PATH, STATE_PATH, THAW_PATH,
};

use crate::supervisor::{ControlRefused, ControlRequest};

/// How long a call may wait for a checkpoint before it answers that it is being written.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Control {
    requests: mpsc::Sender<ControlRequest>,
    state: watch::Receiver<AgentState>,
}

pub(crate) fn router(requests: mpsc::Sender<ControlRequest>, state: watch::Receiver<AgentState>) -> Router {
    let control = Control { requests, state };
    Router::new()
        .route(
            STATE_PATH,
            get(|State(control): State<Control>| async move { control.answer(StatusCode::OK) }),
        )
        .route(
            FREEZE_PATH,
            post(|State(control): State<Control>| async move { control.ask(ControlRequest::Freeze).await }),
        )
        .route(
            THAW_PATH,
            post(|State(control): State<Control>| async move { control.ask(ControlRequest::Thaw).await }),
        )
        .route(CHECKPOINT_PATH, post(checkpoint))
        .layer(from_fn_with_state(control.clone(), turn_away))
        .with_state(control)
}

/// A call that is meant for another sandbox must neither change this one nor learn its state: the address was another
/// Pod's before.
async fn turn_away(
    State(control): State<Control>,
    Query(meant): Query<Addressee>,
    request: Request,
    next: Next,
) -> Response {
    let ours = control.state.borrow().addressee.clone();
    if ours.is_another_than(&meant) {
        tracing::warn!(%meant, "turned away a call for another agent");
        let text =
            format!("this is the agent of {ours}, and the call is meant for {meant}; look up the Pod's IP again");
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    next.run(request).await
}

async fn checkpoint(
    State(control): State<Control>,
    request: Result<Json<CheckpointRequest>, JsonRejection>,
) -> Response {
    let generation = match request {
        Ok(Json(request)) => request.generation,
        Err(rejection) => return rejection.into_response(),
    };
    let asked = control.ask(|reply| ControlRequest::Checkpoint { generation, reply });
    match tokio::time::timeout(CHECKPOINT_WAIT, asked).await {
        Ok(answer) => answer,
        Err(_) => control.answer(StatusCode::OK),
    }
}

impl Control {
    async fn ask(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<(), ControlRefused>>) -> ControlRequest,
    ) -> Response {
        let (reply, done) = oneshot::channel();
        if self.requests.send(request(reply)).await.is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the agent is ending").into_response();
        }
        match done.await {
            Ok(Ok(())) => self.answer(StatusCode::OK),
            Ok(Err(refused)) => {
                let refusal = torpor_runtime::chain(&refused);
                tracing::info!(error = refusal, "control request refused");
                self.refuse(refusal)
            }
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the agent is ending").into_response(),
        }
    }

    fn refuse(&self, refusal: String) -> Response {
        let refusal = AgentRefusal {
            state: self.state.borrow().clone(),
            refusal: Some(refusal),
        };
        (StatusCode::CONFLICT, Json(refusal)).into_response()
    }

    fn answer(&self, status: StatusCode) -> Response {
        (status, Json(self.state.borrow().clone())).into_response()
    }
}
