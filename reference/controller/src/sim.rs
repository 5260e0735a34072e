//! A node, its agents and a checkpoint store that cost nothing: for tests, benchmarks and simulations of
//! the controller on a whole API server.
//!
//! The context of a workload is one number. It is in a checkpoint as it was at the freeze, and comes back
//! with the Pod that is started from it. Everything is in memory and nothing waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, ready};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use torpor_api::{Addressee, AgentState, CheckpointRecord, CheckpointState, WorkloadState, annotation, label};

use crate::{AgentAddress, AgentError, CheckpointCustodian, RemovalError, SandboxAgents};

/// Pods that are started or removed at the same time.
const PODS_AT_ONCE: usize = 16;

/// The node; a cheap handle.
#[derive(Clone, Debug, Default)]
pub struct SimNode {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    started: u32,
    /// By Pod IP.
    workloads: HashMap<String, SimWorkload>,
    /// Pod IPs by the UID of the Pod.
    addresses: HashMap<String, String>,
    /// Contexts by the UID of the sandbox and the number of the checkpoint.
    checkpoints: HashMap<String, HashMap<u64, u64>>,
}

#[derive(Debug)]
struct SimWorkload {
    sandbox_uid: String,
    context: u64,
    agent: AgentState,
}

impl SimNode {
    /// A node without Pods and a store without checkpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts and removes the Pods of sandboxes until `shutdown`.
    pub async fn run(&self, client: Client, shutdown: CancellationToken) {
        let ours = format!("{}={}", label::CREATED_BY, label::CREATED_BY_SANDBOX);
        let pods = watcher(
            Api::<Pod>::all(client.clone()),
            watcher::Config::default().labels(&ours),
        );
        let pods = pods
            .default_backoff()
            .applied_objects()
            .take_until(shutdown.cancelled());
        pods.filter_map(|pod| ready(pod.ok()))
            .for_each_concurrent(PODS_AT_ONCE, |pod| {
                let client = client.clone();
                async move {
                    if let Err(error) = self.sync(&client, &pod).await {
                        tracing::debug!(%error, pod = pod.name_any(), "a simulated Pod was not written");
                    }
                }
            })
            .await;
    }

    /// The context of the workload of this sandbox, if one is there.
    #[must_use]
    pub fn context(&self, sandbox_uid: &str) -> Option<u64> {
        let state = self.state();
        let mut found = state
            .workloads
            .values()
            .filter(|workload| workload.sandbox_uid == sandbox_uid);
        found.next().map(|workload| workload.context)
    }

    /// Sets the context of the workload of this sandbox.
    pub fn set_context(&self, sandbox_uid: &str, context: u64) {
        let mut state = self.state();
        let of_sandbox = |workload: &&mut SimWorkload| workload.sandbox_uid == sandbox_uid;
        for workload in state.workloads.values_mut().filter(of_sandbox) {
            workload.context = context;
        }
    }

    /// Workloads that are there.
    #[must_use]
    pub fn workloads(&self) -> usize {
        self.state().workloads.len()
    }

    /// Checkpoints that are kept, of all sandboxes.
    #[must_use]
    pub fn checkpoints(&self) -> usize {
        self.state().checkpoints.values().map(HashMap::len).sum()
    }

    /// The numbers of the checkpoints that are kept of this sandbox.
    #[must_use]
    pub fn checkpoints_of(&self, sandbox_uid: &str) -> BTreeSet<u64> {
        let state = self.state();
        let kept = state.checkpoints.get(sandbox_uid);
        kept.into_iter().flat_map(|kept| kept.keys().copied()).collect()
    }

