//! Reading a checkpoint, with every byte checked before any is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use rayon::prelude::*;
use uuid::Uuid;

use super::objects::{Readable, on_the_cores};
use super::place::SandboxPlace;
use super::unpack::{Damaged, unpack_one};
use super::{CheckpointKey, CheckpointStore, EngineVersion, EnvelopeHeader, StoreError};
use crate::chunks::{self, ChunkRef, Packed};
use crate::encryption::TenantKeys;
use crate::envelope::{self, Entry, Holder, PREFIX_BYTES, REMOVED};

/// Chunks side by side are read at once, up to so many bytes.
const MAX_SPAN_BYTES: u64 = 4 << 20;
/// Spans that are read at a time.
const PARALLEL_SPANS: usize = 8;

/// A sound envelope.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) bytes: Bytes,
    pub(super) header: EnvelopeHeader,
    pub(super) entries: Vec<Entry>,
}

/// The stored bytes of chunks, by what holds them and where they begin in it.
type Spans = BTreeMap<(Holder, u64), Bytes>;

impl CheckpointStore {
    /// The header alone; reads nothing of the body.
    pub(super) async fn read_header(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?.envelope(key.generation);
        let missing = || StoreError::NotFound { key: key.clone() };
        let damaged = |source| StoreError::Envelope {
            key: key.clone(),
            source,
        };

        // Of one file: by its name each read may find another one, which a compaction has put there meanwhile.
        let file = self.objects.open(&place).await?.ok_or_else(missing)?;
        let size = file.bytes();
        let prefix_end = size.min(PREFIX_BYTES as u64);
        let prefix = self
            .objects
            .read_from(&file, 0..prefix_end)
            .await?
            .ok_or_else(missing)?;
        if *prefix == REMOVED {
            return Err(missing());
        }
        let prefix = envelope::decode_prefix(&prefix).map_err(damaged)?;
        let header_end = size.min(prefix_end + u64::from(prefix.header_bytes));
        let header = self
            .objects
            .read_from(&file, prefix_end..header_end)
            .await?
            .ok_or_else(missing)?;
        let header = envelope::decode_header(&prefix, &header, size).map_err(damaged)?;
        expect_key(key, &header)?;
        Ok(header)
    }

    /// The whole envelope, checked, of that very checkpoint.
    pub(super) async fn read_envelope(&self, key: &CheckpointKey) -> Result<Sealed, StoreError> {
        let sealed = self.read_sealed(key).await?;
        sealed.ok_or_else(|| StoreError::NotFound { key: key.clone() })
    }

    /// As [`read_envelope`](Self::read_envelope); `None` when the generation was removed or is not there.
    pub(super) async fn read_sealed(&self, key: &CheckpointKey) -> Result<Option<Sealed>, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?.envelope(key.generation);
        let bytes = self.objects.read(&place).await?;
        let Some(bytes) = bytes.filter(|bytes| **bytes != REMOVED) else {
            return Ok(None);
        };
        let damaged = |source| StoreError::Envelope {
            key: key.clone(),
            source,
        };
        let (header, entries) = envelope::decode(&bytes, &self.keys).map_err(damaged)?;
        expect_key(key, &header)?;
        Ok(Some(Sealed { bytes, header, entries }))
    }

    /// The payload of a sound envelope, whose packs are there and have their lengths.
    pub(super) async fn open_sealed(&self, key: &CheckpointKey, sealed: Sealed) -> Result<SealedPayload, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?;
        let Sealed { bytes, header, entries } = sealed;
        let mut packs = Vec::with_capacity(header.packs.len());
        for pack in &header.packs {
            let missing = StoreError::PackMissing {
                key: key.clone(),
                pack: pack.id,
            };
            let file = self.objects.open(&place.pack(pack.id)).await?.ok_or(missing)?;
            let found = file.bytes();
            packs.push(file);
            if found != pack.bytes {
                return Err(StoreError::PackSize {
                    key: key.clone(),
                    pack: pack.id,
                    expected: pack.bytes,
                    found,
                });
            }
        }
        let kept_here = usize::try_from(envelope::kept_here(&header, bytes.len() as u64)).unwrap_or(usize::MAX);
        let mut starts = Vec::with_capacity(entries.len());
        let mut start = 0;
        for entry in &entries {
            starts.push(start);
            start += u64::from(entry.chunk.length);
        }
        Ok(SealedPayload {
            store: self.clone(),
            place,
            key: key.clone(),
            packs,
            kept_here: bytes.slice(kept_here.min(bytes.len())..),
            header,
            entries,
            starts,
        })
    }

    /// As [`open_sealed`](Self::open_sealed), also when a compaction replaces the packs right now.
    pub(super) async fn open_as_it_is(
        &self,
        key: &CheckpointKey,
        mut sealed: Sealed,
    ) -> Result<SealedPayload, StoreError> {
        loop {
            let envelope = sealed.bytes.clone();
            match self.open_sealed(key, sealed).await {
                Err(missing @ StoreError::PackMissing { .. }) => {
                    sealed = self.read_envelope(key).await?;
                    if sealed.bytes == envelope {
                        return Err(missing);
                    }
                }
                done => return done,
            }
        }
    }

    async fn read_span(
        &self,
        key: &CheckpointKey,
        file: &Readable,
        holder: Holder,
        pack: Uuid,
        span: Range<u64>,
    ) -> Result<((Holder, u64), Bytes), StoreError> {
        let start = span.start;
        match self.objects.read_from(file, span).await? {
            Some(bytes) => Ok(((holder, start), bytes)),
            None => Err(StoreError::PackMissing { key: key.clone(), pack }),
        }
    }
}

