//! The written form of a sandbox: every session as the interpreter dumps it, and its files.
//!
//! ```text
//! the dumps of its contexts, in their order │ SandboxImage │ length of that, 4 bytes, little-endian
//! ```
//!
//! The description is last: the dumps are stored while they are written, and how long they get is known afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::imports::RewrittenLines;
use super::written::WriteError;
use crate::files::FileTree;
use crate::payload::{PayloadError, PayloadWriter};

/// Counts up with every change of the structures here.
pub(crate) const IMAGE_VERSION: u32 = 6;
/// Bytes of the length behind an image.
const LENGTH_BYTES: usize = 4;

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
    /// Writes the image behind the dumps of its contexts, which were written before.
    pub(crate) fn write_behind_dumps(&self, writer: &mut PayloadWriter) -> Result<(), WriteError> {
        let image = postcard::to_allocvec(self)?;
        let bytes = u32::try_from(image.len()).map_err(|_| WriteError::TooLarge { bytes: image.len() })?;
        writer.write(&image)?;
        writer.write(&bytes.to_le_bytes())?;
        Ok(())
    }

    /// Reads what was written, the contexts with their dumps.
    pub(crate) fn from_bytes(payload: &Bytes) -> Result<Self, PayloadError> {
        let ends = |needed: usize| PayloadError::Ends {
            bytes: payload.len() as u64,
            needed: needed as u64,
        };
        let (rest, length) = payload
            .split_last_chunk::<LENGTH_BYTES>()
            .ok_or_else(|| ends(LENGTH_BYTES))?;
        let length = u32::from_le_bytes(*length) as usize;
        let dumps = rest
            .len()
            .checked_sub(length)
            .ok_or_else(|| ends(LENGTH_BYTES + length))?;
        let mut image: Self = postcard::from_bytes(&rest[dumps..])?;
        let mut dumps = payload.slice(..dumps);
        for context in image.contexts.values_mut() {
            let bytes = usize::try_from(context.dump_bytes).unwrap_or(usize::MAX);
            if bytes > dumps.len() {
                return Err(ends(payload.len() - dumps.len() + bytes));
            }
            context.dump = dumps.split_to(bytes);
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
    /// Bytes of the dump; the dumps are in front, in the order of the contexts.
    pub(crate) dump_bytes: u64,
    /// As the interpreter writes it, with its own version.
    #[serde(skip)]
    pub(crate) dump: Bytes,
    pub(crate) sleeping: Option<SleeperImage>,
    /// What was accepted and has not begun, in its order.
    pub(crate) waiting: Vec<WaitingImage>,
}

/// Code that waits for its context.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WaitingImage {
    pub(crate) code: String,
    pub(crate) env: BTreeMap<String, String>,
}

/// What the dump of a sleeping session does not hold.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SleeperImage {
    /// At which uptime it ends: a pause does not count towards it.
    pub(crate) until: Duration,
    pub(crate) env: BTreeMap<String, String>,
    /// Bytes of memory that it has added so far.
    pub(crate) added: u64,
}
