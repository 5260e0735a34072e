//! The embedded engine: Python, interpreted in this process by the `monty` crate, whose sessions
//! can be written down and read again, also in the middle of a `sleep`.
//!
//! [`MontySandbox`] is synchronous, holds everything of one sandbox, and belongs to one thread
//! ([`thread`](crate::thread)). It reads the clock that it is given and never waits.
//!
//! ```text
//!  context:   Idle ──begin──▶ (runs) ──▶ Idle            value or error reported
//!               ▲                │ sleep(s)
//!               └───── poll ◀────┴──▶ Suspended{until}   dumped as it is; goes on after a restore
//! ```
//!
//! Left out: processes, sockets and threads. The interpreter has none.

mod context;
mod drive;
mod host;
mod image;
mod imports;
mod sandbox;
mod scanner;
mod time_module;

pub use context::{ContextId, ContextInfo};
pub use host::{ExecutionEvent, ExecutionSink};
pub use sandbox::{ENGINE_NAME, EngineError, MontySandbox, engine_version};
