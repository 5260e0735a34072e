//! The handle: how a server is built, called in process, and served over HTTP.

use crate::access::{Access, Authentication, User, bootstrap};
use crate::admission::{ServiceAddresses, WebhookCaller};
use crate::api::meta;
use crate::clock::{Clock, SystemClock};
use crate::control::Control;
use crate::core::Core;
use crate::durable::{JournalError, Recovery};
use crate::faults::{RequestInfo, RuleGuard, Verdict};
use crate::kinds::new_object;
use crate::kubeconfig::Kubeconfig;
use crate::logs::{NoLogs, PodLogs};
use crate::node_pages::{NoNodePages, NodePages};
use crate::request_log::LoggedRequest;
use crate::shim::{ConnectionLost, Environment, HttpCaller, ResponseBody, Shared, respond_to};
use crate::snapshot::Snapshot;
use crate::store::ObjectName;
use crate::upkeep::{self, StandIn};
use http::{HeaderValue, Request, Response, header};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use url::Url;

const DEFAULT_HISTORY: usize = 4096;

/// Builds a [`MockApiServer`].
#[must_use]
pub struct Builder {
    clock: Arc<dyn Clock>,
    logs: Arc<dyn PodLogs>,
    nodes: Arc<dyn NodePages>,
    seed: Option<u64>,
    history: usize,
    event_ttl: Option<Duration>,
    authentication: Option<Authentication>,
    rbac: bool,
    absent: Vec<StandIn>,
    webhooks: Arc<dyn WebhookCaller>,
    services: ServiceAddresses,
    control: bool,
}

impl Builder {
    /// The source of the time; the system clock by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of container logs; by default `GET …/log` answers 501.
    pub fn pod_logs(mut self, logs: Arc<dyn PodLogs>) -> Self {
        self.logs = logs;
        self
    }

    /// The source of what nodes serve under `…/nodes/NAME/proxy/`; by default that answers 501.
    pub fn node_pages(mut self, nodes: Arc<dyn NodePages>) -> Self {
        self.nodes = nodes;
        self
    }

    /// Makes UIDs and generated names repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many changes of each collection watches can go back; 4096 by default.
    pub fn history(mut self, changes: usize) -> Self {
        self.history = changes;
        self
    }

    /// How long Events stay after they were last written: an hour by default, for ever if it is zero.
    pub fn event_ttl(mut self, ttl: Duration) -> Self {
        self.event_ttl = Some(ttl);
        self
    }

    /// Requests from outside the process must show who they are from; by default they are all the administrator's.
    ///
    /// Clients in process are believed: [`MockApiServer::client`] is the administrator's,
    /// [`MockApiServer::client_as_user`] anybody's.
    pub fn authentication(mut self, authentication: Authentication) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Roles and bindings decide what users may do; by default everybody may do everything.
    pub fn rbac(mut self) -> Self {
        self.rbac = true;
        self
    }

    /// Leaves the work of a controller to another program, such as the real one.
    ///
    /// ```
    /// use mock_apiserver::{MockApiServer, StandIn};
    /// let server = MockApiServer::builder().without(StandIn::GarbageCollector).build();
    /// ```
    pub fn without(mut self, stand_in: StandIn) -> Self {
        self.absent.push(stand_in);
        self
    }

    /// Serves faults, the request log and snapshots under `/torpor/`, for programs that are not in this process. Whoever reaches the
    /// server may use them, whatever authentication says. The README describes the paths.
    pub fn control_endpoint(mut self) -> Self {
        self.control = true;
        self
    }

    /// What carries the calls to webhooks; HTTP and HTTPS by default.
    pub fn webhook_caller(mut self, caller: Arc<dyn WebhookCaller>) -> Self {
        self.webhooks = caller;
        self
    }

    /// Where webhooks of a Service are to be called, such as `https://127.0.0.1:9443` for a program that runs on this machine.
    /// Certificates are still checked against the Service's name, `name.namespace.svc`.
    pub fn webhook_service(mut self, namespace: &str, name: &str, address: Url) -> Self {
        self.services.insert(namespace, name, address);
        self
    }

