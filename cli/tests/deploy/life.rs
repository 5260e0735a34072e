//! Controller and gateway as their service accounts on an API server with RBAC, through everything that
//! they do; in virtual time, with a node that costs nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::wait::await_condition;
use mock_apiserver::{Clock, MockApiServer, User};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use torpor_api::agent_sandbox::Sandbox as AgentSandbox;
use torpor_api::{Phase, Sandbox};
use torpor_controller::{Controller, ControllerConfig, Election, Front, LeaseTerms, SimNode};
use torpor_gateway::{Gateway, GatewayConfig};
use tower::ServiceExt as _;

/// How it went.
pub enum Life {
    /// Everything was done.
    Whole,
    /// This request was not allowed.
    Refused(String),
}

/// Tells the virtual time.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

/// Installs `objects` on a new API server, and lives under them.
///
/// # Panics
/// When it neither comes to its end nor is refused anything.
pub fn live(objects: &[Value]) -> Life {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let clock = Arc::new(VirtualClock(Instant::now()));
        let server = MockApiServer::builder().seed(1).clock(clock.clone()).rbac().build();
        install(&server, objects).await;
        let life = async {
            let fronts = fronts(objects);
            let router = start(&server, &clock, &fronts);
            lead_a_life(&server, &router, &fronts).await;
        };
        tokio::select! {
            biased;
            request = refusal(&server) => Life::Refused(request),
            () = life => Life::Whole,
            () = sleep(Duration::from_hours(1)) => panic!("neither an end nor a refusal"),
        }
    })
}

async fn install(server: &MockApiServer, objects: &[Value]) {
    let client = server.client();
    let rank = |object: &&Value| match object["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ => 2,
    };
    let mut ordered: Vec<&Value> = objects.iter().collect();
    ordered.sort_by_key(rank);
    let template = json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "SandboxTemplate",
        "metadata": {"name": "code-interpreter", "namespace": "sandboxes"},
        "spec": {"template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}}},
    });
    for object in ordered.into_iter().chain([&template]) {
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        let types = object.types.clone().expect("its type");
        let kind = GroupVersionKind::try_from(&types).expect("a kind");
        let (resource, _) = kube::discovery::pinned_kind(&client, &kind)
            .await
            .expect("the server knows it");
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        api.create(&PostParams::default(), &object)
            .await
            .expect("the server takes it");
    }
}

/// The kinds of Sandbox that the controller is told to look after.
fn fronts(objects: &[Value]) -> Vec<Front> {
    let mut controllers = objects
        .iter()
        .filter(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "torpor-controller");
    let controller = controllers.next().expect("a controller is deployed");
    let args = &controller["spec"]["template"]["spec"]["containers"][0]["args"];
    let mut args = args.as_array().into_iter().flatten();
    if args.any(|arg| arg == "--agent-sandbox") {
        Front::ALL.to_vec()
    } else {
        vec![Front::Kruise]
    }
}

/// Starts node, controller and gateway; the gateway's service.
fn start(server: &MockApiServer, clock: &Arc<VirtualClock>, fronts: &[Front]) -> Router {
    let forever = CancellationToken::new();
    let as_account = |name| server.client_as_user(User::service_account("torpor-system", name));
    let time = Arc::clone(clock);
    let time: torpor_controller::Clock = Arc::new(move || time.now());
    let node = SimNode::new();
    let (running, client, until) = (node.clone(), server.client(), forever.clone());
    tokio::spawn(async move { running.run(client, until).await });

    let client = as_account("torpor-controller");
    let place = ("torpor-system", "torpor-controller");
    let election = Election::new(
        &client,
        place,
        "one".to_owned(),
        LeaseTerms::default(),
        Arc::clone(&time),
    );
    let config = ControllerConfig {
        clock: Arc::clone(&time),
        fronts: fronts.to_vec(),
        fence: election.fence(),
        ..ControllerConfig::new("memory://")
    };
    let node = Arc::new(node);
    let controller = Controller::new(client, config, node.clone(), node);
    tokio::spawn(election.lead(controller.run(forever.clone()), forever.clone()));

    let config = GatewayConfig {
        clock: time,
        ..GatewayConfig::new("sandboxes", [7; 32])
    };
    let gateway = Gateway::new(&as_account("torpor-gateway"), config);
    let router = gateway.control_and_data_router();
    tokio::spawn(async move { gateway.run(forever).await });
    router
}

