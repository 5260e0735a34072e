//! A gateway between a Kubernetes API in memory, a stand-in for the controller, and an agent that
//! only knows how to be talked to.

mod agent;
mod controller;
pub mod kubernetes;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use kube::{Api, Client, api::PostParams};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use torpor_api::{Sandbox, SandboxTemplate, SandboxTemplateSpec};
use torpor_gateway::{ApiKeys, Gateway, GatewayConfig};

use self::kubernetes::{Interference, Lag, Outage};
pub use self::{agent::FakeAgent, controller::Faults};

/// The time on the gateway's clock.
pub const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
/// A key that the gateway accepts.
pub const KEY: &str = "e2b_0000000000000000000000000000000000000000";

/// Everything around one gateway. Ends when it is dropped.
pub struct World {
    pub sandboxes: Api<Sandbox>,
    pub agent: FakeAgent,
    pub faults: Faults,
    interference: Interference,
    pub outage: Outage,
    pub lag: Lag,
    /// The gateway that was started last.
    pub gateway: Gateway,
    /// How gateways reach the Kubernetes API.
    client: Client,
    http: reqwest::Client,
    main: SocketAddr,
    interpreter: SocketAddr,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    /// A world with one template, `code-interpreter`, in which any API key is accepted.
    pub async fn new() -> Self {
        Self::with(ApiKeys::Any, usize::MAX).await
    }

    /// A world in which these keys are accepted, and every `nth` request of the gateway to the
    /// Kubernetes API is refused.
    pub async fn with(api_keys: ApiKeys, nth: usize) -> Self {
        let shutdown = CancellationToken::new();
        let client = kubernetes::client().await;
        let interference = Interference::default();
        let on_the_way = kubernetes::refused_every(client.clone(), nth);
        let on_the_way = kubernetes::interfered(on_the_way, Arc::clone(&interference));
        let outage = Outage::default();
        let on_the_way = kubernetes::with_outages(on_the_way, outage.clone());
        let lag = Lag::default();
        let on_the_way = kubernetes::lagging(on_the_way, lag.clone());
        let template = json!({ "spec": { "containers": [{ "name": "sandbox", "image": "agent",
            "env": [{ "name": "LANG", "value": "C" }], "resources": { "limits": { "cpu": "2", "memory": "1Gi" } } }] } });
        let templates: Api<SandboxTemplate> = Api::namespaced(client.clone(), "default");
        let template = SandboxTemplate::new("code-interpreter", SandboxTemplateSpec { template });
        templates.create(&PostParams::default(), &template).await.unwrap();
        let agent = FakeAgent::start(&shutdown).await;
        let faults = controller::start(client.clone(), agent.ip(), &shutdown);
        let mut config = GatewayConfig::new("default", [7; 32]);
        config.clock = Arc::new(|| NOW);
        config.api_keys = api_keys;
        config.limits.start = Duration::from_secs(20);
        config.limits.pause = Duration::from_secs(20);
        let gateway = Gateway::new(&on_the_way, config);
        tokio::spawn({
            let (gateway, shutdown) = (gateway.clone(), shutdown.clone());
            async move { gateway.run(shutdown).await }
        });
        let main = serve(gateway.control_and_data_router(), &shutdown).await;
        let interpreter = serve(gateway.data_router(49999), &shutdown).await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let sandboxes = Api::namespaced(client, "default");
        Self {
            sandboxes,
            agent,
            faults,
            interference,
            outage,
            lag,
            gateway,
            client: on_the_way,
            http,
            main,
            interpreter,
            shutdown,
        }
    }

    /// Sends the calls from now on to a gateway of which so many creations are refused with `refusal`.
    pub async fn refuse_creations(&mut self, number: usize, refusal: fn() -> http::Response<axum::body::Body>) {
        let left = Arc::new(AtomicUsize::new(number));
        let client = kubernetes::creations_refused(self.client.clone(), left, refusal);
        self.turn_to(&client, GatewayConfig::new("default", [7; 32])).await;
    }

    /// Sends the calls from now on to a gateway that waits for no controller: what is not there yet is too slow.
    /// Returns the address of the one that they went to before.
    pub async fn lose_patience(&mut self) -> SocketAddr {
        let mut config = GatewayConfig::new("default", [7; 32]);
        config.limits.start = Duration::ZERO;
        config.limits.pause = Duration::ZERO;
        self.turn_to(&self.client.clone(), config).await
    }

