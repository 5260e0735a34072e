//! Everything that was done and seen while a case ran: the one record that oracles judge and
//! reports are rendered from.

mod journal;
mod redact;
mod replay;
mod watches;

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use journal::{Journal, now};
pub(crate) use redact::HIDDEN;
pub use replay::{Moment, Owner, replay};
pub(crate) use watches::{Listening, Watches};

/// The record of a case, in order of arrival.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// What was done and seen.
    pub entries: Vec<Entry>,
}

/// One thing that was done or seen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// When it was noted.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What it was.
    #[serde(flatten)]
    pub what: Occurrence,
}

/// What was done or seen.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Occurrence {
    /// A step began.
    StepStarted {
        /// Place of the step, from 1, e.g. `3` or `4.2`.
        path: String,
        /// What it does.
        text: String,
    },
    /// A step ended.
    StepEnded {
        /// Place of the step.
        path: String,
        /// What was wrong; absent when it did what it should.
        #[serde(skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
    /// A request was answered.
    Request {
        /// Method.
        method: String,
        /// Path and query.
        path: String,
        /// Status code of the answer.
        status: u16,
        /// Milliseconds until the answer.
        millis: u64,
    },
    /// A watch reported a change.
    Change(Change),
    /// A watch could not go on without a gap: what follows it proves nothing.
    WatchLost {
        /// What went wrong.
        message: String,
    },
    /// A command that a sandbox was to carry out was acknowledged, or its answer was lost.
    Command {
        /// Its place in the log of its sandbox, from 1.
        number: u32,
        /// Which sandbox, as the scenario calls it.
        sandbox: String,
        /// What it did with what, e.g. `counter count: add 3`.
        command: String,
        /// The content after it; absent when the answer does not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// Why there is no answer; absent when it was acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<String>,
    },
    /// A probe read a value.
    Probe {
        /// What was probed.
        what: String,
        /// What was read.
        value: String,
    },
}

/// A change that a watch reported.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What kind of object.
    pub object: Watched,
    /// Whether this is its last state, at its deletion.
    pub deleted: bool,
    /// The state. Shared by all cases that saw it.
    pub state: Arc<Value>,
}

/// A kind of object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Watched {
    /// The custom resource.
    Sandbox,
    /// A Pod.
    Pod,
}

impl History {
    /// The changes, ordered by the revision of the API server instead of by arrival: watches
    /// of two kinds are two streams.
    #[must_use]
    pub fn changes(&self) -> Vec<&Change> {
        let mut changes: Vec<_> = self
            .entries
            .iter()
            .filter_map(|entry| {
                if let Occurrence::Change(change) = &entry.what {
                    Some(change)
                } else {
                    None
                }
            })
            .collect();
        changes.sort_by_key(|change| change.revision());
        changes
    }

    /// Takes the secrets of recorded objects out, for whoever reads the record later.
    pub(crate) fn redact(&mut self) {
        for entry in &mut self.entries {
            if let Occurrence::Change(change) = &mut entry.what {
                redact::redact_object(Arc::make_mut(&mut change.state));
            }
        }
    }

    /// Why the record has a gap, if it has one.
    #[must_use]
    pub fn gap(&self) -> Option<&str> {
        self.entries.iter().find_map(|entry| match &entry.what {
            Occurrence::WatchLost { message } => Some(message.as_str()),
            _ => None,
        })
    }
}

impl Change {
    /// `metadata.resourceVersion` as the number that it is on every API server in use.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.text("/metadata/resourceVersion").parse().unwrap_or_default()
    }

    /// The text at a JSON pointer; empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.state.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}