/// The first request that was not allowed.
async fn refusal(server: &MockApiServer) -> String {
    loop {
        if let Some(refused) = server.requests().iter().find(|logged| logged.code == Some(403)) {
            return format!("{:?}", refused.request);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn lead_a_life(server: &MockApiServer, router: &Router, fronts: &[Front]) {
    // By hand and repeatedly, so that a checkpoint is outlived.
    let id = create(router, json!({"templateID": "code-interpreter", "timeout": 3600})).await;
    for _ in 0..2 {
        call(router, "POST", &format!("/sandboxes/{id}/pause"), json!({})).await;
        call(
            router,
            "POST",
            &format!("/sandboxes/{id}/connect"),
            json!({"timeout": 3600}),
        )
        .await;
    }
    call(router, "GET", "/v2/sandboxes", Value::Null).await;
    call(router, "DELETE", &format!("/sandboxes/{id}"), Value::Null).await;
    until(server, &id, |seen| seen.is_none()).await;
    // By timers, from a template that is found by an alias.
    let paused = create(router, json!({"templateID": "base", "timeout": 30, "autoPause": true})).await;
    until(server, &paused, |seen| phase(seen) == Some(Phase::Paused)).await;
    let ended = create(router, json!({"templateID": "base", "timeout": 30})).await;
    until(server, &ended, |seen| seen.is_none()).await;
    beside_the_pod(server).await;
    if fronts.contains(&Front::AgentSandbox) {
        through_the_second_front(server).await;
    }
    // Long enough for every lease and watch to be renewed.
    sleep(Duration::from_mins(6)).await;
}

/// A sandbox of a template that is only named, with a volume and, for a while, a Service.
async fn beside_the_pod(server: &MockApiServer) {
    let spec = json!({
        "templateRef": {"name": "code-interpreter"},
        "service": true,
        "volumeClaimTemplates": [{
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }],
    });
    let sandbox = Sandbox::new("referring", serde_json::from_value(spec).expect("a spec"));
    let sandboxes: Api<Sandbox> = Api::namespaced(server.client(), "sandboxes");
    let services: Api<Service> = Api::namespaced(server.client(), "sandboxes");
    sandboxes
        .create(&PostParams::default(), &sandbox)
        .await
        .expect("created");
    let there = await_condition(services.clone(), "referring", |seen: Option<&Service>| seen.is_some());
    there.await.expect("a watch");
    let is_running = |seen: Option<&Sandbox>| phase(seen) == Some(Phase::Running);
    until(server, "referring", is_running).await;
    let patch = Patch::Merge(json!({"spec": {"service": false}}));
    sandboxes
        .patch("referring", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    let gone = await_condition(services, "referring", |seen: Option<&Service>| seen.is_none());
    gone.await.expect("a watch");
}

/// A sandbox of agent-sandbox's API that ends by itself.
async fn through_the_second_front(server: &MockApiServer) {
    let template = json!({"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}});
    let sandbox = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": {"name": "second", "namespace": "sandboxes"},
        "spec": {"podTemplate": template},
    });
    let sandbox: AgentSandbox = serde_json::from_value(sandbox).expect("a sandbox");
    let sandboxes: Api<AgentSandbox> = Api::namespaced(server.client(), "sandboxes");
    sandboxes
        .create(&PostParams::default(), &sandbox)
        .await
        .expect("created");
    let pods: Api<Pod> = Api::namespaced(server.client(), "sandboxes");
    let started = await_condition(pods, "second", |seen: Option<&Pod>| seen.is_some());
    started.await.expect("a watch");
    let ends = json!({"spec": {"shutdownTime": "1970-01-01T00:00:00Z", "shutdownPolicy": "Delete"}});
    let patch = Patch::Merge(ends);
    sandboxes
        .patch("second", &PatchParams::default(), &patch)
        .await
        .expect("patched");
    let gone = await_condition(sandboxes, "second", |seen: Option<&AgentSandbox>| seen.is_none());
    gone.await.expect("a watch");
}

fn phase(seen: Option<&Sandbox>) -> Option<Phase> {
    seen.and_then(|sandbox| sandbox.status.as_ref()?.phase)
}

async fn until(server: &MockApiServer, name: &str, condition: impl Fn(Option<&Sandbox>) -> bool) {
    let sandboxes: Api<Sandbox> = Api::namespaced(server.client(), "sandboxes");
    await_condition(sandboxes, name, condition).await.expect("a watch");
}

async fn create(router: &Router, body: Value) -> String {
    let sandbox = call(router, "POST", "/v2/sandboxes", body).await;
    sandbox["sandboxID"].as_str().expect("an id").to_owned()
}

/// Calls the gateway until it does what it is asked: what is refused to it by the cluster shows in the log.
async fn call(router: &Router, method: &str, path: &str, body: Value) -> Value {
    loop {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("X-API-KEY", "e2b_any");
        let request = request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        let answer = router
            .clone()
            .oneshot(request.expect("a request"))
            .await
            .expect("an answer");
        let done = answer.status().is_success();
        let text = axum::body::to_bytes(answer.into_body(), usize::MAX)
            .await
            .expect("a body");
        if done {
            return serde_json::from_slice(&text).unwrap_or_default();
        }
        sleep(Duration::from_millis(200)).await;
    }
}