    /// A server that holds the four namespaces of every cluster.
    #[must_use]
    pub fn build(self) -> MockApiServer {
        let environment = self.environment();
        finish(self.core(), environment)
    }

    /// A server that takes up what the folder `dir` holds and keeps every write there before it
    /// acknowledges it, so that it survives the end of the process at any moment.
    ///
    /// # Errors
    /// The folder cannot be used or is in use, or what it holds is damaged by more than an interrupted write.
    pub fn open(self, dir: &Path) -> Result<(MockApiServer, Recovery), JournalError> {
        let environment = self.environment();
        let mut core = self.core();
        let recovery = core.keep_in(dir)?;
        Ok((finish(core, environment), recovery))
    }

    fn environment(&self) -> Environment {
        Environment {
            logs: self.logs.clone(),
            nodes: self.nodes.clone(),
            webhooks: self.webhooks.clone(),
            control: self.control.then(Control::default),
        }
    }

    fn core(self) -> Core {
        let seed = self.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let mut core = Core::new(self.clock, seed, self.history);
        core.access = Access::new(self.authentication, self.rbac, seed);
        core.webhooks.services = self.services;
        if let Some(ttl) = self.event_ttl {
            core.event_ages.keep_for(ttl);
        }
        for stand_in in self.absent {
            core.agenda.dismiss(stand_in);
        }
        core
    }
}

/// Makes the namespaces that are missing, and what follows from the state.
fn finish(mut core: Core, environment: Environment) -> MockApiServer {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        if core.namespace_state(name).is_none()
            && let Some(resource) = core.catalog.by_kind("", "v1", "Namespace")
        {
            let namespace = new_object(&mut core, &resource, json!({"metadata": {"name": name}}));
            core.put(&resource, namespace);
        }
    }
    if core.access.by_rules() {
        bootstrap_roles(&mut core);
    }
    upkeep::settle(&mut core);
    MockApiServer {
        shared: Arc::new(Shared::new(core, environment)),
    }
}

fn bootstrap_roles(core: &mut Core) {
    for (kind, object) in bootstrap::objects() {
        let Some(resource) = core.catalog.by_kind("rbac.authorization.k8s.io", "v1", kind) else {
            continue;
        };
        let name = ObjectName::new("", meta::name(&object));
        if core.store.get(&resource.collection, &name).is_none() {
            let object = new_object(core, &resource, object);
            core.put(&resource, object);
        }
    }
}

/// A Kubernetes API server in memory. Clones are handles of the same server.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use k8s_openapi::api::core::v1::ConfigMap;
/// let server = mock_apiserver::MockApiServer::builder().build();
/// let maps: kube::Api<ConfigMap> = kube::Api::default_namespaced(server.client());
/// let map = ConfigMap { metadata: kube::api::ObjectMeta { name: Some("a".into()), ..Default::default() }, ..Default::default() };
/// let made = maps.create(&Default::default(), &map).await?;
/// assert!(made.metadata.uid.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MockApiServer {
    shared: Arc<Shared>,
}

impl MockApiServer {
    /// Starts building a server.
    pub fn builder() -> Builder {
        Builder {
            clock: Arc::new(SystemClock),
            logs: Arc::new(NoLogs),
            nodes: Arc::new(NoNodePages),
            seed: None,
            history: DEFAULT_HISTORY,
            event_ttl: None,
            authentication: None,
            rbac: false,
            absent: Vec::new(),
            webhooks: Arc::new(HttpCaller),
            services: ServiceAddresses::default(),
            control: false,
        }
    }

