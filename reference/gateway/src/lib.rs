//! The E2B face of Torpor: E2B's control plane API and its data plane proxy, as a client of the
//! Kubernetes API.
//!
//! The gateway keeps nothing of its own. What it knows of a sandbox is on its `Sandbox` object; it
//! asks for a state by writing `spec` and reports what the controller writes to `status`. Timers are
//! the controller's to act on: the gateway only sets them.
//!
//! What is decided, and where:
//!
//! | question | module | I/O |
//! |---|---|---|
//! | what does an object say about its sandbox? | `state` | no |
//! | what does a call do in each state? | `operation` | no |
//! | is a wait over, and how did it end? | `goal` | no |
//! | when does a run end? | `timer` | no |
//! | which sandbox is traffic for, may it pass, does it wake it? | `data` | no |
//! | carrying out a call | `call` | yes |
//! | the Kubernetes API | `cluster`, `index` | yes |
//! | carrying traffic | `data::forward` | yes |

mod body;
mod call;
mod cluster;
mod config;
mod control;
mod data;
mod gateway;
mod goal;
mod id;
mod index;
mod lifecycle;
mod list;
mod metadata;
mod operation;
mod quantity;
mod refusal;
mod request;
mod signature;
mod state;
mod template;
mod timer;
mod token;
mod view;

pub use config::{ApiKeys, Clock, GatewayConfig, WaitLimits};
pub use gateway::Gateway;
