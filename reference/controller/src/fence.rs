//! Lets writes through only while this controller leads.
//!
//! Decides at every single write to the API server, to an agent and to the checkpoint store, by the
//! monotonic clock: leadership that was not renewed has ended even if nobody has noticed yet, for
//! example after the process was stopped for a while. Leaves out who leads, which `election` decides.
//! Reads pass: they change nothing. A request of the API server passes for a limited time only, so that one whose answer
//! is lost on the way holds up its pass no longer than that.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::Instant;
use torpor_api::AgentState;
use tower::BoxError;

use crate::metrics::{ControllerMetrics, RequestLabel};
use crate::{AgentAddress, AgentError, CheckpointCustodian, RemovalError, SandboxAgents};

/// How long the API server may take for a whole answer, unless it is a watch.
const ANSWER: Duration = Duration::from_secs(30);

/// Until when writes may be made; a cheap handle.
#[derive(Clone, Debug)]
pub struct Fence {
    until: Arc<watch::Sender<Validity>>,
}

/// Until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    /// There is no election.
    Always,
    /// This controller does not lead.
    Never,
    /// It leads until then, unless it renews.
    Until(Instant),
}

/// A write of a controller that does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write as the leader: this controller does not lead, or not any more")]
pub struct NotLeading;

/// A request that may have been carried out or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API server has not answered within {} s", ANSWER.as_secs())]
struct Unanswered;

impl Fence {
    /// Lets everything through: for a controller that is the only one.
    #[must_use]
    pub fn open() -> Self {
        Self::new(Validity::Always)
    }

    /// Lets nothing through until it is opened.
    pub(crate) fn closed() -> Self {
        Self::new(Validity::Never)
    }

    fn new(validity: Validity) -> Self {
        Self {
            until: Arc::new(watch::Sender::new(validity)),
        }
    }

    pub(crate) fn open_until(&self, at: Instant) {
        self.until.send_replace(Validity::Until(at));
    }

    pub(crate) fn close(&self) {
        self.until.send_replace(Validity::Never);
    }

    /// Whether a write may be made now.
    ///
    /// # Errors
    /// [`NotLeading`] when it may not.
    pub fn check(&self) -> Result<(), NotLeading> {
        let open = match *self.until.borrow() {
            Validity::Always => true,
            Validity::Never => false,
            Validity::Until(at) => Instant::now() < at,
        };
        if open { Ok(()) } else { Err(NotLeading) }
    }

    /// The same client, behind this fence. What passes is counted, and has to be answered in time.
    pub(crate) fn client(&self, client: Client, metrics: &ControllerMetrics) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (fence, metrics) = (self.clone(), metrics.clone());
        let fenced = tower::service_fn(move |request: Request<Body>| {
            let (client, fence, metrics) = (client.clone(), fence.clone(), metrics.clone());
            async move {
                if !matches!(*request.method(), Method::GET | Method::HEAD) {
                    fence.check()?;
                }
                let asked = RequestLabel::asked(request.method(), request.uri());
                let answer = answer(&client, request).await;
                let code = answer.as_ref().ok().map(|answer| answer.status().as_u16());
                metrics.requested(&asked.answered(code));
                answer
            }
        });
        Client::new(fenced, namespace)
    }

    /// The same agents, behind this fence.
    pub(crate) fn agents(&self, inner: Arc<dyn SandboxAgents>) -> Arc<dyn SandboxAgents> {
        Arc::new(Fenced {
            inner,
            fence: self.clone(),
        })
    }

    /// The same custodian, behind this fence.
    pub(crate) fn custodian(&self, inner: Arc<dyn CheckpointCustodian>) -> Arc<dyn CheckpointCustodian> {
        Arc::new(Fenced {
            inner,
            fence: self.clone(),
        })
    }
}

/// The answer: as a whole, or as it comes if it is a watch.
async fn answer(client: &Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    if is_watch(request.uri()) {
        return Ok(client.send(request).await?);
    }
    let whole = async {
        let (head, body) = client.send(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(head, Body::from(body)))
    };
    tokio::time::timeout(ANSWER, whole)
        .await
        .unwrap_or_else(|_| Err(Unanswered.into()))
}

fn is_watch(uri: &Uri) -> bool {
    let mut options = uri.query().unwrap_or_default().split('&');
    options.any(|option| matches!(option, "watch=true" | "watch=1"))
}

