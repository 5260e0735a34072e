//! What a scraper reads at `/metrics`: the series of a real server that this one has something to say about.
//!
//! Names and labels follow `k8s.io/apiserver/pkg/endpoints/metrics`. Nothing is reported that is not counted; latencies are not,
//! for the clock of the server may stand still. A watch counts as a request when it is answered, not when it ends.

use crate::api::path::{ResourcePath, Route};
use crate::core::Core;
use crate::rest::{Method, Request};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What a request asked for, without the code of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, EncodeLabelSet)]
pub(super) struct Asked {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
    component: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    #[prometheus(flatten)]
    asked: Asked,
    dry_run: &'static str,
    code: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    request_kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stored {
    resource: String,
}

/// The counts of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Family<Answered, Counter>,
    in_flight: Family<Kind, Gauge>,
    watches: Family<Asked, Gauge>,
}

/// Something that is under way; it is no more when this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Gauge);

impl UnderWay {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub(super) fn count(&self, request: &Request, code: u16) {
        let answered = Answered {
            asked: Asked::by(request),
            dry_run: if request.query.get("dryRun") == Some("All") {
                "All"
            } else {
                ""
            },
            code: code.into(),
        };
        self.requests.get_or_create(&answered).inc();
    }

    /// Begins to carry out a request.
    pub(super) fn carry_out(&self, method: Method) -> UnderWay {
        let request_kind = match method {
            Method::Get => "readOnly",
            Method::Post | Method::Put | Method::Patch | Method::Delete => "mutating",
        };
        UnderWay::begin(&self.in_flight.get_or_create(&Kind { request_kind }))
    }

    /// Opens a watch.
    pub(super) fn watch(&self, request: &Request) -> UnderWay {
        UnderWay::begin(&self.watches.get_or_create(&Asked::by(request)))
    }

    /// All series as text, with the number of stored objects by resource.
    pub(super) fn render(&self, core: &Core) -> String {
        let objects = Family::<Stored, Gauge>::default();
        for collection in core.store.collections() {
            let count = core.store.scan(collection, None).count();
            let stored = Stored {
                resource: collection.to_string(),
            };
            objects
                .get_or_create(&stored)
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut registry = Registry::default();
        registry.register(
            "apiserver_request",
            "Requests that were answered",
            self.requests.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests that are being carried out",
            self.in_flight.clone(),
        );
        registry.register("apiserver_longrunning_requests", "Open watches", self.watches.clone());
        registry.register("apiserver_storage_objects", "Stored objects", objects);
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl Asked {
    fn by(request: &Request) -> Self {
        match &request.route {
            Route::Resource(path) => Self::of_resource(request, path),
            other => Self {
                verb: method(request.method),
                subresource: other.name().to_owned(),
                ..Self::default()
            },
        }
    }

    fn of_resource(request: &Request, path: &ResourcePath) -> Self {
        let is_watch = path.watch || request.query.flag("watch");
        let verb = match (request.method, path.name.is_some()) {
            (Method::Get, named) if is_watch && (path.watch || !named) => "WATCH",
            (Method::Get, false) => "LIST",
            (Method::Delete, false) => "DELETECOLLECTION",
            (Method::Patch, _) if request.content_type.starts_with("application/apply-patch") => "APPLY",
            (other, _) => method(other),
        };
        let scope = match (&path.name, &path.namespace) {
            (Some(_), _) => "resource",
            (None, _) if verb == "POST" => "resource",
            (None, Some(_)) => "namespace",
            (None, None) => "cluster",
        };
        Self {
            verb,
            group: path.group.clone(),
            version: path.version.clone(),
            resource: path.resource.clone(),
            subresource: path.subresource.clone().unwrap_or_default(),
            scope,
            component: "apiserver",
        }
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}