    /// Sends the calls from now on to a gateway like this; returns the address of the one that they went to before.
    async fn turn_to(&mut self, client: &Client, mut config: GatewayConfig) -> SocketAddr {
        config.clock = Arc::new(|| NOW);
        let gateway = Gateway::new(client, config);
        let address = serve(gateway.control_and_data_router(), &self.shutdown).await;
        self.gateway = gateway.clone();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { gateway.run(shutdown).await });
        self.send_to(address)
    }

    /// Sends the calls from now on to this gateway; returns the address of the one that they went to before.
    pub fn send_to(&mut self, gateway: SocketAddr) -> SocketAddr {
        std::mem::replace(&mut self.main, gateway)
    }

    /// A request to the main port without any credentials.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.main))
    }

    /// Where the main port is.
    pub fn main_port(&self) -> SocketAddr {
        self.main
    }

    /// A request to the port that SDKs in debug mode use for code.
    pub fn interpreter(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.interpreter))
    }

    /// A call of the control plane.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.bare(method, path).header("X-API-KEY", KEY);
        let request = body.into_iter().fold(request, |request, body| request.json(&body));
        Answer::of(request.send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    /// Creates a sandbox with this body besides the template; returns the answer's body.
    pub async fn create(&self, fields: Value) -> Value {
        let mut body = json!({ "templateID": "code-interpreter" });
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let answer = self.post("/v2/sandboxes", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body
    }

    /// Creates a sandbox; returns its id.
    pub async fn sandbox(&self) -> String {
        id(&self.create(json!({})).await)
    }

    pub async fn pause(&self, id: &str) -> u16 {
        self.call(Method::POST, &format!("/sandboxes/{id}/pause"), None)
            .await
            .status
    }

    pub async fn connect(&self, id: &str, timeout: u64) -> Answer {
        self.post(&format!("/v2/sandboxes/{id}/connect"), json!({ "timeout": timeout }))
            .await
    }

    /// Lets somebody else pause the sandbox just before the gateway's next patch arrives.
    pub fn pause_before_next_patch(&self, id: &str) {
        let (sandboxes, id) = (self.sandboxes.clone(), id.to_owned());
        *self.interference.lock().unwrap() = Some(Box::new(|| Box::pin(kubernetes::set_paused(sandboxes, id, true))));
    }

    /// Lets somebody else resume the sandbox; returns once the cluster says that it serves.
    pub async fn resume_in_the_cluster(&self, id: &str) {
        kubernetes::set_paused(self.sandboxes.clone(), id.to_owned(), false).await;
        let serves = |sandbox: Option<&Sandbox>| {
            let status = sandbox.and_then(|sandbox| sandbox.status.as_ref());
            status.is_some_and(|status| status.phase == Some(torpor_api::Phase::Running) && status.pod_info.is_some())
        };
        kube::runtime::wait::await_condition(self.sandboxes.clone(), id, serves)
            .await
            .unwrap();
    }

    /// Returns once the `Sandbox` object is so; ends the test if it does not get there.
    pub async fn until(&self, id: &str, is_so: impl Fn(&Sandbox) -> bool) {
        let is_so = |sandbox: Option<&Sandbox>| sandbox.is_some_and(&is_so);
        let becomes_so = kube::runtime::wait::await_condition(self.sandboxes.clone(), id, is_so);
        tokio::time::timeout(Duration::from_mins(1), becomes_so)
            .await
            .unwrap()
            .unwrap();
    }

    /// Lets somebody else ask for a pause of the sandbox, as the controller does when the time has come.
    pub async fn pause_in_the_cluster(&self, id: &str) {
        kubernetes::set_paused(self.sandboxes.clone(), id.to_owned(), true).await;
    }

    /// Lets the controller report that the run of the sandbox was lost, and that it is paused on its checkpoint again.
    pub async fn lose_the_run(&self, id: &str) {
        controller::lose_the_run(&self.sandboxes, id).await;
    }

    /// Lets the controller report that the run of the sandbox has begun later than it had.
    pub async fn begin_anew(&self, id: &str) {
        controller::begin_anew(&self.sandboxes, id).await;
    }

    /// The `Sandbox` object.
    pub async fn object(&self, id: &str) -> Sandbox {
        self.sandboxes.get(id).await.unwrap()
    }

    /// Seconds from [`NOW`] to the pause time and to the shutdown time.
    pub async fn timers(&self, id: &str) -> (Option<i64>, Option<i64>) {
        let spec = self.object(id).await.spec;
        let seconds = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
            time.map(|time| time.0.as_second() - NOW.as_second())
        };
        (seconds(spec.pause_time), seconds(spec.shutdown_time))
    }
}

/// The id in an answer of create or connect.
pub fn id(body: &Value) -> String {
    body["sandboxID"].as_str().unwrap().to_owned()
}

/// A status and a JSON body; null where there is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap()
        };
        Self { status, headers, body }
    }

    /// The status, after a check that an error body says the same.
    pub fn checked_status(&self) -> u16 {
        if self.status >= 400 {
            assert_eq!(self.body["code"], json!(self.status), "{}", self.body);
            assert!(
                self.body["message"].as_str().is_some_and(|message| !message.is_empty()),
                "{}",
                self.body
            );
        }
        self.status
    }
}

async fn serve(router: axum::Router, shutdown: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let ended = shutdown.clone().cancelled_owned();
    tokio::spawn(async move {
        tokio::select! {
            served = axum::serve(listener, router) => served.unwrap(),
            () = ended => {}
        }
    });
    address
}

/// A loopback address that no other test of this process uses: the ports of an agent are fixed.
fn own_loopback_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | (high & 0x7f), low, NEXT.fetch_add(1, Ordering::Relaxed))
}