    async fn sync(&self, client: &Client, pod: &Pod) -> kube::Result<()> {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        if pod.metadata.deletion_timestamp.is_some() {
            let uid = pod.uid().unwrap_or_default();
            self.state().remove(&uid);
            let at_once = DeleteParams::default().grace_period(0);
            return match pods.delete(&name, &at_once).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                other => other.map(drop),
            };
        }
        if pod.status.as_ref().is_some_and(|status| status.pod_ip.is_some()) {
            return Ok(());
        }
        let (ip, serving) = self.state().start(pod);
        let ready = if serving { "True" } else { "False" };
        let status = json!({"status": {
            "phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": ready}],
        }});
        let written = pods
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await;
        written.map(drop)
    }

    fn order(
        &self,
        called: &AgentAddress,
        act: impl FnOnce(&mut State, &str),
    ) -> BoxFuture<'_, Result<AgentState, AgentError>> {
        let (mut state, ip) = (self.state(), called.pod_ip.as_str());
        let ours = |workload: &&SimWorkload| !workload.agent.addressee.is_another_than(&called.addressee);
        if state.workloads.get(ip).as_ref().is_some_and(ours) {
            act(&mut state, ip);
        }
        let workload = state.workloads.get(ip).filter(ours);
        ready(
            workload
                .map(|workload| workload.agent.clone())
                .ok_or_else(|| AgentError::Unreachable {
                    message: format!("no workload of {} has the address {ip}", called.addressee),
                }),
        )
        .boxed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Starts the workload of a Pod; its address, and whether it serves.
    fn start(&mut self, pod: &Pod) -> (String, bool) {
        let owner = pod
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        let sandbox_uid = owner.map(|owner| owner.uid.clone()).unwrap_or_default();
        let restore = pod.annotations().get(annotation::RESTORE_GENERATION);
        let restored_generation: Option<u64> = restore.and_then(|number| number.parse().ok());
        let kept = self.checkpoints.get(&sandbox_uid);
        let context = match restored_generation {
            None => Some(0),
            Some(generation) => kept.and_then(|kept| kept.get(&generation)).copied(),
        };
        let workload = match context {
            Some(_) => WorkloadState::Serving,
            None => WorkloadState::Failed {
                message: "there is no such checkpoint".to_owned(),
            },
        };
        self.started += 1;
        // A loopback address of its own each, so that agents can be served on them.
        let [_, a, b, c] = self.started.to_be_bytes();
        let ip = format!("127.{}.{b}.{c}", a | 0x40);
        let started = SimWorkload {
            context: context.unwrap_or_default(),
            agent: AgentState {
                addressee: Addressee {
                    sandbox_uid: Some(sandbox_uid.clone()),
                    pod_uid: pod.uid(),
                },
                engine: "sim".to_owned(),
                restored_generation,
                workload,
                checkpoint: CheckpointState::None,
            },
            sandbox_uid,
        };
        self.workloads.insert(ip.clone(), started);
        self.addresses.insert(pod.uid().unwrap_or_default(), ip.clone());
        (ip, context.is_some())
    }

    /// Removes the workload of a Pod, if it has one.
    fn remove(&mut self, pod_uid: &str) {
        if let Some(ip) = self.addresses.remove(pod_uid) {
            self.workloads.remove(&ip);
        }
    }

    fn checkpoint(&mut self, pod_ip: &str, generation: u64) {
        let Some(workload) = self.workloads.get_mut(pod_ip) else {
            return;
        };
        let kept = self.checkpoints.entry(workload.sandbox_uid.clone()).or_default();
        kept.insert(generation, workload.context);
        workload.agent.checkpoint = CheckpointState::Sealed {
            record: CheckpointRecord {
                generation,
                digest: format!("sim:{:016x}", workload.context),
                size_bytes: 8,
                stored_bytes: 8,
                engine: "sim".to_owned(),
            },
        };
    }

    fn set(&mut self, pod_ip: &str, workload: WorkloadState) {
        if let Some(found) = self.workloads.get_mut(pod_ip) {
            found.agent.workload = workload;
        }
    }
}

impl SandboxAgents for SimNode {
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order(agent, |_, _| {})
    }

    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order(agent, |state, ip| state.set(ip, WorkloadState::Frozen))
    }

    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order(agent, |state, ip| {
            state.set(ip, WorkloadState::Serving);
            if let Some(workload) = state.workloads.get_mut(ip) {
                workload.agent.checkpoint = CheckpointState::None;
            }
        })
    }

    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.order(agent, |state, ip| state.checkpoint(ip, generation))
    }
}

impl CheckpointCustodian for SimNode {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.state().checkpoints.remove(sandbox_uid);
        ready(Ok(())).boxed()
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        if let Some(kept) = self.state().checkpoints.get_mut(sandbox_uid) {
            kept.retain(|number, _| *number >= generation);
        }
        ready(Ok(())).boxed()
    }
}