    /// A client that calls the server in process. Must be called inside a tokio runtime.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        self.client_as("kube-rs")
    }

    /// A client in process that names itself `user_agent`.
    #[must_use]
    pub fn client_as(&self, user_agent: &str) -> kube::Client {
        self.client_of(User::admin(), user_agent)
    }

    /// A client in process whose requests are those of `user`.
    ///
    /// It shows whether the roles of a controller suffice:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
    /// use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    /// use kube::api::{Api, ListParams, PostParams};
    /// use mock_apiserver::{MockApiServer, User};
    /// use serde_json::{from_value, json};
    ///
    /// let server = MockApiServer::builder().rbac().build();
    /// let admin = server.client();
    /// // What the controller ships: these would come from its manifest.
    /// let role = from_value(json!({
    ///     "metadata": {"name": "controller"},
    ///     "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}],
    /// }))?;
    /// let binding = from_value(json!({
    ///     "metadata": {"name": "controller"},
    ///     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "controller"},
    ///     "subjects": [{"kind": "ServiceAccount", "name": "controller"}],
    /// }))?;
    /// Api::<Role>::default_namespaced(admin.clone()).create(&PostParams::default(), &role).await?;
    /// Api::<RoleBinding>::default_namespaced(admin).create(&PostParams::default(), &binding).await?;
    ///
    /// // The controller runs as its service account: what it does must be in the role.
    /// let client = server.client_as_user(User::service_account("default", "controller"));
    /// let maps: Api<ConfigMap> = Api::default_namespaced(client);
    /// maps.list(&ListParams::default()).await?;
    /// let refused = maps.delete("a", &Default::default()).await.unwrap_err();
    /// assert!(refused.to_string().contains(
    ///     r#"User "system:serviceaccount:default:controller" cannot delete resource "configmaps" in API group "" in the namespace "default""#
    /// ));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn client_as_user(&self, user: User) -> kube::Client {
        self.client_of(user, "kube-rs")
    }

    fn client_of(&self, user: User, user_agent: &str) -> kube::Client {
        let agent = HeaderValue::from_str(user_agent).unwrap_or_else(|_| HeaderValue::from_static("kube-rs"));
        let server = self.clone();
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            request
                .headers_mut()
                .entry(header::USER_AGENT)
                .or_insert_with(|| agent.clone());
            request.extensions_mut().insert(user.clone());
            let server = server.clone();
            async move { server.call(request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Answers one HTTP request; the seam for other transports and for layers around the server.
    ///
    /// # Errors
    /// [`ConnectionLost`] if a fault rule says so, and only then.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, ConnectionLost>
    where
        B: http_body::Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        respond_to(self.shared.clone(), request).await
    }

    /// Cancelled when the server ends.
    pub(crate) fn closing(&self) -> CancellationToken {
        self.shared.closing.child_token()
    }

    /// Puts a fault rule in force for as long as the guard lives.
    ///
    /// ```
    /// # use mock_apiserver::{MockApiServer, Refusal, Verdict};
    /// let server = MockApiServer::builder().build();
    /// let guard = server.inject(|request| match request.verb {
    ///     "create" => Verdict::Refuse(Refusal {
    ///         code: 429, reason: "TooManyRequests".into(), message: "slow down".into(), retry_after_seconds: Some(1),
    ///     }),
    ///     _ => Verdict::Pass,
    /// });
    /// drop(guard);
    /// ```
    pub fn inject(&self, rule: impl Fn(&RequestInfo) -> Verdict + Send + Sync + 'static) -> RuleGuard {
        self.shared.faults.add(rule)
    }

    /// The latest requests (up to 10,000), oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.requests.entries()
    }

    /// Forgets the watch history: watches from older revisions now get the in-stream 410.
    pub fn compact(&self) {
        self.shared.core().store.compact();
    }

    /// The revision of the latest write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.shared.core().store.revision()
    }

    /// The whole state as it is now, to come back to.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.shared.core())
    }

    /// Makes the state that of a snapshot, which may be another server's.
    ///
    /// It happens at once and by ordinary writes: revisions go on, and open watches see the changes. UIDs and generated names
    /// go on from where they were at the snapshot, so that what is done again comes out the same.
    ///
    /// ```
    /// let server = mock_apiserver::MockApiServer::builder().seed(1).build();
    /// let prepared = server.snapshot(); // after a setup that many tests share
    /// // ... one test ...
    /// server.restore(&prepared);
    /// ```
    pub fn restore(&self, snapshot: &Snapshot) {
        snapshot.restore(&mut self.shared.core());
    }

    /// A kubeconfig for a server at `url`, without credentials; see [`Kubeconfig`] for more.
    #[must_use]
    pub fn kubeconfig(&self, url: &str) -> String {
        Kubeconfig::new(url).to_string()
    }
}
