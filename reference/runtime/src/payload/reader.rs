//! Reading a payload in parts: from memory, or from a store that checks each part first.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::PayloadError;
use crate::store::SealedPayload;

/// Bytes that are read from a store at once when a range is copied, and how many such reads are under way.
const WINDOW_BYTES: u64 = 4 << 20;
const WINDOWS: usize = 3;
/// Bytes that are read at once from its beginning on where that costs little: what follows may be pages that come later.
const NEAR_BYTES: u64 = 512 << 10;
/// Up to so many bytes are read from a disk, or written to it, by whoever wants that. Another thread may be woken on a core on
/// which somebody else runs, and waits there for the other one's slice to end, which is longer than to read them.
pub(crate) const LITTLE_BYTES: u64 = 1 << 20;
/// What is in memory can be read in any parts; these are as large as chunks are.
const CUT_BYTES: u64 = 64 << 10;

/// A payload that is stored, or a range of one. Clones read the same one.
#[derive(Clone, Debug)]
pub struct PayloadReader {
    source: Source,
    range: Range<u64>,
}

#[derive(Clone, Debug)]
enum Source {
    Memory(Bytes),
    Sealed(Arc<SealedPayload>),
}

impl PayloadReader {
    pub(crate) fn sealed(payload: SealedPayload) -> Self {
        Self {
            range: 0..payload.len(),
            source: Source::Sealed(Arc::new(payload)),
        }
    }

    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// A part of it.
    ///
    /// # Errors
    /// It ends before.
    pub fn slice(&self, range: Range<u64>) -> Result<Self, PayloadError> {
        if range.start > range.end || range.end > self.len() {
            return Err(PayloadError::Ends {
                bytes: self.len(),
                needed: range.end,
            });
        }
        Ok(Self {
            source: self.source.clone(),
            range: self.range.start + range.start..self.range.start + range.end,
        })
    }

    /// Its first `bytes`, and the rest.
    ///
    /// # Errors
    /// It has fewer.
    pub fn split_at(&self, bytes: u64) -> Result<(Self, Self), PayloadError> {
        Ok((self.slice(0..bytes)?, self.slice(bytes.min(self.len())..self.len())?))
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// The store fails, or anything of it is missing or damaged.
    pub async fn read(&self) -> Result<Bytes, PayloadError> {
        match &self.source {
            Source::Memory(bytes) => {
                let range = |place| usize::try_from(place).unwrap_or(usize::MAX);
                Ok(bytes.slice(range(self.range.start)..range(self.range.end)))
            }
            Source::Sealed(sealed) => Ok(sealed.read(self.range.clone()).await?),
        }
    }

    /// As [`read`](Self::read), on this thread where that is soon done.
    async fn read_little(&self) -> Result<Bytes, PayloadError> {
        match &self.source {
            Source::Sealed(sealed) if sealed.is_on_disk() && self.len() <= LITTLE_BYTES => {
                let (mut stored, mut plain) = (Vec::new(), Vec::new());
                sealed.read_here(&self.range, &mut stored, &mut plain)?;
                Ok(plain.into())
            }
            Source::Sealed(_) | Source::Memory(_) => self.read().await,
        }
    }

    /// Where the parts of it begin that are checked by themselves, so that each should be read once and as a whole.
    pub(crate) fn cuts(&self) -> Vec<u64> {
        match &self.source {
            Source::Sealed(sealed) => sealed.cuts(&self.range),
            Source::Memory(_) => (0..self.len().div_ceil(CUT_BYTES)).map(|nth| nth * CUT_BYTES).collect(),
        }
    }

    /// Whether [`read_here`](Self::read_here) waits for no more than a disk.
    pub(crate) fn is_at_hand(&self) -> bool {
        match &self.source {
            Source::Sealed(sealed) => sealed.is_on_disk(),
            Source::Memory(_) => true,
        }
    }

    /// Makes `plain` all of it, on this thread, which may be none of an async runtime's; `stored` is room for what is
    /// in between, and a store that is away is asked by way of `runtime`.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(crate) fn read_here(
        &self,
        runtime: &Handle,
        stored: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), PayloadError> {
        match &self.source {
            Source::Sealed(sealed) if sealed.is_on_disk() => Ok(sealed.read_here(&self.range, stored, plain)?),
            Source::Sealed(_) | Source::Memory(_) => {
                let bytes = runtime.block_on(self.read())?;
                plain.clear();
                plain.extend_from_slice(&bytes);
                Ok(())
            }
        }
    }

