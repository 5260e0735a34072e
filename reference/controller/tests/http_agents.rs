//! The agent calls over a real connection. The control port is fixed, so the stand-in listens on a loopback address of its own.

use std::time::Duration;

use axum::extract::Json;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
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

/// Ten thousand sandboxes that change at about the same time would otherwise need ten thousand file descriptors for minutes.
#[tokio::test]
async fn a_connection_to_an_agent_is_used_again_and_not_kept_for_long() {
    let listener = TcpListener::bind((AGENT_IP, 0)).await.expect("the address is free");
    let agents = HttpAgents::on_port(listener.local_addr().expect("an address").port());
    let (state, mut buffer) = (serde_json::to_string(&serving()).expect("JSON"), [0; 4096]);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{state}", state.len());
    let agent = async {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        for _ in 0..2 {
            let request = connection.read(&mut buffer).await.expect("a request");
            assert!(request > 0, "the second call came over another connection");
            connection
                .write_all(answer.as_bytes())
                .await
                .expect("the caller listens");
        }
        connection.read(&mut buffer).await.expect("an orderly end")
    };
    let calls = async {
        for _ in 0..2 {
            assert_eq!(agents.state(AGENT_IP).await, Ok(serving()));
        }
    };
    let (rest, ()) = timeout(Duration::from_secs(20), async { tokio::join!(agent, calls) })
        .await
        .expect("the idle connection is closed");
    assert_eq!(rest, 0);
}
