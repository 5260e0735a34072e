//! The agent calls over a real connection. The control port is fixed, so the stand-in listens on a loopback address of its own.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Json, Query};
use axum::http::{StatusCode, header};
use axum::routing::{any, get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use torpor_api::{Addressee, AgentState, CHECKPOINT_PATH, CheckpointRequest, FREEZE_PATH, STATE_PATH, THAW_PATH, port};
use torpor_api::{CheckpointState, WorkloadState};
use torpor_controller::{AgentAddress, AgentError, HttpAgents, SandboxAgents};

/// Nothing else in a test run listens here, or at the next one.
const AGENT_IP: &str = "127.83.7.41";

const OTHER_IP: &str = "127.83.7.42";

/// The agent of this Pod at this IP.
fn of(pod_uid: &str, pod_ip: &str) -> AgentAddress {
    let addressee = Addressee {
        sandbox_uid: Some("uid-1".to_owned()),
        pod_uid: Some(pod_uid.to_owned()),
    };
    AgentAddress {
        pod_ip: pod_ip.to_owned(),
        addressee,
    }
}

fn called() -> AgentAddress {
    of("pod-1", AGENT_IP)
}

fn serving() -> AgentState {
    AgentState {
        addressee: called().addressee,
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
    let misdirected = |Query(meant): Query<Addressee>| async move {
        if meant.is_another_than(&called().addressee) {
            (StatusCode::MISDIRECTED_REQUEST, "I am pod-1")
        } else {
            (StatusCode::NOT_FOUND, "")
        }
    };
    let app = axum::Router::new()
        .route(THAW_PATH, post(misdirected))
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
    assert_eq!(agents.state(&called()).await, Ok(serving()));
    let refused = agents.freeze(&called()).await.expect_err("a refusal");
    assert!(
        matches!(&refused, AgentError::Refused { message } if message.contains("busy")),
        "{refused}"
    );
    let written = agents.checkpoint(&called(), 3).await.expect("an answer");
    assert_eq!(written.checkpoint, CheckpointState::Writing { generation: 3 });
    // The stand-in cannot do this, and at the other address nobody listens.
    assert!(matches!(
        agents.thaw(&called()).await,
        Err(AgentError::Unreachable { .. })
    ));
    assert!(matches!(
        agents.state(&of("pod-1", OTHER_IP)).await,
        Err(AgentError::Unreachable { .. })
    ));
}

/// An address may have been given to another Pod while the Pod of the sandbox is still listed with it.
#[tokio::test]
async fn the_answer_of_another_pods_agent_is_silence_whatever_it_says() {
    let listener = TcpListener::bind((AGENT_IP, 0)).await.expect("the address is free");
    let agents = HttpAgents::on_port(listener.local_addr().expect("an address").port());
    serve(listener);
    let silent = |answer: Result<AgentState, AgentError>, word: &str| match answer {
        Err(AgentError::Unreachable { message }) => assert!(message.contains(word), "{message}"),
        other => panic!("{other:?}"),
    };
    let meant = of("pod-2", AGENT_IP);
    // This agent does what it is asked for whomever that is meant for; but it says who it is.
    for answer in [
        agents.state(&meant).await,
        agents.freeze(&meant).await,
        agents.checkpoint(&meant, 3).await,
    ] {
        silent(answer, "that of Pod pod-1 of sandbox uid-1, and not of Pod pod-2");
    }
    // And this one turns away what is not meant for it.
    silent(agents.thaw(&meant).await, "another's agent answers: I am pod-1");
    let unnamed = AgentAddress {
        addressee: Addressee::default(),
        ..meant
    };
    assert_eq!(agents.state(&unnamed).await, Ok(serving()));
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
            assert_eq!(agents.state(&called()).await, Ok(serving()));
        }
    };
    let (rest, ()) = timeout(Duration::from_secs(20), async { tokio::join!(agent, calls) })
        .await
        .expect("the idle connection is closed");
    assert_eq!(rest, 0);
}

/// An agent is in a container of its tenant's making, and could send the controller to the agent of another.
#[tokio::test]
async fn an_agent_cannot_send_the_controller_elsewhere() {
    let listener = TcpListener::bind((AGENT_IP, 0)).await.expect("the address is free");
    let agents = HttpAgents::on_port(listener.local_addr().expect("an address").port());
    let elsewhere = || async { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]) };
    let app = axum::Router::new()
        .route(STATE_PATH, get(elsewhere))
        .route(FREEZE_PATH, post(elsewhere))
        .route("/elsewhere", any(|| async { Json(serving()) }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    for answer in [agents.state(&called()).await, agents.freeze(&called()).await] {
        let Err(AgentError::Unreachable { message }) = answer else {
            panic!("{answer:?}");
        };
        assert!(message.contains("HTTP status 307"), "{message}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind((AGENT_IP, 0)).await.expect("the address is free");
    let agents = HttpAgents::on_port(listener.local_addr().expect("an address").port());
    let endless = || async {
        let chunks = futures::stream::repeat(Ok::<_, Infallible>(vec![b' '; 1 << 16]));
        Body::from_stream(chunks)
    };
    let app = axum::Router::new().route(FREEZE_PATH, post(endless));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let answer = agents.freeze(&called()).await;
    let Err(AgentError::Unreachable { message }) = answer else {
        panic!("{answer:?}");
    };
    assert!(message.contains("length limit exceeded"), "{message}");
}