    /// Copies it into a file from `at` on, a piece at a time.
    ///
    /// # Errors
    /// It cannot be read, as for [`read`](Self::read), or the file not be written.
    pub async fn copy_to(&self, file: &Arc<File>, at: u64, path: &Path) -> Result<(), PayloadError> {
        match &self.source {
            Source::Sealed(sealed) if sealed.is_on_disk() => sealed.copy_to(self.range.clone(), file, at, path).await,
            Source::Sealed(_) | Source::Memory(_) => self.copy_windows(file, at, path).await,
        }
    }

    /// As [`copy_to`](Self::copy_to), by way of memory: while one part is waited for another is written.
    async fn copy_windows(&self, file: &Arc<File>, at: u64, path: &Path) -> Result<(), PayloadError> {
        let windows = (0..self.len().div_ceil(WINDOW_BYTES)).map(|nth| {
            let start = nth * WINDOW_BYTES;
            let (file, path) = (Arc::clone(file), path.to_owned());
            async move {
                let bytes = self.slice(start..self.len().min(start + WINDOW_BYTES))?.read().await?;
                let written = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, at + start)).await;
                written
                    .map_err(io::Error::other)
                    .flatten()
                    .map_err(PayloadError::file("write", &path))
            }
        });
        futures::stream::iter(windows)
            .buffer_unordered(WINDOWS)
            .try_collect()
            .await
    }
}

impl<T: Into<Bytes>> From<T> for PayloadReader {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self {
            range: 0..bytes.len() as u64,
            source: Source::Memory(bytes),
        }
    }
}

/// Reads a payload from its beginning on, some bytes at a time.
#[derive(Debug)]
pub struct PayloadCursor {
    rest: PayloadReader,
    window: Bytes,
}

impl PayloadCursor {
    /// Begins at the first byte.
    #[must_use]
    pub fn new(payload: PayloadReader) -> Self {
        Self {
            rest: payload,
            window: Bytes::new(),
        }
    }

    /// The description that [`Payload::headed`] put here.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub async fn head<T: DeserializeOwned>(&mut self) -> Result<T, PayloadError> {
        let length = self.take(4).await?;
        let length = length.as_ref().try_into().map_or(0, u32::from_le_bytes);
        Ok(postcard::from_bytes(&self.take(u64::from(length)).await?)?)
    }

    /// What has not been taken.
    #[must_use]
    pub fn rest(self) -> PayloadReader {
        self.unread()
    }

    /// Bytes that are left.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.window.len() as u64 + self.rest.len()
    }

    /// The next `bytes` as a reader of their own.
    ///
    /// # Errors
    /// There are fewer.
    pub fn skip(&mut self, bytes: u64) -> Result<PayloadReader, PayloadError> {
        let behind = self.unread();
        let (taken, rest) = behind.split_at(bytes)?;
        self.window = Bytes::new();
        self.rest = rest;
        Ok(taken)
    }

    /// The next `bytes`.
    ///
    /// # Errors
    /// There are fewer, or they cannot be read.
    pub async fn take(&mut self, bytes: u64) -> Result<Bytes, PayloadError> {
        if bytes > self.remaining() {
            return Err(PayloadError::Ends {
                bytes: self.remaining(),
                needed: bytes,
            });
        }
        if bytes > self.window.len() as u64 {
            let unread = self.unread();
            // Of what is far away more is read than is asked for: each way there takes long.
            let ahead = if unread.is_at_hand() { NEAR_BYTES } else { WINDOW_BYTES };
            let (window, rest) = unread.split_at(unread.len().min(bytes.max(ahead)))?;
            self.window = window.read_little().await?;
            self.rest = rest;
        }
        // Fits: the window has that many.
        Ok(self.window.split_to(usize::try_from(bytes).unwrap_or(usize::MAX)))
    }

    /// What follows, the window included.
    fn unread(&self) -> PayloadReader {
        PayloadReader {
            source: self.rest.source.clone(),
            range: self.rest.range.start - self.window.len() as u64..self.rest.range.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cursor_gives_what_follows_and_no_more() {
        let reader = PayloadReader::from((0..100_u8).collect::<Vec<_>>());
        let mut cursor = PayloadCursor::new(reader.slice(10..90).expect("a part"));
        assert_eq!(cursor.take(3).await.expect("read").as_ref(), [10, 11, 12]);
        let skipped = cursor.skip(5).expect("there").read().await.expect("read");
        assert_eq!(skipped.as_ref(), [13, 14, 15, 16, 17]);
        assert_eq!(cursor.take(72).await.expect("read").last(), Some(&89));
        assert!(matches!(
            cursor.take(1).await,
            Err(PayloadError::Ends { bytes: 0, needed: 1 })
        ));
    }
}
