//! A Kubernetes API server in memory, for tests, simulation and laptops.
//!
//! Clients cannot tell it from a real one as far as it goes: kube-rs in process through [`MockApiServer::client`], and anything
//! that speaks HTTP through [`MockApiServer::serve`]. It can also do what a real one cannot: run on an injected [`Clock`], repeat
//! its UIDs, and forget its history on demand.
//!
//! ```text
//!   HTTP / tower  -->  shim  -->  rest  -->  core (store, catalogue)  -->  upkeep (garbage, namespaces, CRDs)
//!                       ^                      |
//!                       +------ watch events --+
//! ```

mod api;
mod catalog;
mod clock;
mod core;
mod discovery;
mod durable;
mod fields;
mod kinds;
mod logs;
mod protobuf;
mod rest;
mod schema;
mod server;
mod shim;
mod store;
mod table;
mod upkeep;

pub use clock::{Clock, SystemClock};
pub use durable::{JournalError, Recovery};
pub use logs::{LogOptions, PodLogs, PodLogsRefused};
pub use server::{Builder, MockApiServer};
pub use shim::ResponseBody;
