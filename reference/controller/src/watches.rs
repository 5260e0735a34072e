//! Which sandbox to look at, and when: what the watches report, and all of them after each list.
//!
//! Every report is first judged by what the watches have brought so far (`at_rest`). It is acted on only
//! when something seems to be left to do, and then over a live reading: a report that lags behind costs
//! a reading, or is followed by a newer report; it never causes a write. A list may have left out what is
//! gone without a report of it, so after each list every sandbox is judged again, which reads nothing.
//!
//! The passes are taken on a few hundred at a time (`PASSES_AT_ONCE`): the controller runtime polls every pass under way each time that one of
//! them can go on, so that the cost of one would grow with their number.

mod reports;

use std::sync::Arc;

use futures::future::{BoxFuture, Ready, join_all, join3, pending, ready};
use futures::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config as RuntimeConfig, Controller as KubeController, Error as RuntimeError};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use tokio_util::sync::CancellationToken;
use torpor_api::{SandboxTemplate, label};
use tracing::Instrument;

use crate::ReconcileError;
use crate::controller::{Context, PASSES_AT_ONCE};
use crate::front::Fronted;
use crate::look::{Seen, at_rest};
use crate::reconcile::{after_error, reconcile};
use reports::Place;

/// What the passes over the sandboxes of one watch share.
struct Scope {
    context: Arc<Context>,
    seen: Seen,
    /// Everything is listed.
    known: CancellationToken,
    shutdown: CancellationToken,
}

impl Scope {
    fn new(context: &Arc<Context>, seen: Seen, shutdown: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::clone(context),
            seen,
            known: CancellationToken::new(),
            shutdown: shutdown.clone(),
        })
    }
}

/// What the controller runtime says of a pass that is over.
type Completed<K> = Result<(ObjectRef<K>, Action), RuntimeError<ReconcileError, watcher::Error>>;

/// A watch of one kind of Sandbox, not begun yet.
pub(crate) struct Watch {
    /// Cancelled once the sandboxes are known.
    pub(crate) known: CancellationToken,
    /// Makes the passes, until the shutdown.
    pub(crate) passes: BoxFuture<'static, ()>,
}

/// Watches one namespace, or all, and makes the passes that the watches ask for.
pub(crate) fn follow<K: Fronted>(
    context: &Arc<Context>,
    namespace: Option<&str>,
    shutdown: &CancellationToken,
) -> Watch {
    let (place, all_again) = Place::new(&context.client, namespace, shutdown);
    let made_here = format!("{}={}", label::CREATED_BY, label::CREATED_BY_SANDBOX);
    let beside = Some(label::SANDBOX_NAME);
    let (sandboxes, sandbox_reports) = place.reports::<K>(None);
    let (pods, pod_reports) = place.reports::<Pod>(Some(&made_here));
    let (services, service_reports) = place.reports::<Service>(beside);
    let (claims, claim_reports) = place.reports::<PersistentVolumeClaim>(beside);
    let (checkpoints, described) = place.checkpoints();
    let first_lists = [
        &pods.complete,
        &services.complete,
        &claims.complete,
        &sandboxes.complete,
    ]
    .map(Clone::clone);
    let unlisted = unlisted_at(shutdown.clone(), sandboxes.complete);
    let sandboxes = sandboxes.store;
    let seen = Seen {
        pods: pods.store,
        services: services.store,
        claims: claims.store,
        checkpoints,
    };
    let scope = Scope::new(context, seen, shutdown);
    let known = scope.known.clone();
    let sync = complete(first_lists, known.clone(), shutdown.clone());
    let (templated, accompanied, of_passes) = (sandboxes.clone(), sandboxes.clone(), Arc::clone(context));
    // Those that go, too: what is remembered of a sandbox goes with it, whoever let it go.
    let sandbox_reports = sandbox_reports.touched_objects().inspect_ok(enqueues(context));
    let pod_reports = pod_reports.touched_objects();
    let service_reports = service_reports.touched_objects();
    let template_watch = (place.api::<SandboxTemplate>(), watcher::Config::default());
    let passes = KubeController::for_stream(sandbox_reports, sandboxes)
        .owns_stream(pod_reports.inspect_ok(enqueues_owner::<K, _>(context)))
        .owns_stream(service_reports.inspect_ok(enqueues_owner::<K, _>(context)))
        .watches_stream(claim_reports.touched_objects(), move |claim| {
            made_for(&accompanied, &claim)
        })
        .watches(template_watch.0, template_watch.1, move |template| {
            made_from(&templated, &template)
        })
        .reconcile_all_on(all_again)
        .with_config(RuntimeConfig::default().concurrency(PASSES_AT_ONCE))
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(pass, on_error, scope)
        .take_until(unlisted)
        .for_each(move |result| completed::<K>(&of_passes, result));
    Watch {
        known,
        passes: join3(passes, described, sync).map(drop).boxed(),
    }
}

/// Ends at the shutdown if no sandbox was listed by then. No pass has begun, and none will; but the runtime waits for the list
/// before it ends, and does not ask for it any more.
async fn unlisted_at(shutdown: CancellationToken, listed: CancellationToken) {
    shutdown.cancelled_owned().await;
    if listed.is_cancelled() {
        pending::<()>().await;
    }
}

/// Waits for the first lists, until the shutdown, and says so. A store by itself wakes only the last of those who wait for it.
async fn complete(first_lists: [CancellationToken; 4], known: CancellationToken, shutdown: CancellationToken) {
    let all = join_all(first_lists.iter().map(CancellationToken::cancelled));
    if shutdown.run_until_cancelled(all).await.is_some() {
        known.cancel();
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
fn completed<K: Fronted>(context: &Context, result: Completed<K>) -> Ready<()> {
    match result {
        Err(RuntimeError::QueueError(error)) => tracing::warn!(%error, "a watch failed and is tried again"),
        Err(RuntimeError::ObjectNotFound(gone)) => {
            let key = K::FRONT.key(&gone.namespace.unwrap_or_default(), &gone.name);
            context.forget(&key, &gone.extra.uid.unwrap_or_default());
        }
        // Told where they happened, or the end of the passes.
        Err(RuntimeError::ReconcilerFailed(..) | RuntimeError::RunnerError(_)) | Ok(_) => {}
    }
    ready(())
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
    let outcome = reconcile(sandbox, Arc::clone(&scope.context), &scope.seen.checkpoints)
        .instrument(span)
        .await;
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
    after_error(&*sandbox, &key(&*sandbox), error, &scope.context)
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