/// Something behind a fence.
struct Fenced<T> {
    inner: T,
    fence: Fence,
}

impl Fenced<Arc<dyn SandboxAgents>> {
    fn allow(&self) -> Result<(), AgentError> {
        self.fence.check().map_err(|refused| AgentError::Unreachable {
            message: refused.to_string(),
        })
    }
}

impl SandboxAgents for Fenced<Arc<dyn SandboxAgents>> {
    fn state<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        self.inner.state(agent)
    }

    fn freeze<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        async move {
            self.allow()?;
            self.inner.freeze(agent).await
        }
        .boxed()
    }

    fn thaw<'a>(&'a self, agent: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        async move {
            self.allow()?;
            self.inner.thaw(agent).await
        }
        .boxed()
    }

    fn checkpoint<'a>(
        &'a self,
        agent: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        async move {
            self.allow()?;
            self.inner.checkpoint(agent, generation).await
        }
        .boxed()
    }
}

impl Fenced<Arc<dyn CheckpointCustodian>> {
    fn allow(&self) -> Result<(), RemovalError> {
        self.fence.check().map_err(|refused| RemovalError {
            message: refused.to_string(),
        })
    }
}

impl CheckpointCustodian for Fenced<Arc<dyn CheckpointCustodian>> {
    fn remove_all<'a>(&'a self, sandbox_uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        async move {
            self.allow()?;
            self.inner.remove_all(sandbox_uid).await
        }
        .boxed()
    }

    fn remove_older_than<'a>(
        &'a self,
        sandbox_uid: &'a str,
        generation: u64,
    ) -> BoxFuture<'a, Result<(), RemovalError>> {
        async move {
            self.allow()?;
            self.inner.remove_older_than(sandbox_uid, generation).await
        }
        .boxed()
    }

    fn wanted(&self, sandbox_uid: &str) {
        self.inner.wanted(sandbox_uid);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderMap;
    use http_body_util::Empty;

    use super::*;

    /// More than anybody would wait.
    const FOREVER: Duration = Duration::from_hours(100);

    fn fenced(client: Client) -> Client {
        Fence::open().client(client, &ControllerMetrics::new())
    }

    /// Never answers.
    fn silent() -> Client {
        let server = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
        Client::new(server, "default")
    }

    /// Never ends an answer.
    fn halting() -> Client {
        let server = tower::service_fn(|_: Request<Body>| async {
            let end = std::future::pending::<Option<Result<HeaderMap, Infallible>>>();
            Ok::<_, Infallible>(Response::new(Empty::new().with_trailers(end)))
        });
        Client::new(server, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_that_was_not_renewed_ends_by_itself() {
        let fence = Fence::closed();
        assert_eq!(fence.check(), Err(NotLeading));
        fence.open_until(Instant::now() + Duration::from_secs(10));
        assert_eq!(fence.check(), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(fence.check(), Err(NotLeading));
    }

    #[tokio::test]
    async fn a_closed_fence_lets_reads_of_the_api_through_and_no_writes() {
        let answered = tower::service_fn(|_| async {
            let body = serde_json::json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "one"}});
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(body.to_string().into_bytes())))
        });
        let client = Fence::closed().client(Client::new(answered, "default"), &ControllerMetrics::new());
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::default_namespaced(client);
        assert!(pods.get("one").await.is_ok());
        let refused = pods.delete("one", &kube::api::DeleteParams::default()).await;
        assert!(matches!(refused, Err(kube::Error::Service(_))), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_swallowed_ends_and_so_does_one_whose_answer_stops_in_the_middle() {
        for client in [silent(), halting()] {
            let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::default_namespaced(fenced(client));
            let read = tokio::time::timeout(FOREVER, pods.get("one")).await;
            let error = read.expect("the request ends").expect_err("nothing was read");
            let kube::Error::Service(error) = error else {
                panic!("{error}")
            };
            assert!(error.is::<Unanswered>(), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_may_be_silent_for_as_long_as_nothing_happens() {
        let client = fenced(silent());
        for (uri, ends) in [
            ("/api/v1/pods?limit=5&watch=true", false),
            ("/api/v1/pods?limit=5", true),
        ] {
            let request = Request::get(uri).body(Body::empty()).expect("a request");
            let answered = tokio::time::timeout(FOREVER, client.send(request)).await;
            assert_eq!(answered.is_ok(), ends, "{uri}");
        }
    }
}
