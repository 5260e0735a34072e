//! Which sandbox to look at, and when: what the watches report, and all of them after each list.
//!
//! Every report is first judged by what the watches have brought so far (`at_rest`). It is acted on only
//! when something seems to be left to do, and then over a live reading: a report that lags behind costs
//! a reading, or is followed by a newer report; it never causes a write. A list may have left out what is
//! gone without a report of it, so after each list every sandbox is judged again, which reads nothing.

use std::sync::Arc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Controller as KubeController, Error as RuntimeError};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use torpor_api::{SandboxTemplate, label};
use tracing::Instrument;

use crate::ReconcileError;
use crate::controller::Context;
use crate::front::Fronted;
use crate::look::{Seen, at_rest};
use crate::reconcile::{after_error, reconcile};

/// What the passes over the sandboxes of one watch share.
struct Scope {
    context: Arc<Context>,
    seen: Seen,
    /// Everything is listed. A store by itself wakes only the last of those who wait for it.
    known: CancellationToken,
    shutdown: CancellationToken,
}

impl Scope {
    fn new(context: &Arc<Context>, seen: &Seen, shutdown: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            seen: seen.clone(),
            known: CancellationToken::new(),
            shutdown: shutdown.clone(),
        })
    }
}

/// What the controller runtime says of a pass that is over.
type Completed<K> = Result<(ObjectRef<K>, Action), RuntimeError<ReconcileError, watcher::Error>>;

/// A watch of one kind of Sandbox, not begun yet.
pub(crate) struct Watch {
    /// Ends once the sandboxes are known; badly only with the watch.
    pub(crate) known: BoxFuture<'static, Result<(), WriterDropped>>,
    /// Makes the passes, until the shutdown.
    pub(crate) passes: BoxFuture<'static, ()>,
}

/// Watches one namespace, or all, and makes the passes that the watches ask for.
pub(crate) fn follow<K: Fronted>(
    context: &Arc<Context>,
    namespace: Option<&str>,
    shutdown: &CancellationToken,
) -> Watch {
    let client = &context.client;
    let (listed, all_again) = unbounded();
    let made_here = format!("{}={}", label::CREATED_BY, label::CREATED_BY_SANDBOX);
    let (sandboxes, sandbox_reports) = reports(api::<K>(client, namespace), None, &listed);
    let (pods, pod_reports) = reports(api::<Pod>(client, namespace), Some(&made_here), &listed);
    let beside = Some(label::SANDBOX_NAME);
    let (services, service_reports) = reports(api::<Service>(client, namespace), beside, &listed);
    let (claims, claim_reports) = reports(api::<PersistentVolumeClaim>(client, namespace), beside, &listed);
    let (templated, accompanied, of_passes) = (sandboxes.clone(), sandboxes.clone(), Arc::clone(context));
    let seen = Seen { pods, services, claims };
    let scope = Scope::new(context, &seen, shutdown);
    let all_known = scope.known.clone();
    let passes = KubeController::for_stream(
        sandbox_reports.applied_objects().inspect_ok(enqueues(context)),
        sandboxes.clone(),
    )
    .owns_stream(
        pod_reports
            .touched_objects()
            .inspect_ok(enqueues_owner::<K, _>(context)),
    )
    .owns_stream(
        service_reports
            .touched_objects()
            .inspect_ok(enqueues_owner::<K, _>(context)),
    )
    .watches_stream(claim_reports.touched_objects(), move |claim| {
        made_for(&accompanied, &claim)
    })
    .watches(
        api::<SandboxTemplate>(client, namespace),
        watcher::Config::default(),
        move |template| made_from(&templated, &template),
    )
    .reconcile_all_on(all_again)
    .graceful_shutdown_on(shutdown.clone().cancelled_owned())
    .run(pass, on_error, scope)
    .for_each(move |result| completed::<K>(&of_passes, result));
    let known = async move {
        sandboxes.wait_until_ready().await?;
        seen.ready().await?;
        all_known.cancel();
        Ok(())
    };
    Watch {
        known: known.boxed(),
        passes: passes.boxed(),
    }
}

/// Notes that the sandbox that a watch reports has to be looked at.
fn enqueues<K: Fronted>(context: &Arc<Context>) -> impl FnMut(&K) + Send + 'static {
    let context = Arc::clone(context);
    move |sandbox| context.metrics.enqueued(key(sandbox))
}

/// Notes that the owner of what a watch reports has to be looked at.
fn enqueues_owner<K: Fronted, O: ResourceExt>(context: &Arc<Context>) -> impl FnMut(&O) + Send + 'static {
    let context = Arc::clone(context);
    move |object| {
        if let Some(key) = owner_key::<K>(object) {
            context.metrics.enqueued(key);
        }
    }
}

