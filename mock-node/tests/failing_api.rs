//! A node whose API server fails now and then: what it has to say of its Pods arrives all the same.

#![expect(clippy::expect_used, reason = "a node that cannot be set up fails the test")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use mock_apiserver::{LogOptions, MockApiServer, Refusal, RuleGuard, Verdict};
use mock_node::{
    Capacity, ContainerRuntime, ContainerStage, ContainerUsage, LogStream, MockNode, NodeConfig, PodPlace, PodRuntime,
    RunningContainer, SandboxPod, StartError, StopError,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use torpor_api::env;
use torpor_runtime::{Clock, MontyEngine};

const NODE: &str = "node";

struct Cluster {
    server: MockApiServer,
    client: Client,
    shutdown: CancellationToken,
    node: JoinHandle<()>,
    _files: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        Self::with(&[], embedded()).await
    }

    /// With Pods that are there before the node is.
    async fn with(pods: &[Value], runtime: PodRuntime) -> Self {
        let server = MockApiServer::builder().build();
        let client = server.client();
        let all: Api<Pod> = Api::default_namespaced(client.clone());
        for pod in pods {
            all.create(&PostParams::default(), &object(pod)).await.expect("created");
            let status = Patch::Merge(json!({ "status": pod["status"] }));
            let name = pod["metadata"]["name"].as_str().expect("a name");
            let written = all.patch_status(name, &PatchParams::default(), &status).await;
            written.expect("the status is written");
        }
        let (shutdown, files) = (CancellationToken::new(), tempfile::tempdir().expect("a directory"));
        let (_, node) = MockNode::new(NodeConfig {
            name: NODE.to_owned(),
            capacity: Capacity {
                cpu_millis: 4000,
                memory_bytes: 8 << 30,
                pods: 10,
            },
            work_dir: files.path().to_owned(),
            runtime,
            seed: std::process::id(),
            clock: Arc::new(Timestamp::now),
            schedules: true,
            freeze_limit: Duration::from_secs(1),
            store_settings: BTreeMap::new(),
        });
        let run = Box::pin(node.run(server.client_as(NODE), shutdown.clone()));
        Self {
            server,
            client,
            shutdown,
            node: tokio::spawn(async move { run.await.expect("it runs") }),
            _files: files,
        }
    }

    /// Each write of the node fails so often before it is carried out, by what is written.
    fn refuse(&self, times: usize) -> RuleGuard {
        let refused: Mutex<BTreeMap<_, usize>> = Mutex::default();
        self.server.inject(move |request| {
            let is_of_node = request.user_agent == NODE && request.resource != "nodes";
            if !is_of_node || ["get", "list", "watch"].contains(&request.verb) {
                return Verdict::Pass;
            }
            let what = (request.verb, request.resource.clone(), request.subresource.clone());
            let mut refused = refused.lock().expect("no test has failed");
            let refused = refused.entry(what).or_default();
            *refused += 1;
            if *refused > times {
                return Verdict::Pass;
            }
            Verdict::Refuse(Refusal {
                code: 500,
                reason: "InternalError".to_owned(),
                message: "on purpose".to_owned(),
                retry_after_seconds: None,
            })
        })
    }

    fn all<T>(&self) -> Api<T>
    where
        T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::default_namespaced(self.client.clone())
    }

    async fn pod_becomes(&self, what: &str, is: impl Fn(Option<&Pod>) -> bool) {
        let becomes = await_condition(self.all::<Pod>(), "one", is);
        let limit = Duration::from_mins(1);
        let seen = tokio::time::timeout(limit, becomes).await;
        seen.unwrap_or_else(|_| panic!("the Pod does not become {what}"))
            .expect("it is watched");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_mins(1), self.node).await;
        ended.expect("the node ends").expect("without a panic");
    }
}

fn embedded() -> PodRuntime {
    PodRuntime::InProcess(Arc::new(MontyEngine::new(Clock::system())))
}

/// A container that is asked more than once before it ends.
struct Reluctant {
    refusals_left: Arc<AtomicUsize>,
    stage: watch::Sender<ContainerStage>,
}

impl ContainerRuntime for Reluctant {
    fn start(&self, _: SandboxPod, _: PodPlace) -> BoxFuture<'_, Result<Box<dyn RunningContainer>, StartError>> {
        let container: Box<dyn RunningContainer> = Box::new(Self {
            refusals_left: Arc::clone(&self.refusals_left),
            stage: watch::Sender::new(ContainerStage::Ready),
        });
        std::future::ready(Ok(container)).boxed()
    }
}

impl RunningContainer for Reluctant {
    fn id(&self) -> String {
        "test://reluctant".to_owned()
    }

    fn pod_ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn stage(&self) -> watch::Receiver<ContainerStage> {
        self.stage.subscribe()
    }

