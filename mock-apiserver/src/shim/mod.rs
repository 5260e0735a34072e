//! HTTP around the synchronous core: reading requests, writing answers, keeping watches and logs open.

mod body;
mod metrics;
mod respond;
mod service;
mod streaming;
mod view;
mod webhook_http;

pub use body::ResponseBody;
pub use service::ConnectionLost;
pub(crate) use service::{Environment, Shared, respond_to};
pub(crate) use webhook_http::HttpCaller;
