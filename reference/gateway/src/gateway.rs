//! The gateway as a whole: what it is made of, and its background work.

use std::{fmt, sync::Arc};

use axum::Router;
use kube::Client;
use tokio::{
    sync::{Semaphore, mpsc::unbounded_channel},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    GatewayConfig, call::Call, cluster::Cluster, control, data, index::Index, operation::Operation, refusal::Refusal,
    token::TokenKey, view::Viewer,
};

/// Speaks E2B to its callers and Kubernetes to the cluster. Cheap to clone; clones are the same gateway.
#[derive(Clone)]
pub struct Gateway {
    parts: Arc<Parts>,
}

struct Parts {
    config: GatewayConfig,
    tokens: TokenKey,
    cluster: Cluster,
    index: Index,
    second_looks: Semaphore,
    searches: Arc<Semaphore>,
    /// What calls have begun, whether they were answered or not.
    tasks: TaskTracker,
    /// Cancelled once the sandboxes are followed no longer.
    ended: CancellationToken,
}

/// Requests for sandboxes that do not seem to serve, for which the cluster is asked at the same time:
/// traffic to paused sandboxes must not load the API server.
const SECOND_LOOKS: usize = 8;
/// Searches for who signed a URL, each of which goes through all sandboxes, at the same time.
const SEARCHES: usize = 2;

impl Gateway {
    /// A gateway on the cluster of `client`. It answers once [`run`](Self::run) is polled.
    #[must_use]
    pub fn new(client: &Client, config: GatewayConfig) -> Self {
        let cluster = Cluster::new(client, &config.namespace);
        let tokens = TokenKey::new(config.token_key);
        Self {
            parts: Arc::new(Parts {
                config,
                tokens,
                cluster,
                index: Index::default(),
                second_looks: Semaphore::new(SECOND_LOOKS),
                searches: Arc::new(Semaphore::new(SEARCHES)),
                tasks: TaskTracker::new(),
                ended: CancellationToken::new(),
            }),
        }
    }

    /// Follows the sandboxes of the namespace until `shutdown`. Lists, traffic and waits depend on it: in good order it
    /// ends after the servers of this gateway, and after what [`finished`](Self::finished) waits for. A sandbox that is
    /// paused again because its run was lost is kept from the timer of that run.
    pub async fn run(&self, shutdown: CancellationToken) {
        let (tell, mut told) = unbounded_channel();
        let following = self.index().run(self.cluster().sandboxes.clone(), tell, shutdown);
        let keeping = async {
            while let Some(id) = told.recv().await {
                let call = Call::new(self, id, Operation::Read);
                self.see_to(async move { call.keep().await });
            }
        };
        tokio::join!(following, keeping);
        self.parts.ended.cancel();
    }

    /// Returns once all that calls have begun has come to its end, also what goes on behind an answer: that may take as
    /// long as a resume is not given up. Calls that come meanwhile are waited for, too.
    pub async fn finished(&self) {
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
    }

    /// Lets `task` go on by itself, to its end.
    pub(crate) fn see_to<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.parts.tasks.spawn(task)
    }

    /// Whether the sandboxes of the namespace are known: before that, lists and traffic wait.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.index().is_filled()
    }

    /// The service of the main port: the control plane, and the data plane of every sandbox. Which of
    /// the two a request is for is read off its path and headers.
    pub fn control_and_data_router(&self) -> Router {
        data::beside_control(self, control::router(self))
    }

    /// The service of a port that SDKs in debug mode send data plane requests to, without naming a
    /// sandbox or a port: `default_port` (49999 or 49983) is the port inside the sandbox.
    pub fn data_router(&self, default_port: u16) -> Router {
        data::router(self, default_port)
    }

    /// Returns once the sandboxes are followed no longer.
    pub(crate) async fn ended(&self) {
        self.parts.ended.cancelled().await;
    }

    pub(crate) fn config(&self) -> &GatewayConfig {
        &self.parts.config
    }

    pub(crate) fn tokens(&self) -> &TokenKey {
        &self.parts.tokens
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.parts.cluster
    }

    pub(crate) fn index(&self) -> &Index {
        &self.parts.index
    }

    /// What a request takes that asks the cluster whether a sandbox serves that does not seem to.
    pub(crate) fn second_looks(&self) -> &Semaphore {
        &self.parts.second_looks
    }

    /// What a search takes for the sandbox that a URL was signed for.
    pub(crate) fn searches(&self) -> Arc<Semaphore> {
        Arc::clone(&self.parts.searches)
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        (self.parts.config.clock)()
    }

    pub(crate) fn viewer(&self) -> Viewer<'_> {
        let config = self.config();
        Viewer {
            tokens: self.tokens(),
            domain: config.domain.as_deref(),
            max_timeout: config.max_timeout,
        }
    }

    /// Returns once the sandboxes are known.
    ///
    /// # Errors
    /// If they are not within the limit.
    pub(crate) async fn ready(&self) -> Result<(), Refusal> {
        let filled = tokio::time::timeout(self.config().limits.index, self.index().filled()).await;
        filled.map_err(|_| Refusal::Unavailable("the sandboxes could not be listed yet".to_owned()))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("config", self.config())
            .finish_non_exhaustive()
    }
}
