//! Small files side by side that are read when they are stored: a program may have changed more of them than fit in memory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::PayloadError;

/// Files with the bytes of each.
#[derive(Clone, Debug, Default)]
pub(super) struct SmallFiles {
    files: Vec<(PathBuf, u64)>,
    /// Of all of them.
    pub(super) bytes: u64,
}

impl SmallFiles {
    /// Adds one that has so many bytes.
    pub(super) fn push(&mut self, path: &Path, bytes: u64) {
        self.files.push((path.to_owned(), bytes));
        self.bytes += bytes;
    }

    /// Adds what they have to `buffer`.
    ///
    /// # Errors
    /// One cannot be read, or has become shorter.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> Result<(), PayloadError> {
        for (path, bytes) in &self.files {
            let file = File::open(path).map_err(PayloadError::file("open", path))?;
            let read = file.take(*bytes).read_to_end(buffer);
            if read.map_err(PayloadError::file("read", path))? as u64 != *bytes {
                let cut = std::io::ErrorKind::UnexpectedEof.into();
                return Err(PayloadError::file("read", path)(cut));
            }
        }
        Ok(())
    }
}
