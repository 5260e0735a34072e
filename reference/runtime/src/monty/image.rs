//! The written form of a sandbox: every session as the interpreter dumps it, and its files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::imports::RewrittenLines;
use crate::files::FileTree;

/// Counts up with every change of the structures here.
pub(crate) const IMAGE_VERSION: u32 = 2;

/// Everything of one sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SandboxImage {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) default_context: String,
    /// For how long it has run.
    pub(crate) uptime: Duration,
    pub(crate) contexts: BTreeMap<String, ContextImage>,
    pub(crate) files: FileTree,
}

/// One context.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContextImage {
    pub(crate) cwd: String,
    pub(crate) executions: u64,
    pub(crate) rewritten: RewrittenLines,
    /// As the interpreter writes it, with its own version.
    pub(crate) dump: Vec<u8>,
    pub(crate) sleeping: Option<SleeperImage>,
}

/// What the dump of a sleeping session does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SleeperImage {
    /// At which uptime it ends: a pause does not count towards it.
    pub(crate) until: Duration,
    pub(crate) env: BTreeMap<String, String>,
}
