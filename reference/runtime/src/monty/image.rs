//! The written form of a sandbox: every session as the interpreter dumps it, and its files.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::imports::RewrittenLines;
use crate::files::FileTree;
use crate::payload::{Payload, PayloadError};

/// Counts up with every change of the structures here.
pub(crate) const IMAGE_VERSION: u32 = 3;

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

impl SandboxImage {
    /// The image with its dumps, which are not copied.
    pub(crate) fn into_payload(mut self) -> Result<Payload, PayloadError> {
        let mut dumps = Payload::default();
        for context in self.contexts.values_mut() {
            context.dump_bytes = context.dump.len() as u64;
            dumps.push(std::mem::take(&mut context.dump));
        }
        Payload::headed(&self, dumps)
    }

    /// Reads what [`into_payload`](Self::into_payload) wrote.
    pub(crate) fn from_bytes(payload: &Bytes) -> Result<Self, PayloadError> {
        let ends = |needed: u64| PayloadError::Ends {
            bytes: payload.len() as u64,
            needed,
        };
        let take = |rest: &mut Bytes, bytes: u64| match usize::try_from(bytes) {
            Ok(bytes) if bytes <= rest.len() => Ok(rest.split_to(bytes)),
            Ok(_) | Err(_) => Err(ends((payload.len() - rest.len()) as u64 + bytes)),
        };
        let mut rest = payload.clone();
        let length = take(&mut rest, 4)?;
        let length = length.as_ref().try_into().map_or(0, u32::from_le_bytes);
        let mut image: Self = postcard::from_bytes(&take(&mut rest, u64::from(length))?)?;
        for context in image.contexts.values_mut() {
            context.dump = take(&mut rest, context.dump_bytes)?;
        }
        Ok(image)
    }
}

/// One context.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContextImage {
    pub(crate) cwd: String,
    pub(crate) executions: u64,
    pub(crate) rewritten: RewrittenLines,
    /// Bytes of the dump; the dumps follow, in the order of the contexts.
    pub(crate) dump_bytes: u64,
    /// As the interpreter writes it, with its own version.
    #[serde(skip)]
    pub(crate) dump: Bytes,
    pub(crate) sleeping: Option<SleeperImage>,
}

/// What the dump of a sleeping session does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SleeperImage {
    /// At which uptime it ends: a pause does not count towards it.
    pub(crate) until: Duration,
    pub(crate) env: BTreeMap<String, String>,
}
