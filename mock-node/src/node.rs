//! The node's one owner of state: which Pods it runs and which wait for room.
//!
//! Placing and the life of a single Pod are decided elsewhere ([`schedule`](crate::schedule),
//! [`kubelet`](crate::kubelet)); this loop takes in what happened and starts or stops workers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, ObjectReference, Pod};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::address::PodAddresses;
use crate::claims;
use crate::handle::{NodeHandle, NodeRequest};
use crate::kubelet::{PodRequest, PodWorker};
use crate::pod_status;
use crate::registration;
use crate::runtime::PodRuntime;
use crate::schedule::{Capacity, Placement, Requests, is_left_to_another, selects};

/// Requests of other tasks that may wait for the node's loop.
const QUEUE: usize = 256;
/// After which time what the API did not take of a Pod without worker is written again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How a node is set up.
#[derive(Clone)]
pub struct NodeConfig {
    /// `metadata.name` of the Node.
    pub name: String,
    /// What it can hold.
    pub capacity: Capacity,
    /// Where agents keep the files of their sandboxes while they run.
    pub work_dir: PathBuf,
    /// What runs the sandboxes.
    pub runtime: PodRuntime,
    /// Chooses the first Pod IP.
    pub seed: u32,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Whether it places Pods on itself; otherwise it runs only what another scheduler binds to it.
    pub schedules: bool,
    /// How long code may take to reach a point where it can be stopped for a checkpoint.
    pub freeze_limit: Duration,
    /// Settings of the checkpoint store that sandbox containers are given beside their own variables.
    pub store_settings: BTreeMap<String, String>,
}

/// Why a node stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The Node object could not be written.
    #[error("register node {name}")]
    Register {
        /// `metadata.name` of the Node.
        name: String,
        /// What the API answered.
        source: Box<kube::Error>,
    },
}

/// `namespace/name` of a Pod.
pub(crate) type PodKey = (String, String);

/// A node of the mock control plane.
pub struct MockNode {
    config: NodeConfig,
    requests: mpsc::Receiver<NodeRequest>,
}

impl MockNode {
    /// A node that runs nothing yet, and a handle to it.
    #[must_use]
    pub fn new(config: NodeConfig) -> (NodeHandle, Self) {
        let (sender, requests) = mpsc::channel(QUEUE);
        let name = config.name.clone();
        let handle = NodeHandle { name, requests: sender };
        (handle, Self { config, requests })
    }

    /// Registers the node and runs Pods until `shutdown`; then stops every agent.
    ///
    /// # Errors
    /// [`NodeError::Register`] when the Node object cannot be written.
    pub async fn run(mut self, client: Client, shutdown: CancellationToken) -> Result<(), NodeError> {
        registration::register(&client, &self.config).await?;
        let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff();
        let mut pods = std::pin::pin!(pods);
        let mut claims = std::pin::pin!(claims::bind(client.clone()).fuse());
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut kubelet = Kubelet {
            addresses: PodAddresses::new(self.config.seed),
            config: self.config.clone(),
            client,
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            again_at: None,
            shutdown: shutdown.clone(),
            ended,
        };
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = &mut claims => {}
                Some(request) = self.requests.recv() => kubelet.answer(request),
                Some(ending) = endings.recv() => kubelet.pod_ended(&ending).await,
                () = kubelet.due_again() => kubelet.look_again().await,
                Some(event) = pods.next() => match event {
                    Ok(event) => kubelet.pod_event(event).await,
                    Err(error) => tracing::warn!(%error, "watch of pods interrupted"),
                },
            }
        }
        kubelet.stop_all(&mut endings).await;
        Ok(())
    }
}

struct Kubelet {
    config: NodeConfig,
    client: Client,
    addresses: PodAddresses,
    running: BTreeMap<PodKey, RunningPod>,
    /// For room, for the end of an earlier Pod of their name, or for the API to take what was written of them.
    waiting: BTreeMap<PodKey, Pod>,
    /// When what the API did not take is written again.
    again_at: Option<Instant>,
    shutdown: CancellationToken,
    ended: mpsc::UnboundedSender<PodEnded>,
}

/// A Pod that has a worker.
struct RunningPod {
    uid: String,
    requested: Requests,
    stop: CancellationToken,
    worker: mpsc::Sender<PodRequest>,
}

/// A worker's last word.
#[derive(Debug)]
pub(crate) struct PodEnded {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Kubelet {
    async fn pod_event(&mut self, event: Event<Pod>) {
        match event {
            Event::Apply(pod) | Event::InitApply(pod) => self.pod_seen(pod).await,
            Event::Delete(pod) => self.pod_gone(&pod),
            Event::Init | Event::InitDone => {}
        }
    }

    async fn pod_seen(&mut self, pod: Pod) {
        let key = key(&pod);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let deleting = pod.metadata.deletion_timestamp.is_some();
        match node {
            None if deleting => drop(self.waiting.remove(&key)),
            None if !self.config.schedules || is_left_to_another(&pod) => {}
            None => self.place(key, pod).await,
            Some(node) if node != self.config.name => drop(self.waiting.remove(&key)),
            Some(_) => match self.running.get(&key) {
                Some(running) if running.uid == uid(&pod) => {
                    if deleting {
                        running.stop.cancel();
                    }
                    self.waiting.remove(&key);
                }
                // The worker of an earlier Pod of this name is still stopping; its end looks again.
                Some(_) => drop(self.waiting.insert(key, pod)),
                None if pod_status::is_finished(&pod) && !deleting => drop(self.waiting.remove(&key)),
                None if pod_status::was_started(&pod) && !deleting => self.report_lost(key, pod).await,
                None => {
                    self.waiting.remove(&key);
                    self.start(key, pod).await;
                }
            },
        }
    }

