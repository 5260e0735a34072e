//! Checkpoint engines, the checkpoint format and its store.
//!
//! An engine keeps the context of one sandbox and can write it down and read it again; the store
//! keeps what it wrote, whole or not at all. When to do either is decided elsewhere.

pub mod chunks;
mod clock;
pub mod encryption;
pub mod envelope;
mod files;
mod monty;
mod process;
mod store;

pub use clock::Clock;
pub use encryption::{KeyError, TenantKey, TenantKeys};
pub use files::{FileError, FileTree};
pub use monty::{
    ContextId, ContextInfo, ENGINE_NAME, EngineError, ExecutionEvent, ExecutionSink, MontySandbox, engine_version,
};
pub use process::{Origin, ProcessError, SandboxProcess};
pub use store::{CheckpointKey, CheckpointStore, EngineVersion, EnvelopeHeader, Garbage, StoreError};
