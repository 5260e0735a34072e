//! Writing a part of a checkpoint into a file, every byte checked before.
//!
//! To touch memory for the first time costs more than all that is done here with the bytes in it. So chunks go, a few
//! at a time, through two buffers of each core, and never through one that holds the whole part.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::StoreError;
use super::objects::{Readable, on_the_cores};
use super::restore::SealedPayload;
use super::unpack::{Damaged, unpack_one};
use crate::chunks::SPREAD_BYTES;
use crate::envelope::{Entry, Holder};
use crate::payload::PayloadError;

/// Plain bytes that are written at once, more or less.
const GROUP_BYTES: u64 = 512 << 10;

/// What a core needs, again and again.
#[derive(Default)]
struct Buffers {
    stored: Vec<u8>,
    plain: Vec<u8>,
}

/// Where a part of a payload goes.
struct Target<'a> {
    /// The part.
    range: Range<u64>,
    file: &'a File,
    /// Where in the file its first byte goes.
    at: u64,
    path: &'a Path,
}

impl SealedPayload {
    /// Whether all of it can be read without waiting for more than a disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.packs.iter().all(|pack| matches!(pack, Readable::Open(_)))
    }

    /// Writes some of its bytes, which it has, into a file from `at` on. It has to be [on disk](Self::is_on_disk).
    ///
    /// # Errors
    /// Anything of it is missing or damaged, or the file cannot be written.
    pub(crate) async fn copy_to(
        self: &Arc<Self>,
        range: Range<u64>,
        file: &Arc<File>,
        at: u64,
        path: &Path,
    ) -> Result<(), PayloadError> {
        if range.is_empty() {
            return Ok(());
        }
        let (payload, file, path) = (Arc::clone(self), Arc::clone(file), path.to_owned());
        let copy = move || {
            let target = Target {
                range,
                file: &file,
                at,
                path: &path,
            };
            let groups = payload.groups(payload.chunks_of(&target.range));
            if target.range.end - target.range.start < SPREAD_BYTES as u64 {
                let mut buffers = Buffers::default();
                let mut groups = groups.into_iter();
                return groups.try_for_each(|group| payload.copy_group(&mut buffers, group, &target));
            }
            let groups = groups.into_par_iter();
            groups.try_for_each_init(Buffers::default, |buffers, group| {
                payload.copy_group(buffers, group, &target)
            })
        };
        on_the_cores("copy chunks of", self.place.folder(), copy).await?
    }

    /// Chunks that follow each other, in parts that are written at once.
    fn groups(&self, chunks: Range<usize>) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for nth in chunks {
            match groups.last_mut() {
                Some(last) if self.starts[nth] - self.starts[last.start] < GROUP_BYTES => last.end = nth + 1,
                _ => groups.push(nth..nth + 1),
            }
        }
        groups
    }

    fn copy_group(&self, buffers: &mut Buffers, group: Range<usize>, target: &Target<'_>) -> Result<(), PayloadError> {
        let Buffers { stored, plain } = buffers;
        self.unpack_into(group.clone(), stored, plain)?;
        let start = self.starts[group.start];
        let wanted = target.range.start.max(start)..target.range.end.min(start + plain.len() as u64);
        let place = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        let wanted_bytes = &plain[place(wanted.start)..place(wanted.end)];
        let written = target
            .file
            .write_all_at(wanted_bytes, target.at + (wanted.start - target.range.start));
        written.map_err(PayloadError::file("write", target.path))
    }

    /// Makes `plain` the bytes of chunks that follow each other, by way of `stored`.
    fn unpack_into(&self, chunks: Range<usize>, stored: &mut Vec<u8>, plain: &mut Vec<u8>) -> Result<(), StoreError> {
        let entries = &self.entries[chunks];
        plain.resize(entries.iter().map(|entry| entry.chunk.length as usize).sum(), 0);
        let mut rest = plain.as_mut_slice();
        for entry in entries {
            let (chunk, behind) = rest.split_at_mut(entry.chunk.length as usize);
            rest = behind;
            self.read_stored(entry, stored)?;
            let unpacked = unpack_one(&self.header, &self.store.keys, entry, stored, chunk);
            unpacked.map_err(|damaged| self.damaged(damaged))?;
        }
        Ok(())
    }

    /// Where in some of its bytes, which it has, chunks begin.
    pub(crate) fn cuts(&self, range: &Range<u64>) -> Vec<u64> {
        if range.is_empty() {
            return Vec::new();
        }
        let begin = |start: &u64| start.saturating_sub(range.start);
        self.starts[self.chunks_of(range)].iter().map(begin).collect()
    }

    /// Makes `plain` some of its bytes, which it has, on this very thread, by way of `stored`. It has to be
    /// [on disk](Self::is_on_disk).
    ///
    /// # Errors
    /// Anything of it is missing or damaged.
    pub(crate) fn read_here(
        &self,
        range: &Range<u64>,
        stored: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        if range.is_empty() {
            plain.clear();
            return Ok(());
        }
        let chunks = self.chunks_of(range);
        let in_front = range.start - self.starts[chunks.start];
        self.unpack_into(chunks, stored, plain)?;
        let place = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX).min(plain.len());
        let (in_front, behind) = (place(in_front), place(in_front + (range.end - range.start)));
        plain.truncate(behind);
        plain.drain(..in_front);
        Ok(())
    }

    /// The stored bytes of a chunk; of one that nothing holds there are none, which its check refuses.
    fn read_stored(&self, entry: &Entry, stored: &mut Vec<u8>) -> Result<(), StoreError> {
        stored.clear();
        match entry.holder {
            Holder::Envelope => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let range = place(entry.range().start)..place(entry.range().end);
                stored.extend_from_slice(self.kept_here.get(range).unwrap_or_default());
                Ok(())
            }
            Holder::Pack(nth) => match self.packs.get(usize::from(nth)) {
                Some(Readable::Open(file)) => {
                    stored.resize(entry.stored_bytes as usize, 0);
                    file.read_into(entry.offset, stored)
                }
                Some(Readable::At(..)) | None => Ok(()),
            },
        }
    }

    /// The error of a chunk that is not as it was written.
    pub(super) fn damaged(&self, Damaged { chunk, source }: Damaged) -> StoreError {
        StoreError::ChunkDamaged {
            key: self.key.clone(),
            chunk,
            source,
        }
    }
}
