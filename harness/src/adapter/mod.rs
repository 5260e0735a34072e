//! What only the owner of a target can do for the suite: write and read inside a sandbox, tell
//! what it uses, pause and resume it in a way of their own.
//!
//! The same five calls come in two thicknesses: commands that speak JSON ([`ExecHooks`], named in
//! a profile), and this trait, for those who run the suite from Rust. A target without any is
//! judged by what its addresses show.

mod exec;
mod interpreter;

use std::collections::BTreeSet;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use exec::{ExecHooks, Hook};
pub use interpreter::PodInterpreter;

/// A call of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterCall {
    /// Write a value inside a sandbox.
    ProbeWrite,
    /// Read a value inside a sandbox.
    ProbeRead,
    /// Tell what a sandbox uses.
    Usage,
    /// Ask for a pause, where a profile says `pause: hook`.
    Pause,
    /// Ask for a resume, where a profile says `resume: hook`.
    Resume,
}

impl AdapterCall {
    /// As written in profiles and requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProbeWrite => "probe-write",
            Self::ProbeRead => "probe-read",
            Self::Usage => "usage",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// The sandbox that a call is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its namespace.
    pub namespace: String,
    /// The name of its custom resource.
    pub name: String,
    /// The UID of its custom resource.
    pub uid: String,
    /// The name of its Pod.
    pub pod: String,
}

/// Where in a sandbox a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Facet {
    /// In the memory of a program.
    Memory,
    /// In a file.
    Files,
}

/// A place for a value inside a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Where.
    pub facet: Facet,
    /// Under which name: lower-case letters, digits and `_`.
    pub key: String,
}

/// What a sandbox uses right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// CPU seconds since it started; absent when nothing counts them.
    #[serde(default)]
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory in use; absent when nothing holds any.
    #[serde(default)]
    pub memory_bytes: Option<f64>,
}

/// Why a call did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The target refused, or cannot do what it claims: a finding about the target.
    #[error("{call} was refused: {why}", call = .call.as_str())]
    Refused {
        /// The call.
        call: AdapterCall,
        /// What the target said.
        why: String,
    },
    /// The adapter itself does not work: no finding about the target.
    #[error("{call}: {why}", call = .call.as_str())]
    Broken {
        /// The call.
        call: AdapterCall,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// The adapter has no such call.
    #[error("the adapter has no `{call}`", call = .0.as_str())]
    Missing(AdapterCall),
}

/// What only the owner of a target can do for the suite.
///
/// # Assumptions
/// Calls about different sandboxes run at the same time. A write is answered once a later read
/// would see it. About a sandbox that is deleted none is called but `pause` and `resume`, which then refuse.
#[async_trait]
pub trait Adapter: std::fmt::Debug + Send + Sync {
    /// The calls that it has; the others are never made.
    fn calls(&self) -> BTreeSet<AdapterCall>;

    /// Writes a value.
    async fn probe_write(&self, sandbox: &Subject, slot: &Slot, value: &str) -> Result<(), AdapterError> {
        let _ = (sandbox, slot, value);
        Err(AdapterError::Missing(AdapterCall::ProbeWrite))
    }

    /// Reads a value; nothing when there is none.
    async fn probe_read(&self, sandbox: &Subject, slot: &Slot) -> Result<Option<String>, AdapterError> {
        let _ = (sandbox, slot);
        Err(AdapterError::Missing(AdapterCall::ProbeRead))
    }

    /// Tells what a sandbox uses, also while it is paused.
    async fn usage(&self, sandbox: &Subject) -> Result<Usage, AdapterError> {
        let _ = sandbox;
        Err(AdapterError::Missing(AdapterCall::Usage))
    }

    /// Asks for a pause. Need not wait for it: the suite watches the custom resource.
    async fn pause(&self, sandbox: &Subject) -> Result<(), AdapterError> {
        let _ = sandbox;
        Err(AdapterError::Missing(AdapterCall::Pause))
    }

    /// Asks for a resume. Need not wait for it.
    async fn resume(&self, sandbox: &Subject) -> Result<(), AdapterError> {
        let _ = sandbox;
        Err(AdapterError::Missing(AdapterCall::Resume))
    }
}
