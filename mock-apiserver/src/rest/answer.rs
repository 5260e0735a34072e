//! What a request comes to.

use super::watch::WatchPlan;
use crate::catalog::Resource;
use crate::logs::LogOptions;
use crate::store::Object;
use serde_json::Value;
use std::sync::Arc;

/// The log of which container is wanted.
#[derive(Debug, Clone)]
pub(crate) struct LogRequest {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) options: LogOptions,
}

/// Which page of a node is wanted.
#[derive(Debug, Clone)]
pub(crate) struct NodePageRequest {
    pub(crate) node: String,
    pub(crate) path: String,
}

/// The outcome of a request that was not refused.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One object; 200 or 201.
    Object {
        code: u16,
        resource: Arc<Resource>,
        object: Arc<Object>,
    },
    /// A list, with its `metadata`.
    List {
        resource: Arc<Resource>,
        metadata: Value,
        items: Vec<Arc<Object>>,
    },
    /// The scale of an object.
    Scale(Value),
    /// A stream of watch events.
    Watch(WatchPlan),
    /// The log of a container.
    Log(LogRequest),
    /// A page that a node serves.
    NodePage(NodePageRequest),
    /// An OpenAPI document, which clients keep for as long as its hash is the same.
    OpenApi { body: Value, hash: String },
    /// A document in another form than JSON.
    Encoded { media_type: &'static str, body: Vec<u8> },
    /// Any other document.
    Document { code: u16, body: Value },
    /// The counts of the server, for scrapers.
    Metrics,
    /// Plain text.
    Text { code: u16, body: String },
}

/// An answer with what goes into the headers beside it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) answer: Answer,
    /// Texts of `Warning: 299` headers.
    pub(crate) warnings: Vec<String>,
}
