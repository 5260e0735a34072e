//! Runs the Pods of the node stand-in as processes of their own: one `torpor agent` for each, so that an interpreter that
//! aborts takes nobody else down.
//!
//! Decides how such a process is started, followed and ended. It isolates memory, CPU time and crashes; it leaves out
//! what containers add, such as users, file systems and networks: a process here may do what its parent may.
//!
//! ```text
//!  node ──── standard input: a socket; first the listening sockets, then nothing; closed = end ───▶ agent
//!       ◀─── standard output: a line of JSON for each state and each line of the log ──────────────
//! ```

mod handover;
mod report;
mod running;
mod runtime;
mod usage;

pub use handover::NodeLink;
pub use report::AgentReport;
pub use runtime::{ProcessConfig, ProcessError, ProcessRuntime};
