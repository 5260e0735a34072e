//! A controller and a node that costs nothing on a whole API server in this process, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use mock_apiserver::{Clock, LoggedRequest, MockApiServer, Refusal, RuleGuard, Verdict};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use torpor_api::{Phase, Sandbox, custom_resource_definitions};
use torpor_controller::{Controller, ControllerConfig, ControllerMetrics, Front, SimNode};

/// The user agent of the controller.
pub const CONTROLLER: &str = "torpor-controller";

/// Tells the virtual time.
struct VirtualClock(Instant);

impl VirtualClock {
    fn read(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time") + self.0.elapsed()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.read()
    }
}

/// A controller, and what ends it.
struct Running {
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
    metrics: ControllerMetrics,
}

/// See the module.
pub struct Plane {
    pub server: MockApiServer,
    pub node: SimNode,
    clock: Arc<VirtualClock>,
    fronts: Vec<Front>,
    controller: Mutex<Option<Running>>,
}

impl Plane {
    pub async fn start() -> Self {
        Self::start_serving(&[Front::Kruise]).await
    }

    /// With a controller that looks after these kinds of Sandbox.
    pub async fn start_serving(fronts: &[Front]) -> Self {
        let clock = Arc::new(VirtualClock(Instant::now()));
        let server = MockApiServer::builder().seed(1).clock(clock.clone()).build();
        let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
        for definition in custom_resource_definitions() {
            definitions
                .create(&PostParams::default(), &definition)
                .await
                .expect("a definition");
        }
        let node = SimNode::new();
        let (running, client) = (node.clone(), server.client_as("torpor-node"));
        tokio::spawn(async move { running.run(client, CancellationToken::new()).await });
        let plane = Self {
            server,
            node,
            clock,
            fronts: fronts.to_vec(),
            controller: Mutex::default(),
        };
        plane.restart_controller().await;
        plane
    }

    /// Ends the controller, if one runs, and starts a new one.
    pub async fn restart_controller(&self) {
        let earlier = self.controller.lock().expect("no test panics here").take();
        if let Some(earlier) = earlier {
            earlier.shutdown.cancel();
            earlier.ended.await.expect("it ends");
        }
        let clock = Arc::clone(&self.clock);
        let config = ControllerConfig {
            clock: Arc::new(move || clock.read()),
            fronts: self.fronts.clone(),
            ..ControllerConfig::new("memory://")
        };
        let node = Arc::new(self.node.clone());
        let controller = Controller::new(self.server.client_as(CONTROLLER), config, node.clone(), node);
        let (shutdown, metrics) = (CancellationToken::new(), controller.metrics());
        let ended = tokio::spawn(controller.run(shutdown.clone()));
        *self.controller.lock().expect("no test panics here") = Some(Running {
            shutdown,
            ended,
            metrics,
        });
    }

    /// The metrics of the controller, a line each.
    pub fn metrics(&self) -> Vec<String> {
        let controller = self.controller.lock().expect("no test panics here");
        let page = controller
            .as_ref()
            .expect("a controller")
            .metrics
            .render()
            .expect("a string takes everything");
        page.lines().map(str::to_owned).collect()
    }

    pub fn sandboxes(&self) -> Api<Sandbox> {
        Api::namespaced(self.server.client(), "default")
    }

    pub async fn create(&self, name: &str, paused: bool) {
        let spec = json!({
            "paused": paused,
            "template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}},
        });
        self.create_with(name, spec).await;
    }

    /// With a volume claim and a Service.
    pub async fn create_accompanied(&self, name: &str, paused: bool) {
        let spec = json!({
            "paused": paused,
            "template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}},
            "service": true,
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        });
        self.create_with(name, spec).await;
    }

    async fn create_with(&self, name: &str, spec: Value) {
        let sandbox = Sandbox::new(name, serde_json::from_value(spec).expect("a spec"));
        self.sandboxes()
            .create(&PostParams::default(), &sandbox)
            .await
            .expect("created");
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        let patch = Patch::Merge(patch);
        self.sandboxes()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .expect("patched");
    }

    pub async fn until_phase(&self, name: &str, phase: Phase) {
        let there =
            move |seen: Option<&Sandbox>| seen.and_then(|sandbox| sandbox.status.as_ref()?.phase) == Some(phase);
        let reached = await_condition(self.sandboxes(), name, there);
        let reached = tokio::time::timeout(Duration::from_mins(10), reached).await;
        reached.expect("in time").expect("a watch");
    }

    /// Lets everything that is under way come to its end.
    pub async fn settle(&self) {
        let mut revision = 0;
        while revision != self.server.revision() {
            revision = self.server.revision();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }

    /// What the server was asked by this user agent, oldest first.
    pub fn requests(&self, user_agent: &str) -> Vec<LoggedRequest> {
        let requests = self.server.requests();
        requests
            .into_iter()
            .filter(|logged| logged.request.user_agent == user_agent)
            .collect()
    }

    /// Lets the controller have nothing of this resource, until it is dropped.
    pub fn refuse(&self, resource: &'static str) -> RuleGuard {
        let refused = Refusal {
            code: 503,
            reason: "ServiceUnavailable".to_owned(),
            message: format!("no {resource} now"),
            retry_after_seconds: None,
        };
        self.server.inject(move |request| {
            if request.user_agent == CONTROLLER && request.resource == resource {
                Verdict::Refuse(refused.clone())
            } else {
                Verdict::Pass
            }
        })
    }

    /// Deletes a Pod such that no watch of the controller reports it: its watch ended before, and has to begin anew.
    pub async fn delete_pod_unseen(&self, name: &str) {
        let refused = Refusal {
            code: 503,
            reason: "ServiceUnavailable".to_owned(),
            message: "no watches now".to_owned(),
            retry_after_seconds: None,
        };
        let no_watch = self.server.inject(move |request| {
            let watches_pods = request.verb == "watch" && request.resource == "pods";
            if request.user_agent == CONTROLLER && watches_pods {
                Verdict::Refuse(refused.clone())
            } else {
                Verdict::Pass
            }
        });
        // A watch lasts for less than five minutes.
        tokio::time::sleep(Duration::from_mins(6)).await;
        let pods: Api<Pod> = Api::namespaced(self.server.client(), "default");
        let at_once = DeleteParams::default().grace_period(0);
        pods.delete(name, &at_once).await.expect("deleted");
        self.server.compact();
        drop(no_watch);
    }
}