/// What is to be said of a pass that is over.
fn completed<K: Fronted>(context: &Context, result: Completed<K>) -> std::future::Ready<()> {
    match result {
        Err(RuntimeError::QueueError(error)) => tracing::warn!(%error, "a watch failed and is tried again"),
        Err(RuntimeError::ObjectNotFound(gone)) => {
            let key = K::FRONT.key(&gone.namespace.unwrap_or_default(), &gone.name);
            context.metrics.forget(&key);
        }
        // Told where they happened, or the end of the passes.
        Err(RuntimeError::ReconcilerFailed(..) | RuntimeError::RunnerError(_)) | Ok(_) => {}
    }
    std::future::ready(())
}

/// A store, and the events of the watch that fills it, once they are in there; tells `listed` after each list.
fn reports<K>(
    api: Api<K>,
    labels: Option<&str>,
    listed: &UnboundedSender<()>,
) -> (
    Store<K>,
    impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static + use<K>,
)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let config = watcher::Config {
        label_selector: labels.map(str::to_owned),
        ..watcher::Config::default()
    };
    let (store, writer) = reflector::store();
    let listed = listed.clone();
    let events = watcher(api, config)
        .reflect(writer)
        .inspect_ok(move |event| match event {
            // Nobody listens any more only at the end.
            Event::InitDone => drop(listed.unbounded_send(())),
            Event::Init | Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        });
    (store, events)
}

/// Looks at one sandbox. Every line that is logged on the way names it.
async fn pass<K: Fronted>(sandbox: Arc<K>, scope: Arc<Scope>) -> Result<Action, ReconcileError> {
    let key = key(&*sandbox);
    scope.context.metrics.dequeued(&key);
    // A first look before the first lists would miss what is there.
    let known = scope.shutdown.run_until_cancelled(scope.known.cancelled()).await;
    if known.is_none() && !scope.known.is_cancelled() {
        return Ok(Action::await_change());
    }
    if let Some(action) = at_rest(&*sandbox, &scope.seen, &scope.context) {
        return Ok(action);
    }
    // It is never closed.
    let _permit = scope.context.passes.acquire().await.ok();
    // Of the highest level, so that no filter leaves it out of a line that passes.
    let span = tracing::error_span!(
        "reconcile",
        namespace = sandbox.namespace(),
        sandbox = sandbox.name_any(),
        uid = sandbox.uid()
    );
    let outcome = reconcile(sandbox, Arc::clone(&scope.context)).instrument(span).await;
    scope.context.metrics.reconciled(outcome.is_ok());
    outcome
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is that of the controller runtime"
)]
fn on_error<K: Fronted>(sandbox: Arc<K>, error: &ReconcileError, scope: Arc<Scope>) -> Action {
    let (namespace, name, uid) = (sandbox.namespace(), sandbox.name_any(), sandbox.uid());
    if error.is_outdated() {
        tracing::debug!(
            namespace,
            sandbox = name,
            uid,
            error = error.chain(),
            "somebody else wrote first; reading again"
        );
    } else {
        tracing::warn!(
            namespace,
            sandbox = name,
            uid,
            error = error.chain(),
            "a pass broke off and is tried again"
        );
    }
    after_error(&key(&*sandbox), error, &scope.context)
}

fn key<K: Fronted>(sandbox: &K) -> String {
    K::FRONT.key(&sandbox.namespace().unwrap_or_default(), &sandbox.name_any())
}

/// The sandbox that an object belongs to.
fn owner_key<K: Fronted>(object: &impl ResourceExt) -> Option<String> {
    let mut owners = object.owner_references().iter();
    let owner = owners.find(|owner| owner.kind == K::kind(&()) && owner.api_version == K::api_version(&()))?;
    Some(K::FRONT.key(&object.namespace().unwrap_or_default(), &owner.name))
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + DeserializeOwned,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The sandbox that a volume claim says it was made for. One that is to outlive its sandbox has no owner.
fn made_for<K: Fronted>(sandboxes: &Store<K>, claim: &PersistentVolumeClaim) -> Option<ObjectRef<K>> {
    let name = claim.labels().get(label::SANDBOX_NAME)?;
    let sandbox = ObjectRef::new(name).within(&claim.namespace()?);
    sandboxes.get(&sandbox).map(|_| sandbox)
}

/// The sandboxes that name this template, in a fixed order.
fn made_from<K: Fronted>(sandboxes: &Store<K>, template: &SandboxTemplate) -> Vec<ObjectRef<K>> {
    let uses_it = |sandbox: &K| sandbox.template_name() == template.metadata.name.as_deref();
    let mut names: Vec<_> = sandboxes
        .state()
        .iter()
        .filter(|sandbox| sandbox.namespace() == template.namespace() && uses_it(sandbox))
        .map(|sandbox| sandbox.name_any())
        .collect();
    names.sort();
    let namespace = template.namespace().unwrap_or_default();
    names
        .iter()
        .map(|name| ObjectRef::new(name).within(&namespace))
        .collect()
}
