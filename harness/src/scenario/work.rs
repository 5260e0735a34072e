//! Steps that let a sandbox carry out recorded commands, and judge what it holds by those that it acknowledged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Span, default_sandbox};
use crate::capability::Capability;

/// See [`super::Step::Work`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Work {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// What the commands change.
    pub canaries: Vec<Canary>,
    /// How many commands.
    pub commands: u32,
    /// Which commands: the same seed gives the same. Made up, and told by the report, when absent.
    #[serde(default)]
    pub seed: Option<String>,
    /// How long each command in the interpreter takes before it changes anything.
    #[serde(default)]
    pub lasting: Option<Span>,
    /// Whether a pause may come between: the first command without an answer ends the step then.
    #[serde(default)]
    pub may_be_cut: bool,
}

/// See [`super::Step::Recall`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recall {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
}

/// A part of a sandbox's context that commands change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Canary {
    /// Texts in the interpreter's memory, written by one name and read by another.
    Heap,
    /// A number in the interpreter's memory.
    Counter,
    /// Files that are written, added to and deleted.
    Files,
    /// A program that a command started: its pid and a number drawn at its start, a counter, an open file, an open file
    /// without a name, timers, and the port that it listens at.
    Process,
    /// Values in memory, by the adapter of the target.
    MemorySlots,
    /// Values in files, by the adapter of the target.
    FileSlots,
}

impl Canary {
    /// What it takes of a target.
    pub(super) const fn needs(self) -> &'static [Capability] {
        match self {
            Self::Heap | Self::Counter => &[Capability::E2b, Capability::Memory],
            Self::Files => &[Capability::E2b, Capability::Files],
            Self::Process => &[
                Capability::E2b,
                Capability::Commands,
                Capability::Memory,
                Capability::Files,
            ],
            Self::MemorySlots => &[Capability::Probe, Capability::Memory],
            Self::FileSlots => &[Capability::Probe, Capability::Files],
        }
    }
}
