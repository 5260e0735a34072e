//! A Kubernetes API server in memory, for tests, simulation and laptops.
//!
//! Clients cannot tell it from a real one as far as it goes: kube-rs in process through [`MockApiServer::client`], and anything
//! that speaks HTTP through [`MockApiServer::serve`]. It can also do what a real one cannot: run on an injected [`Clock`], repeat
//! its UIDs, forget its history on demand, and fail as a [`Verdict`] says.
//!
//! ```text
//!   HTTP / tower  -->  shim  -->  rest  -->  core (store, catalogue)  -->  upkeep (garbage, namespaces, CRDs)
//!                       ^                      |
//!                       +------ watch events --+
//! ```

mod access;
mod admission;
mod api;
mod catalog;
mod clock;
mod control;
mod conversion;
mod core;
mod definition;
mod discovery;
mod durable;
mod faults;
mod fields;
mod kinds;
mod kubeconfig;
mod logs;
mod node_pages;
mod protobuf;
mod request_log;
mod rest;
mod schema;
mod serve;
mod server;
mod shim;
mod snapshot;
mod store;
mod table;
mod tls;
mod types;
mod upkeep;

pub use access::{Authentication, User};
pub use admission::{WebhookCall, WebhookCaller, WebhookFailure};
pub use clock::{Clock, SystemClock};
pub use durable::{JournalError, Recovery};
pub use faults::{Refusal, RequestInfo, RuleGuard, Verdict};
pub use kubeconfig::Kubeconfig;
pub use logs::{LogOptions, PodLogs, PodLogsRefused};
pub use node_pages::{NodePageRefused, NodePages};
pub use request_log::LoggedRequest;
pub use server::{Builder, MockApiServer};
pub use shim::{ConnectionLost, ResponseBody};
pub use snapshot::Snapshot;
pub use tls::{ClientCertificate, Tls, TlsError};
pub use upkeep::StandIn;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
