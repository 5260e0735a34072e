//! What an engine is: it runs sandboxes, stops them in place, writes them down and brings them back.
//!
//! [`Engine`] and [`Sandbox`] are the contract that agents rely on and that `tests/contract` holds every
//! engine to. When to freeze, and where a checkpoint goes, is decided by those who call.
//!
//! ```text
//!            start ──▶ Running ──freeze──▶ Frozen ──checkpoint──▶ payload
//!  payload ─restore─▶    ▲ │                │ │                      │
//!                        │ └──────stop──────┼─┴─▶ (nothing)          └─restore─▶ Running, elsewhere
//!                        └───────thaw───────┘
//! ```

mod contract;
mod error;
mod execution;
mod facet;
mod processes;

pub use contract::{Answer, CommandRefused, Engine, Fresh, Interpreter, Place, Processes, Sandbox, Usage};
pub use error::SandboxError;
#[cfg(target_os = "linux")]
pub use error::chain;
pub use execution::{ContextId, ContextInfo, ExecutionEvent, ExecutionSink};
pub use facet::Facet;
pub use processes::{Exit, ProcessEvent, ProcessInfo, ProcessSpec, ProcessStream, TerminalSize};
