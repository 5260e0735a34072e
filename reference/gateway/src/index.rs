//! The sandboxes of the namespace, held in memory and kept up to date by a watch.
//!
//! [`Index::run`] is the only writer. It serves lists, traffic and waits; calls that change a sandbox
//! read it from the API server first.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::sync::{mpsc::UnboundedSender, watch};
use tokio_util::sync::CancellationToken;
use torpor_api::{Sandbox, label};

use crate::{
    goal::{Goal, Progress, progress},
    id::SandboxId,
    timer::outlives_its_run,
};

/// The sandboxes by name, and whether there has been a complete list of them.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    sandboxes: BTreeMap<String, Arc<Sandbox>>,
    filled: bool,
}

impl Snapshot {
    pub(crate) fn get(&self, id: &SandboxId) -> Option<&Arc<Sandbox>> {
        self.sandboxes.get(id.as_str())
    }

    pub(crate) fn sandboxes(&self) -> impl Iterator<Item = &Arc<Sandbox>> {
        self.sandboxes.values()
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    snapshot: Arc<watch::Sender<Snapshot>>,
}

/// How a wait ended.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    Reached(Arc<Sandbox>),
    Failed(String),
    Overtaken,
    Gone,
}

impl Index {
    /// Follows the sandboxes until `shutdown`, and tells which ones a timer would delete that is of a run that was lost.
    /// Failures of the watch are retried with growing pauses.
    pub(crate) async fn run(&self, api: Api<Sandbox>, tell: UnboundedSender<SandboxId>, shutdown: CancellationToken) {
        let config = watcher::Config::default().labels(label::SANDBOX_ID);
        let events = watcher::watcher(api, config).default_backoff();
        let mut events = std::pin::pin!(events.take_until(shutdown.cancelled_owned()));
        let mut relisted = BTreeMap::new();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    if let Event::InitApply(sandbox) | Event::Apply(sandbox) = &event
                        && outlives_its_run(sandbox)
                        && let Ok(id) = SandboxId::parse(&name(sandbox))
                    {
                        // Whoever is told lives as long as this.
                        let _ = tell.send(id);
                    }
                    self.take(event, &mut relisted);
                }
                Ok(None) => return,
                Err(error) => tracing::warn!(%error, "watch of sandboxes failed, trying again"),
            }
        }
    }

    fn take(&self, event: Event<Sandbox>, relisted: &mut BTreeMap<String, Arc<Sandbox>>) {
        match event {
            Event::Init => relisted.clear(),
            Event::InitApply(sandbox) => {
                relisted.insert(name(&sandbox), Arc::new(sandbox));
            }
            Event::InitDone => {
                let sandboxes = std::mem::take(relisted);
                self.snapshot.send_replace(Snapshot {
                    sandboxes,
                    filled: true,
                });
            }
            Event::Apply(sandbox) => self.snapshot.send_modify(|snapshot| {
                snapshot.sandboxes.insert(name(&sandbox), Arc::new(sandbox));
            }),
            Event::Delete(sandbox) => self.snapshot.send_modify(|snapshot| {
                snapshot.sandboxes.remove(&name(&sandbox));
            }),
        }
    }

    /// Whether the sandboxes have been listed.
    pub(crate) fn is_filled(&self) -> bool {
        self.read(|snapshot| snapshot.filled)
    }

    /// Returns once the sandboxes have been listed.
    pub(crate) async fn filled(&self) {
        // The sender lives in `self`: the wait cannot end because it is gone.
        let _ = self.snapshot.subscribe().wait_for(|snapshot| snapshot.filled).await;
    }

    /// Reads the present state; do not hold on to it.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Snapshot) -> T) -> T {
        read(&self.snapshot.borrow())
    }

    /// The sandbox `id`.
    pub(crate) fn get(&self, id: &SandboxId) -> Option<Arc<Sandbox>> {
        self.read(|snapshot| snapshot.get(id).cloned())
    }

    /// Waits until the sandbox `id` is at `goal`, or can be known not to get there, as seen by a
    /// caller who knows that `generation` of it exists. Has no time limit of its own.
    pub(crate) async fn settle(&self, id: &SandboxId, goal: Goal, generation: i64) -> Settled {
        let mut seen = false;
        let mut outcome = Settled::Gone;
        let settled = |snapshot: &Snapshot| {
            let Some(sandbox) = snapshot.get(id) else {
                // Not here yet, or not here any more.
                outcome = Settled::Gone;
                return seen;
            };
            seen = true;
            outcome = match progress(goal, generation, sandbox) {
                Progress::Waiting => return false,
                Progress::Reached => Settled::Reached(Arc::clone(sandbox)),
                Progress::Failed(reason) => Settled::Failed(reason),
                Progress::Overtaken => Settled::Overtaken,
                Progress::Gone => Settled::Gone,
            };
            true
        };
        let _ = self.snapshot.subscribe().wait_for(settled).await;
        outcome
    }

    /// Returns when the sandbox `id` does not run on the Pod `pod_uid` any more. Does not borrow.
    pub(crate) fn pod_gone(&self, id: &SandboxId, pod_uid: &str) -> impl Future<Output = ()> + Send + use<> {
        let index = self.clone();
        let (id, pod_uid) = (id.clone(), pod_uid.to_owned());
        async move {
            let runs_on = |snapshot: &Snapshot| {
                let status = snapshot.get(&id).and_then(|sandbox| sandbox.status.as_ref());
                status
                    .and_then(|status| status.pod_info.as_ref())
                    .is_some_and(|pod| pod.pod_uid == pod_uid)
            };
            let _ = index.snapshot.subscribe().wait_for(|snapshot| !runs_on(snapshot)).await;
        }
    }

    /// Returns when the sandbox `id` is known as `sandbox` is, or as it was later, or was known and is gone:
    /// from then on, traffic goes where `sandbox` says that it serves.
    pub(crate) async fn caught_up_with(&self, id: &SandboxId, sandbox: &Sandbox) {
        let mut seen = false;
        let caught_up = |snapshot: &Snapshot| match snapshot.get(id) {
            Some(known) => {
                seen = true;
                is_as_new(known, sandbox)
            }
            None => seen,
        };
        let _ = self.snapshot.subscribe().wait_for(caught_up).await;
    }

    /// Returns when the sandbox `id` is not asked to pause any more, or is gone.
    pub(crate) async fn withdrawn(&self, id: &SandboxId) {
        let asked = |snapshot: &Snapshot| snapshot.get(id).is_some_and(|sandbox| sandbox.spec.paused);
        let _ = self.snapshot.subscribe().wait_for(|snapshot| !asked(snapshot)).await;
    }

    /// Returns when the sandbox `id` is deleted, or on its way there.
    pub(crate) async fn deleted(&self, id: &SandboxId) {
        let alive = |snapshot: &Snapshot| {
            snapshot
                .get(id)
                .is_some_and(|sandbox| sandbox.metadata.deletion_timestamp.is_none())
        };
        let _ = self.snapshot.subscribe().wait_for(|snapshot| !alive(snapshot)).await;
    }
}