/// Joins ranges that touch or overlap, up to [`MAX_SPAN_BYTES`]; each range is in one span.
fn spans_of(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let ranges: BTreeSet<(u64, u64)> = ranges.map(|range| (range.start, range.end)).collect();
    let mut spans: Vec<Range<u64>> = Vec::new();
    for (start, end) in ranges {
        match spans.last_mut() {
            Some(span) if start <= span.end && end.max(span.end) - span.start <= MAX_SPAN_BYTES => {
                span.end = span.end.max(end);
            }
            _ => spans.push(start..end),
        }
    }
    spans
}

fn stored(spans: &Spans, entry: &Entry) -> Option<Bytes> {
    let upto = spans.range((entry.holder, 0)..=(entry.holder, entry.offset));
    let ((_, start), span) = upto.last()?;
    let from = usize::try_from(entry.offset - start).ok()?;
    let end = from.checked_add(entry.stored_bytes as usize)?;
    (end <= span.len()).then(|| span.slice(from..end))
}

/// The payload of a sound envelope. What is read of it is checked first.
#[derive(Clone, Debug)]
pub(crate) struct SealedPayload {
    pub(super) store: CheckpointStore,
    pub(super) place: SandboxPlace,
    pub(super) key: CheckpointKey,
    pub(super) header: EnvelopeHeader,
    /// In the order of the header.
    pub(super) packs: Vec<Readable>,
    /// The chunks that the envelope keeps itself.
    pub(super) kept_here: Bytes,
    pub(super) entries: Vec<Entry>,
    /// Where each chunk begins in the payload.
    pub(super) starts: Vec<u64>,
}

impl SealedPayload {
    /// Where all of its sandbox is.
    pub(super) fn folder(&self) -> &object_store::path::Path {
        self.place.folder()
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.header.payload_bytes
    }

