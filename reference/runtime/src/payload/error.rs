//! Why a payload cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Why a payload cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The store does not have it, or not whole.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is shorter than it has to be.
    #[error("the payload has {bytes} bytes, and {needed} are needed")]
    Ends {
        /// Its bytes.
        bytes: u64,
        /// Bytes that were looked for.
        needed: u64,
    },
    /// A description in it is damaged, or has no written form.
    #[error("read the description in front of a payload")]
    Head(#[from] postcard::Error),
    /// Part of it is in a store already, and cannot be read.
    #[error("a part of the payload was taken by a store, and can be sealed there only")]
    Taken,
    /// Whoever writes it while it is read could not go on.
    #[error("a part of the payload could not be written")]
    Writer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whoever writes it while it is read is gone.
    #[error("the writer of the payload ended before all was written")]
    Cut,
    /// A file of it is not as it was when it was first read.
    #[error("a file of the payload changed while it was being stored")]
    Changed,
    /// A file that takes or gives it fails.
    #[error("{attempt} {path}")]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PayloadError {
    pub(crate) fn file(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { attempt, path, source }
    }
}