/// Whether `known` is `sandbox`, or a later version of it. Revisions of one resource can be compared
/// (Kubernetes 1.35 promises it, etcd's always could); where one is no number, only the same is as new.
fn is_as_new(known: &Sandbox, sandbox: &Sandbox) -> bool {
    let revision = |sandbox: &Sandbox| sandbox.metadata.resource_version.clone().unwrap_or_default();
    let (known, wanted) = (revision(known), revision(sandbox));
    match (known.parse::<u128>(), wanted.parse::<u128>()) {
        (Ok(known), Ok(wanted)) => known >= wanted,
        (Err(_), _) | (_, Err(_)) => known == wanted,
    }
}

fn name(sandbox: &Sandbox) -> String {
    sandbox.metadata.name.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use serde_json::json;

    use super::*;

    fn of_revision(revision: &str) -> Sandbox {
        let object = json!({ "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
            "metadata": { "name": "iabc", "resourceVersion": revision }, "spec": {} });
        serde_json::from_value(object).unwrap()
    }

    /// Whether an index that knows the sandbox as of `known` has caught up with `wanted`.
    fn caught_up(known: &str, wanted: &str) -> bool {
        let index = Index::default();
        index.take(Event::Apply(of_revision(known)), &mut BTreeMap::new());
        let id = SandboxId::parse("iabc").unwrap();
        index.caught_up_with(&id, &of_revision(wanted)).now_or_never().is_some()
    }

    #[test]
    fn an_index_that_lags_behind_an_answer_is_waited_for() {
        assert!(!caught_up("9", "10"));
        assert!(caught_up("10", "10"));
        assert!(caught_up("11", "10"));
    }

    #[test]
    fn revisions_that_are_no_numbers_are_only_as_new_as_themselves() {
        assert!(!caught_up("b", "a"));
        assert!(caught_up("a", "a"));
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_index_has_caught_up_and_when_the_sandbox_is_gone() {
        for event in [Event::Apply(of_revision("10")), Event::Delete(of_revision("10"))] {
            let index = Index::default();
            index.take(Event::Apply(of_revision("9")), &mut BTreeMap::new());
            let id = SandboxId::parse("iabc").unwrap();
            let wanted = of_revision("10");
            let mut wait = std::pin::pin!(index.caught_up_with(&id, &wanted));
            assert!(wait.as_mut().now_or_never().is_none());
            index.take(event, &mut BTreeMap::new());
            wait.await;
        }
    }
}
