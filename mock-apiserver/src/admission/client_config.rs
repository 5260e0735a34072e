//! How a webhook is reached: the `clientConfig` of its configuration, and the seam to whatever carries the call.

use crate::store::{ObjectName, Store};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

const DEFAULT_PORT: u64 = 443;

/// One call of an admission or conversion webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookCall {
    /// Where the configuration sends it; its host is the name that the certificate must be for.
    pub url: Url,
    /// Where to connect, if not to the host of the URL: a plain-HTTP or HTTPS address that stands for a Service.
    pub through: Option<Url>,
    /// The certificates of the authorities to trust, as PEM; empty for those of the system.
    pub ca_bundle: Vec<u8>,
    /// The review, to be sent as JSON.
    pub review: Value,
}

impl WebhookCall {
    /// The URL as errors show it: the address of a Service names its port, also if it is the usual one.
    pub(crate) fn address(&self) -> String {
        shown(&self.url, self.through.is_some())
    }
}

fn shown(url: &Url, is_service: bool) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), None) if is_service => {
            let rest = &url[url::Position::BeforePath..];
            format!("{}://{host}:{DEFAULT_PORT}{rest}", url.scheme())
        }
        _ => url.to_string(),
    }
}

/// Why a webhook gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFailure {
    /// It could not be reached, or the connection broke.
    #[error("Post {url:?}: {why}")]
    Unreachable {
        /// The address called.
        url: String,
        /// What happened.
        why: String,
    },
    /// It answered with an HTTP error.
    #[error("{}", http_error(*code, body))]
    Refused {
        /// The HTTP status code.
        code: u16,
        /// The beginning of the body.
        body: String,
    },
    /// Its answer is not JSON.
    #[error("couldn't get version/kind; json parse error: {0}")]
    Unreadable(String),
}

/// HTTP errors in the words of client-go.
fn http_error(code: u16, body: &str) -> String {
    match code {
        404 => "the server could not find the requested resource".to_owned(),
        400 => "the server rejected our request for an unknown reason".to_owned(),
        500.. => format!("an error on the server ({body:?}) has prevented the request from succeeding"),
        _ => format!("the server responded with the status code {code} but did not return more information"),
    }
}

/// Carries calls to webhooks.
///
/// # Guarantees
/// The future ends with the answer or a failure, and may be dropped at any time (the server drops it when the webhook's time is up).
pub trait WebhookCaller: Send + Sync {
    /// Calls a webhook and gives the review that it answers with.
    fn call(&self, call: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>>;
}

/// Where Services are to be found outside the cluster: addresses by `namespace/name`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceAddresses(BTreeMap<String, Url>);

impl ServiceAddresses {
    pub(crate) fn insert(&mut self, namespace: &str, name: &str, address: Url) {
        self.0.insert(format!("{namespace}/{name}"), address);
    }
}

/// Whom to call.
#[derive(Debug, Clone, PartialEq)]
enum Target {
    Url(Url),
    Service {
        at: ObjectName,
        path: String,
        port: u64,
    },
    /// The configuration names neither, or no URL.
    Unusable(String),
}

/// The `clientConfig` of a webhook.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClientConfig {
    target: Target,
    ca_bundle: Vec<u8>,
}

/// A target found, ready for calls.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    url: Url,
    /// Where a Service is, or why it is nowhere.
    through: Result<Option<Url>, String>,
    ca_bundle: Vec<u8>,
}

impl Address {
    /// A call with that review; the webhook is told how long it has.
    pub(crate) fn call(&self, review: Value, timeout: Duration) -> Result<WebhookCall, String> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("timeout", &format!("{}s", timeout.as_secs()));
        let through = self.through.clone();
        Ok(WebhookCall {
            through: through.map_err(|why| format!("Post {:?}: {why}", shown(&url, true)))?,
            url,
            ca_bundle: self.ca_bundle.clone(),
            review,
        })
    }
}

impl ClientConfig {
    /// Reads a `clientConfig`.
    pub(crate) fn read(config: &Value) -> Self {
        let bundle = config["caBundle"].as_str().unwrap_or_default();
        Self {
            target: Target::read(config),
            ca_bundle: STANDARD.decode(bundle).unwrap_or_default(),
        }
    }

    /// Where to call. A Service is looked up as the real server does, except that its Endpoints come before its cluster IP,
    /// which leads nowhere on a machine without a service network.
    pub(crate) fn address(&self, store: &Store, services: &ServiceAddresses) -> Result<Address, String> {
        let (url, through) = match &self.target {
            Target::Unusable(why) => return Err(why.clone()),
            Target::Url(url) => (url.clone(), Ok(None)),
            Target::Service { at, path, port } => {
                let host = format!("{}.{}.svc", at.name, at.namespace);
                let url = Url::parse(&format!("https://{host}:{port}/{}", path.trim_start_matches('/')))
                    .map_err(|error| format!("parse the address of the service: {error}"))?;
                let through = match services.0.get(&format!("{}/{}", at.namespace, at.name)) {
                    Some(known) => Ok(known.clone()),
                    None => service_address(store, at, *port),
                };
                (url, through.map(Some))
            }
        };
        Ok(Address {
            url,
            through,
            ca_bundle: self.ca_bundle.clone(),
        })
    }
}

impl Target {
    fn read(config: &Value) -> Self {
        let service = &config["service"];
        if service.is_object() {
            let text = |member: &str| service[member].as_str().unwrap_or_default();
            return Self::Service {
                at: ObjectName::new(text("namespace"), text("name")),
                path: text("path").to_owned(),
                port: service["port"].as_u64().unwrap_or(DEFAULT_PORT),
            };
        }
        match config["url"].as_str().map(Url::parse) {
            Some(Ok(url)) => Self::Url(url),
            Some(Err(error)) => Self::Unusable(format!("parse the url of the webhook: {error}")),
            None => Self::Unusable("webhook configuration must have either service or URL".to_owned()),
        }
    }
}

/// The address of a Service's port, by its external name, its Endpoints or its cluster IP.
fn service_address(store: &Store, at: &ObjectName, port: u64) -> Result<Url, String> {
    let service = store
        .get("services", at)
        .ok_or_else(|| format!("service {:?} not found", at.name))?;
    let spec = &service["spec"];
    let https = |host: &str, port: u64| {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        Url::parse(&format!("https://{host}:{port}"))
            .map_err(|error| format!("parse the address of the service: {error}"))
    };
    if spec["type"] == "ExternalName" {
        return https(spec["externalName"].as_str().unwrap_or_default(), port);
    }
    let mut ports = spec["ports"].as_array().into_iter().flatten();
    let entry = ports
        .find(|entry| entry["port"] == port)
        .ok_or_else(|| format!("no service port {port} found for service {:?}", at.name))?;
    if let Some(endpoints) = store.get("endpoints", at) {
        for subset in endpoints["subsets"].as_array().into_iter().flatten() {
            let named = |found: &&Value| found["name"] == entry["name"];
            let found = subset["ports"].as_array().into_iter().flatten().find(named);
            let number = found.and_then(|found| found["port"].as_u64());
            if let (Some(ip), Some(number)) = (subset["addresses"][0]["ip"].as_str(), number) {
                return https(ip, number);
            }
        }
    }
    match spec["clusterIP"].as_str() {
        Some(ip) if !ip.is_empty() && ip != "None" => https(ip, port),
        Some(_) | None => Err(format!("no endpoints available for service {:?}", at.name)),
    }
}
