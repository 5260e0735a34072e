//! The written form of a sandbox: every session as the interpreter dumps it, and its files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files::FileTree;

/// Everything of one sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SandboxImage {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) default_context: String,
    pub(crate) contexts: BTreeMap<String, ContextImage>,
    pub(crate) files: FileTree,
}

/// One context.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContextImage {
    pub(crate) cwd: String,
    pub(crate) executions: u64,
    /// As the interpreter writes it, with its own version.
    pub(crate) dump: Vec<u8>,
    pub(crate) sleeping: Option<SleeperImage>,
}

/// What the dump of a sleeping session does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SleeperImage {
    /// What is left of the sleep: a pause does not count towards it.
    pub(crate) left: Duration,
    pub(crate) env: BTreeMap<String, String>,
}