    fn usage(&self) -> BoxFuture<'_, Option<ContainerUsage>> {
        std::future::ready(None).boxed()
    }

    fn logs(&self, _: &LogOptions) -> LogStream {
        Box::pin(futures::stream::empty())
    }

    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>> {
        let left = self.refusals_left.load(SeqCst);
        self.refusals_left.store(left.saturating_sub(1), SeqCst);
        let outcome = if left == 0 {
            Ok(())
        } else {
            Err("Docker does not answer".into())
        };
        std::future::ready(outcome).boxed()
    }
}

fn object<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).expect("an object")
}

fn pod(node: Option<&str>) -> Value {
    json!({
        "metadata": { "name": "one" },
        "spec": { "nodeName": node, "containers": [{ "name": "idle", "image": "idle" }] },
    })
}

fn sandbox() -> Value {
    let mut sandbox = pod(None);
    sandbox["spec"]["containers"][0]["env"] = json!([{ "name": env::STORE, "value": "memory:///" }]);
    sandbox
}

fn is_ready(pod: Option<&Pod>) -> bool {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn has_failed(pod: Option<&Pod>) -> bool {
    let status = pod.and_then(|pod| pod.status.as_ref());
    status.and_then(|status| status.phase.as_deref()) == Some("Failed")
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_goes_although_each_write_fails_at_first() {
    let cluster = Cluster::start().await;
    let _failing = cluster.refuse(3);
    let pods = cluster.all::<Pod>();
    pods.create(&PostParams::default(), &object(&pod(None)))
        .await
        .expect("created");
    cluster.pod_becomes("ready", is_ready).await;
    pods.delete("one", &DeleteParams::default()).await.expect("it is to go");
    cluster.pod_becomes("gone", |pod| pod.is_none()).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn that_a_pod_was_lost_is_said_although_it_fails_at_first() {
    let mut before = pod(Some(NODE));
    before["status"] = json!({ "phase": "Running", "containerStatuses": [{
        "name": "idle", "image": "idle", "imageID": "", "ready": true, "restartCount": 0, "containerID": "torpor-agent://1",
        "state": { "running": { "startedAt": "2027-01-01T00:00:00Z" } },
    }] });
    let cluster = Cluster::with(&[before], embedded()).await;
    let _failing = cluster.refuse(3);
    cluster.pod_becomes("failed", has_failed).await;
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_claim_is_bound_although_it_fails_at_first() {
    let cluster = Cluster::start().await;
    let _failing = cluster.refuse(3);
    let claims = cluster.all::<PersistentVolumeClaim>();
    let claim = json!({ "metadata": { "name": "data" }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
    }});
    claims
        .create(&PostParams::default(), &object(&claim))
        .await
        .expect("created");
    let is_bound = |claim: Option<&PersistentVolumeClaim>| {
        let status = claim.and_then(|claim| claim.status.as_ref());
        status.and_then(|status| status.phase.as_deref()) == Some("Bound")
    };
    let becomes = tokio::time::timeout(Duration::from_mins(1), await_condition(claims, "data", is_bound));
    becomes.await.expect("it is bound").expect("it is watched");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_although_the_api_takes_nothing_any_more() {
    let cluster = Cluster::start().await;
    let pods = cluster.all::<Pod>();
    pods.create(&PostParams::default(), &object(&pod(None)))
        .await
        .expect("created");
    cluster.pod_becomes("ready", is_ready).await;
    let _failing = cluster.refuse(usize::MAX);
    pods.delete("one", &DeleteParams::default()).await.expect("it is to go");
    cluster.stop().await;
}

/// With a sandbox that is ready, whose container refuses to end so often; and how often it still will.
async fn with_a_reluctant_container(refusals: usize) -> (Cluster, Arc<AtomicUsize>) {
    let refusals_left = Arc::new(AtomicUsize::new(refusals));
    let runtime = Reluctant {
        refusals_left: Arc::clone(&refusals_left),
        stage: watch::Sender::new(ContainerStage::Ready),
    };
    let cluster = Cluster::with(&[], PodRuntime::Containers(Arc::new(runtime))).await;
    let created = cluster
        .all::<Pod>()
        .create(&PostParams::default(), &object(&sandbox()))
        .await;
    created.expect("created");
    cluster.pod_becomes("ready", is_ready).await;
    (cluster, refusals_left)
}

/// What is left of it holds memory, and a pause would be reported over it.
#[tokio::test(start_paused = true)]
async fn a_pod_does_not_go_before_its_container_has_ended() {
    let (cluster, refusals_left) = with_a_reluctant_container(3).await;
    let deleted = cluster.all::<Pod>().delete("one", &DeleteParams::default()).await;
    deleted.expect("it is to go");
    cluster.pod_becomes("gone", |pod| pod.is_none()).await;
    assert_eq!(refusals_left.load(SeqCst), 0, "it was asked until it ended");
    cluster.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_although_a_container_does_not() {
    let (cluster, _) = with_a_reluctant_container(usize::MAX).await;
    cluster.stop().await;
}
