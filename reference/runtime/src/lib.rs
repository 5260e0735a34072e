//! Checkpoint engines, the checkpoint format and its store.
//!
//! An engine keeps the context of one sandbox and can write it down and read it again; the store
//! keeps what it wrote, whole or not at all. When to do either is decided elsewhere.

pub mod chunks;
mod clock;
#[cfg(target_os = "linux")]
mod criu;
pub mod encryption;
mod engine;
pub mod envelope;
mod files;
mod monty;
pub mod paths;
mod payload;
#[cfg(target_os = "linux")]
mod standing;
mod step;
mod store;

pub use clock::Clock;
#[cfg(target_os = "linux")]
pub use criu::{CriuConfig, CriuEngine, CriuError, InitError, SANDBOX_IMAGE, docker_lacks, docker_run, run_init};
pub use encryption::{KeyError, TenantKey, TenantKeys};
pub use engine::{
    Answer, CommandRefused, ContextId, ContextInfo, Engine, ExecutionEvent, ExecutionSink, Exit, Facet, Fresh,
    Interpreter, Place, ProcessEvent, ProcessInfo, ProcessSpec, ProcessStream, Processes, Sandbox, SandboxError,
    TerminalSize, Usage, chain,
};
pub use files::{FileError, FileTree};
pub use monty::{
    ExecutionLimits, MemoryGauge, MontyEngine, MontyError, MontySandbox, Origin, SandboxProcess, SimEngine, WriteError,
    engine_version,
};
pub use payload::{Payload, PayloadCursor, PayloadError, PayloadReader, PayloadWriter, Unwanted};
pub use step::{Step, Steps};
pub use store::{
    CheckpointKey, CheckpointStore, Compacted, Draft, EngineVersion, EnvelopeHeader, Garbage, Intake, StoreError,
    check_sandbox_uid,
};
