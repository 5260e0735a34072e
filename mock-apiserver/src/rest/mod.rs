//! What each verb does to the state: the generic registry of Kubernetes, as synchronous functions on [`Core`].
//!
//! ```text
//!   Request --> dispatch --> read | watch | create | update | patch | delete --> settle --> Answer
//! ```
//! It leaves out everything about HTTP but methods and media types; waiting (watches, logs) happens in the HTTP shim.

mod admit;
mod answer;
mod create;
mod decode;
pub(crate) mod delete;
mod dispatch;
mod evict;
mod merge;
mod patch;
mod read;
mod review;
mod scale;
mod stored;
mod strategic;
mod subresource;
mod token;
mod update;
mod validate;
pub(crate) mod watch;
mod write;

pub(crate) use answer::{Answer, LogRequest, NodePageRequest, Reply};
pub(crate) use dispatch::{Asked, Method, Request, handle};