    /// Some of its bytes, which it has.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let chunks = self.chunks_of(&range);
        let start = self.starts[chunks.start];
        let plain: Bytes = self.read_chunks(chunks).await?.into();
        let place = |at: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
        Ok(plain.slice(place(range.start)..place(range.end)))
    }

    /// The chunks that have some of its bytes, by their places in the table. There has to be a byte.
    pub(super) fn chunks_of(&self, range: &Range<u64>) -> Range<usize> {
        let first = self.starts.partition_point(|start| *start <= range.start).max(1) - 1;
        first..self.starts.partition_point(|start| *start < range.end)
    }

    /// All of it.
    pub(super) async fn read_all(&self) -> Result<Vec<u8>, StoreError> {
        self.read_chunks(0..self.entries.len()).await
    }

    /// Reads all of it and keeps nothing.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let mut first = 0;
        while first < self.entries.len() {
            let upto = self.starts[first] + MAX_SPAN_BYTES;
            let behind = self.starts.partition_point(|start| *start < upto);
            self.read_chunks(first..behind).await?;
            first = behind;
        }
        Ok(())
    }

    /// The chunks with these places in the table, one after the other.
    pub(super) async fn read_chunks(&self, chunks: Range<usize>) -> Result<Vec<u8>, StoreError> {
        let mut spans = self.read_spans(&self.entries[chunks.clone()]).await?;
        spans.insert((Holder::Envelope, 0), self.kept_here.clone());
        let (header, entries) = (self.header.clone(), self.entries[chunks].to_vec());
        let keys = self.store.keys.clone();
        let unpack = move || unpack_all(&header, &entries, &spans, &keys);
        let unpacked = on_the_cores("unpack chunks of", self.place.folder(), unpack).await?;
        unpacked.map_err(|damaged| self.damaged(damaged))
    }

    /// The stored form of some of its chunks, which are not encrypted.
    pub(super) async fn read_packed(&self, entries: Vec<Entry>) -> Result<Vec<(ChunkRef, Packed)>, StoreError> {
        let mut spans = self.read_spans(&entries).await?;
        spans.insert((Holder::Envelope, 0), self.kept_here.clone());
        let packed = move || {
            let packed = entries.iter().map(|entry| {
                let (chunk, form) = (entry.chunk, entry.form);
                let stored = stored(&spans, entry).filter(|stored| chunks::is_intact(&chunk, &form, stored, None));
                let stored = stored.ok_or_else(|| Damaged::changed(entry))?;
                Ok((chunk, Packed { form, stored }))
            });
            packed.collect()
        };
        let packed: Result<_, Damaged> = on_the_cores("check chunks of", self.place.folder(), packed).await?;
        packed.map_err(|damaged| self.damaged(damaged))
    }

    /// Reads what packs hold of `entries`.
    async fn read_spans(&self, entries: &[Entry]) -> Result<Spans, StoreError> {
        let mut reads = Vec::new();
        for ((nth, pack), file) in (0..).zip(&self.header.packs).zip(&self.packs) {
            let holder = Holder::Pack(nth);
            let ranges = entries.iter().filter(|entry| entry.holder == holder).map(Entry::range);
            for span in spans_of(ranges) {
                reads.push(self.store.read_span(&self.key, file, holder, pack.id, span));
            }
        }
        futures::stream::iter(reads)
            .buffer_unordered(PARALLEL_SPANS)
            .try_collect()
            .await
    }
}

/// The plain bytes of chunks that follow each other.
fn unpack_all(
    header: &EnvelopeHeader,
    entries: &[Entry],
    spans: &Spans,
    keys: &TenantKeys,
) -> Result<Vec<u8>, Damaged> {
    let bytes = entries.iter().map(|entry| entry.chunk.length as usize).sum();
    let mut payload = vec![0; bytes];
    let mut rest = payload.as_mut_slice();
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries {
        let (plain, behind) = rest.split_at_mut(entry.chunk.length as usize);
        places.push((entry, plain));
        rest = behind;
    }
    let unpack = |(entry, plain): (&Entry, &mut [u8])| {
        let stored = stored(spans, entry).unwrap_or_default();
        unpack_one(header, keys, entry, &stored, plain)
    };
    if bytes < chunks::SPREAD_BYTES {
        places.into_iter().try_for_each(unpack)?;
    } else {
        places.into_par_iter().try_for_each(unpack)?;
    }
    Ok(payload)
}

/// Refuses a checkpoint that only this engine in this version could restore, when it is another.
pub(super) fn expect_engine(
    key: &CheckpointKey,
    expected: &EngineVersion,
    header: &EnvelopeHeader,
) -> Result<(), StoreError> {
    let (key, expected, found) = (key.clone(), expected.clone(), header.engine.clone());
    if expected.name != found.name {
        return Err(StoreError::OtherEngine { key, expected, found });
    }
    if expected.version != found.version {
        return Err(StoreError::OtherEngineVersion { key, expected, found });
    }
    Ok(())
}

/// How a record says the digest of a sealed envelope.
pub(super) fn digest_of(header: &EnvelopeHeader) -> String {
    format!("blake3:{}", envelope::digest(header).to_hex())
}

/// Refuses a checkpoint that is not the one on record.
pub(super) fn expect_digest(
    key: &CheckpointKey,
    recorded: Option<&str>,
    header: &EnvelopeHeader,
) -> Result<(), StoreError> {
    let found = digest_of(header);
    match recorded {
        Some(recorded) if recorded != found => Err(StoreError::OtherDigest {
            key: key.clone(),
            recorded: recorded.to_owned(),
            found,
        }),
        Some(_) | None => Ok(()),
    }
}

fn expect_key(key: &CheckpointKey, header: &EnvelopeHeader) -> Result<(), StoreError> {
    let found = CheckpointKey {
        sandbox_uid: header.sandbox_uid.clone(),
        generation: header.generation,
    };
    if found == *key {
        Ok(())
    } else {
        Err(StoreError::OtherCheckpoint {
            key: key.clone(),
            found,
        })
    }
}
