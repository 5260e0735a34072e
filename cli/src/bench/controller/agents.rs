//! The agents of the simulated Pods over HTTP: one listener for all Pod IPs, which are loopback addresses.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Router, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use torpor_api::{Addressee, AgentState, CHECKPOINT_PATH, CheckpointRequest, FREEZE_PATH, STATE_PATH, THAW_PATH};
use torpor_controller::{AgentAddress, AgentError, SandboxAgents, SimNode};

/// The address that was called: the IP of the Pod.
#[derive(Clone, Debug)]
struct PodIp(Option<IpAddr>);

impl Connected<IncomingStream<'_, TcpListener>> for PodIp {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.io().local_addr().ok().map(|address| address.ip()))
    }
}

impl PodIp {
    fn called_for(&self, addressee: Addressee) -> AgentAddress {
        AgentAddress {
            pod_ip: self.0.map(|ip| ip.to_string()).unwrap_or_default(),
            addressee,
        }
    }
}

type Answer = Result<Json<AgentState>, (StatusCode, String)>;

/// Serves the agents of this node until `shutdown`; returns their port.
///
/// # Errors
/// No port can be listened on.
pub async fn serve_agents(node: SimNode, shutdown: CancellationToken) -> anyhow::Result<u16> {
    let attempt = "listen on every address of this machine for the agents";
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.context(attempt)?;
    let port = listener.local_addr().context(attempt)?.port();
    let service = routes(Arc::new(node)).into_make_service_with_connect_info::<PodIp>();
    let serving = serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned());
    tokio::spawn(serving.into_future());
    Ok(port)
}

fn routes(node: Arc<SimNode>) -> Router {
    type Node = State<Arc<SimNode>>;
    type Called = ConnectInfo<PodIp>;
    type For = Query<Addressee>;
    let state = |State(node): Node, ConnectInfo(pod): Called, Query(meant): For| async move {
        answer(node.state(&pod.called_for(meant)).await)
    };
    let freeze = |State(node): Node, ConnectInfo(pod): Called, Query(meant): For| async move {
        answer(node.freeze(&pod.called_for(meant)).await)
    };
    let thaw = |State(node): Node, ConnectInfo(pod): Called, Query(meant): For| async move {
        answer(node.thaw(&pod.called_for(meant)).await)
    };
    let checkpoint = |State(node): Node,
                      ConnectInfo(pod): Called,
                      Query(meant): For,
                      Json(request): Json<CheckpointRequest>| async move {
        answer(node.checkpoint(&pod.called_for(meant), request.generation).await)
    };
    Router::new()
        .route(STATE_PATH, get(state))
        .route(FREEZE_PATH, post(freeze))
        .route(THAW_PATH, post(thaw))
        .route(CHECKPOINT_PATH, post(checkpoint))
        .with_state(node)
}

fn answer(result: Result<AgentState, AgentError>) -> Answer {
    let code = |error: &AgentError| match error {
        AgentError::Refused { .. } => StatusCode::CONFLICT,
        AgentError::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
    };
    result.map(Json).map_err(|error| (code(&error), error.to_string()))
}