    fn pod_gone(&mut self, pod: &Pod) {
        let key = key(pod);
        self.waiting.remove(&key);
        if let Some(running) = self.running.get(&key).filter(|running| running.uid == uid(pod)) {
            running.stop.cancel();
        }
    }

    async fn pod_ended(&mut self, ending: &PodEnded) {
        let key = (ending.namespace.clone(), ending.name.clone());
        if self.running.get(&key).is_some_and(|running| running.uid == ending.uid) {
            self.running.remove(&key);
        }
        self.look_again().await;
    }

    /// At all that wait.
    async fn look_again(&mut self) {
        self.again_at = None;
        for (_, pod) in std::mem::take(&mut self.waiting) {
            Box::pin(self.pod_seen(pod)).await;
        }
    }

    /// The API did not take what was written of a Pod.
    fn write_again(&mut self, key: PodKey, pod: Pod) {
        self.waiting.insert(key, pod);
        self.again_at.get_or_insert_with(|| Instant::now() + AGAIN_AFTER);
    }

    /// Waits until something is to be written again; for ever when nothing is.
    async fn due_again(&self) {
        match self.again_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Binds a Pod to this node, or says why it has to wait.
    async fn place(&mut self, key: PodKey, pod: Pod) {
        let placed: Vec<Requests> = self.running.values().map(|running| running.requested).collect();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let placement = if selects(&pod, &registration::labels(&self.config.name)) {
            self.config.capacity.place(&placed, Requests::of(&pod))
        } else {
            Placement::Unfit(vec!["node(s) didn't match Pod's node affinity/selector"])
        };
        let outcome = match placement {
            Placement::Fits => bind(&api, &pod, &self.config.name).await,
            Placement::Unfit(missing) => {
                let seen_before = self.waiting.insert(key.clone(), pod.clone()).is_some();
                if seen_before {
                    return;
                }
                let status = pod_status::unschedulable(&missing, (self.config.clock)());
                let patch = Patch::Merge(json!({ "status": status }));
                api.patch_status(&key.1, &PatchParams::default(), &patch)
                    .await
                    .map(drop)
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, namespace = key.0, pod = key.1, "place pod");
            self.write_again(key, pod);
        }
    }

    /// Ends a Pod whose container ran under an earlier life of this node: what it held in memory is
    /// gone, and a fresh start would pass for it.
    async fn report_lost(&mut self, key: PodKey, pod: Pod) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.0);
        let status = pod_status::lost((self.config.clock)());
        let patch = Patch::Merge(json!({ "metadata": { "uid": uid(&pod) }, "status": status }));
        if let Err(error) = api.patch_status(&key.1, &PatchParams::default(), &patch).await {
            tracing::warn!(%error, namespace = key.0, pod = key.1, "report a lost pod");
            self.write_again(key, pod);
        }
    }

    async fn start(&mut self, key: PodKey, pod: Pod) {
        let stop = CancellationToken::new();
        let (worker, requests) = mpsc::channel(QUEUE);
        let bound = self.addresses.bind().await;
        let uid = uid(&pod);
        self.running.insert(
            key.clone(),
            RunningPod {
                uid: uid.clone(),
                requested: Requests::of(&pod),
                stop: stop.clone(),
                worker,
            },
        );
        let worker = PodWorker {
            api: Api::namespaced(self.client.clone(), &key.0),
            work_dir: self.config.work_dir.join(&uid),
            freeze_limit: self.config.freeze_limit,
            runtime: self.config.runtime.clone(),
            store_settings: self.config.store_settings.clone(),
            clock: Arc::clone(&self.config.clock),
            shutdown: self.shutdown.clone(),
            uid: uid.clone(),
            namespace: key.0.clone(),
            name: key.1.clone(),
        };
        let ended = self.ended.clone();
        tokio::spawn(async move {
            worker.run(pod, bound, stop, requests).await;
            // The node may have stopped listening.
            let _ = ended.send(PodEnded {
                namespace: key.0,
                name: key.1,
                uid,
            });
        });
    }

    fn answer(&self, request: NodeRequest) {
        match request {
            NodeRequest::Usage(reply) => {
                let workers: Vec<_> = self.running.values().map(|running| running.worker.clone()).collect();
                tokio::spawn(async move {
                    let mut usage = Vec::new();
                    for worker in workers {
                        let (sender, answer) = oneshot::channel();
                        if worker.send(PodRequest::Usage(sender)).await.is_ok() {
                            usage.extend(answer.await.ok().flatten());
                        }
                    }
                    let _ = reply.send(usage);
                });
            }
            NodeRequest::Logs { key, reply, options } => {
                let worker = self.running.get(&key).map(|running| running.worker.clone());
                tokio::spawn(async move {
                    if let Some(worker) = worker {
                        let _ = worker.send(PodRequest::Logs(options, reply)).await;
                    }
                });
            }
        }
    }

    async fn stop_all(&mut self, endings: &mut mpsc::UnboundedReceiver<PodEnded>) {
        for running in self.running.values() {
            running.stop.cancel();
        }
        while !self.running.is_empty() {
            let Some(ending) = endings.recv().await else { return };
            self.running.remove(&(ending.namespace, ending.name));
        }
    }
}

fn key(pod: &Pod) -> PodKey {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

async fn bind(api: &Api<Pod>, pod: &Pod, node: &str) -> kube::Result<()> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name_any()),
            uid: pod.metadata.uid.clone(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            api_version: Some("v1".to_owned()),
            ..ObjectReference::default()
        },
    };
    let _: serde_json::Value = api
        .create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding)
        .await?;
    Ok(())
}
