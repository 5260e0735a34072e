//! The process inside a sandbox Pod: it runs the workload through an engine of
//! [`torpor_runtime`], serves E2B's data plane, and takes and restores checkpoints.
//!
//! ```text
//!  controller ─▶ control    (freeze, checkpoint, thaw) ─┐
//!  gateway    ─▶ code interpreter (run code)            ├─▶ one supervisor ─▶ engine
//!             ─▶ envd       (files)                    ─┘        └─▶ checkpoint store
//! ```
//!
//! It does not decide when to pause, and it does not check who calls: the gateway does. An order that is meant for the
//! agent of another Pod is turned away.

mod code_interpreter;
mod config;
mod connect;
mod control;
mod envd;
#[cfg(test)]
mod fake;
mod files;
mod image;
mod lines;
mod log;
mod server;
mod supervisor;
mod watch;
mod watchers;

pub use config::{AgentConfig, ConfigError, SandboxIdentity};
pub use log::{ContainerLog, LogLine, LogReader};
pub use server::{Agent, AgentListeners, start};
