//! The embedded engine: Python, interpreted in this process by the `monty` crate, whose sessions
//! can be written down and read again, also in the middle of a `sleep`.
//!
//! [`MontySandbox`] is synchronous, holds everything of one sandbox, and belongs to one thread
//! ([`SandboxProcess`]). It reads the clock that it is given and never waits.
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
mod engine;
mod host;
mod image;
mod imports;
mod limits;
mod listing;
mod memory;
mod process;
mod sandbox;
mod saved;
mod scanner;
mod sim;
mod time_module;
mod worker;
mod written;

pub use engine::MontyEngine;
pub use limits::ExecutionLimits;
pub use memory::MemoryGauge;
pub use process::{Origin, SandboxProcess};
pub use sandbox::{MontyError, MontySandbox, engine_version};
pub use sim::SimEngine;
pub use written::WriteError;
