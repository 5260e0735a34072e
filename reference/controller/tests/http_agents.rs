//! The agent calls over a real connection. The control port is fixed, so the stand-in listens on a loopback address of its own.

use axum::extract::Json;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use torpor_api::{AgentState, CHECKPOINT_PATH, CheckpointRequest, FREEZE_PATH, STATE_PATH, port};
use torpor_api::{CheckpointState, WorkloadState};
use torpor_controller::{AgentError, HttpAgents, SandboxAgents};

/// Nothing else in a test run listens here.
const AGENT_IP: &str = "127.83.7.41";

fn serving() -> AgentState {
    AgentState {
        engine: "sim".to_owned(),
        restored_generation: Some(2),
        workload: WorkloadState::Serving,
        checkpoint: CheckpointState::None,
    }
}

fn serve(listener: TcpListener) {
    let writing = |Json(request): Json<CheckpointRequest>| async move {
        let checkpoint = CheckpointState::Writing {
            generation: request.generation,
        };
        Json(AgentState {
            workload: WorkloadState::Frozen,
            checkpoint,
            ..serving()
        })
    };
    let app = axum::Router::new()
        .route(STATE_PATH, get(|| async { Json(serving()) }))
        .route(FREEZE_PATH, post(|| async { (StatusCode::CONFLICT, Json(serving())) }))
        .route(CHECKPOINT_PATH, post(writing));
    tokio::spawn(async move { axum::serve(listener, app).await });
}

#[tokio::test]
async fn answers_refusals_and_silence_are_told_apart() {
    let listener = TcpListener::bind((AGENT_IP, port::CONTROL))
        .await
        .expect("the address is free");
    serve(listener);
    let agents = HttpAgents::new();
    assert_eq!(agents.state(AGENT_IP).await, Ok(serving()));
    let refused = agents.freeze(AGENT_IP).await.expect_err("a refusal");
    assert!(
        matches!(&refused, AgentError::Refused { message } if message.contains("busy")),
        "{refused}"
    );
    let written = agents.checkpoint(AGENT_IP, 3).await.expect("an answer");
    assert_eq!(written.checkpoint, CheckpointState::Writing { generation: 3 });
    // The stand-in knows no such path, and at the other address nobody listens.
    assert!(matches!(
        agents.thaw(AGENT_IP).await,
        Err(AgentError::Unreachable { .. })
    ));
    assert!(matches!(
        agents.state("127.83.7.42").await,
        Err(AgentError::Unreachable { .. })
    ));
}
