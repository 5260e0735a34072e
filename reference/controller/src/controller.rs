//! The controller as a whole: what it is made of, and its run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use torpor_api::{Sandbox, agent_sandbox};

use crate::backoff::Backoff;
use crate::defect::{Defect, Distortion};
use crate::fence::Fence;
use crate::front::Front;
use crate::metrics::ControllerMetrics;
use crate::notice::Notice;
use crate::traces::Traces;
use crate::watches::follow;
use crate::{CheckpointCustodian, SandboxAgents};

/// Passes under way at the same time. Each has a connection to the API server or to an agent, so without a limit a thousand
/// sandboxes that change at once would need a thousand of them.
pub(crate) const PASSES_AT_ONCE: u16 = 500;

/// Tells the time. The controller reads no other clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the request to pause until the checkpoint is sealed; then the pause is given up.
    pub pause: Duration,
    /// Before the first retry of a failed restore; doubled with every further one, up to 32 times as much.
    pub restore_retry: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            pause: Duration::from_mins(5),
            restore_retry: Duration::from_secs(10),
        }
    }
}

/// How the controller runs.
#[derive(Clone)]
pub struct ControllerConfig {
    /// The namespaces to look after; all of them when empty.
    pub namespaces: Vec<String>,
    /// The kinds of Sandbox to look after. Each needs its definition in the cluster, and no other controller.
    pub fronts: Vec<Front>,
    /// URL of the checkpoint store, handed to every sandbox Pod.
    pub store_url: String,
    /// Tells the time.
    pub clock: Clock,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// Lets writes through: open, or the fence of the election that this controller works under.
    pub fence: Fence,
    /// A deliberate mistake, for testing the tests.
    pub defect: Option<Defect>,
}

impl ControllerConfig {
    /// For all namespaces, on the system clock, as the only controller, without a defect.
    #[must_use]
    pub fn new(store_url: impl Into<String>) -> Self {
        Self {
            namespaces: Vec::new(),
            fronts: vec![Front::Kruise],
            store_url: store_url.into(),
            clock: Arc::new(Timestamp::now),
            deadlines: Deadlines::default(),
            fence: Fence::open(),
            defect: None,
        }
    }
}

impl fmt::Debug for ControllerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerConfig")
            .field("namespaces", &self.namespaces)
            .field("store_url", &self.store_url)
            .field("deadlines", &self.deadlines)
            .field("defect", &self.defect)
            .finish_non_exhaustive()
    }
}

/// What every pass shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: ControllerConfig,
    pub(crate) agents: Arc<dyn SandboxAgents>,
    pub(crate) custodian: Arc<dyn CheckpointCustodian>,
    pub(crate) metrics: ControllerMetrics,
    pub(crate) traces: Traces,
    pub(crate) defect: Distortion,
    /// Lets so many passes go on at the same time, in the order in which they came.
    pub(crate) passes: Semaphore,
    /// Passes that broke off, by namespace and name.
    pub(crate) errors: Backoff,
    /// Refused writes, by UID.
    pub(crate) obstacles: Backoff,
    reporter: Reporter,
    synced: CancellationToken,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    /// Forgets a sandbox that is gone, whatever it was in the middle of.
    pub(crate) fn forget(&self, key: &str, uid: &str) {
        self.errors.succeeded(key);
        self.obstacles.succeeded(uid);
        self.metrics.forget(key, uid);
        self.traces.forget(uid);
    }

    /// Publishes a Kubernetes Event. One that is lost is not worth failing a pass for.
    pub(crate) async fn announce(&self, sandbox: &ObjectReference, notice: &Notice) {
        // One that is kept remembers every Event of some minutes, and looks through all of them at each further one.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        if let Err(error) = recorder.publish(&notice.event(), sandbox).await {
            tracing::warn!(%error, "an Event was not published");
        }
    }
}

/// The pause and resume controller.
pub struct Controller {
    pub(crate) context: Arc<Context>,
}

impl Controller {
    /// Ready to [`run`](Self::run). Nothing is read or written yet.
    #[must_use]
    pub fn new(
        client: Client,
        config: ControllerConfig,
        agents: Arc<dyn SandboxAgents>,
        custodian: Arc<dyn CheckpointCustodian>,
    ) -> Self {
        let metrics = ControllerMetrics::new();
        let client = config.fence.client(client, &metrics);
        let agents = config.fence.agents(agents);
        let custodian = config.fence.custodian(custodian);
        let defect = Distortion::new(config.defect);
        let context = Context {
            reporter: Reporter::from("torpor-controller"),
            custodian: defect.custodian(custodian),
            metrics,
            traces: Traces::default(),
            passes: Semaphore::new(PASSES_AT_ONCE.into()),
            errors: Backoff::new(Duration::from_millis(100), Duration::from_mins(1)),
            obstacles: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            client,
            config,
            agents,
            defect,
            synced: CancellationToken::new(),
        };
        Self {
            context: Arc::new(context),
        }
    }

    /// The meters of this controller.
    #[must_use]
    pub fn metrics(&self) -> ControllerMetrics {
        self.context.metrics.clone()
    }

    /// Completes once the sandboxes are known.
    #[must_use]
    pub fn synced(&self) -> CancellationToken {
        self.context.synced.clone()
    }

    /// Looks after the sandboxes until `shutdown` is cancelled; passes under way are finished first.
    pub async fn run(self, shutdown: CancellationToken) {
        let context = self.context;
        let scopes: Vec<Option<String>> = match context.config.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        let mut watches = Vec::new();
        for scope in &scopes {
            watches.extend(context.config.fronts.iter().map(|front| match front {
                Front::Kruise => follow::<Sandbox>(&context, scope.as_deref(), &shutdown),
                Front::AgentSandbox => follow::<agent_sandbox::Sandbox>(&context, scope.as_deref(), &shutdown),
            }));
        }
        let watches = watches.into_iter().map(|watch| (watch.known, watch.passes));
        let (known, passes): (Vec<_>, Vec<_>) = watches.unzip();
        let sync = async {
            let all = join_all(known.iter().map(CancellationToken::cancelled));
            if shutdown.run_until_cancelled(all).await.is_some() {
                context.synced.cancel();
            }
        };
        futures::join!(sync, join_all(passes));
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("config", &self.context.config)
            .finish_non_exhaustive()
    }
}
