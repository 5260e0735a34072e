//! What a payload is made of.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::growing::Growing;
use super::small_files::SmallFiles;
use crate::chunks::Grain;
use crate::store::Taken;

/// Bytes side by side that come from one place.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Memory(Bytes),
    File {
        file: Arc<File>,
        path: PathBuf,
        bytes: u64,
        grain: Grain,
    },
    /// Side by side, no longer than a segment in all.
    SmallFiles(SmallFiles),
    /// Not to be read again.
    Taken(Taken),
    /// Still written, by somebody else.
    Growing(Growing),
}

impl Part {
    /// Its bytes, none while it is still written.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { bytes, .. }
            | Self::SmallFiles(SmallFiles { bytes, .. })
            | Self::Taken(Taken { bytes, .. }) => *bytes,
            Self::Growing(_) => 0,
        }
    }

    /// Where it is cut, if that was not done already.
    pub(super) fn grain(&self) -> Grain {
        match self {
            Self::File { grain, .. } => *grain,
            Self::Memory(_) | Self::SmallFiles(_) | Self::Taken(_) | Self::Growing(_) => Grain::Byte,
        }
    }
}
