//! A payload that its envelope keeps, in one go: read, cut, named and written by one thread, since whoever waits for a
//! small checkpoint waits for threads longer than for the work.
//!
//! ```text
//!  still written:  run ──> run ──> ... ──> end        on disk:  room │ chunks as they come ... │
//!                                                               head │ <── written last
//! ```
//!
//! On disk chunks are written while the payload still is, behind room for what is in front of them. When it becomes too
//! large for an envelope, that is forgotten.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use torpor_api::CheckpointRecord;

use super::{Failed, Made, NoRemoval, Outcome, Seal, record_of};
use crate::chunks::Piece;
use crate::envelope::{Holder, KeptChunks};
use crate::payload::{Payload, Run, Runs};
use crate::step::Step;
use crate::store::StoreError;
use crate::store::depot::{self, Depot};
use crate::store::directory::{Aside, Directory};
use crate::store::objects::{self, Created, beside, on_the_cores};
use crate::store::pack::{self, Sieve, Surveyor};
use crate::store::plan::Reuse;

/// A payload of at most so many bytes is kept in its envelope: one file, one sync, nothing to rely on.
const SMALL_PAYLOAD_BYTES: u64 = 1 << 20;
/// The same for one that is written meanwhile. It is on disk when it has been written, and to find out what of it is
/// there already would take longer than that.
const EARLY_PAYLOAD_BYTES: u64 = 4 << 20;
/// With so many bytes a payload is written before its end is seen: to write them takes as long as to wake a thread.
const EARLY_BYTES: u64 = 64 << 10;
/// Less is written before anybody has begun to read it.
const BESIDE_BYTES: u64 = 128 << 10;
/// Bytes that are left for all in front of the chunks: enough for a table of chunks that are half as long as usual.
const ROOM_BYTES: usize = 12 << 10;

/// What a seal turns out to be.
enum SizedUp {
    /// To be put in place.
    Small(Small),
    /// It was tried to put it in place.
    Put(Small, Result<Created, StoreError>),
    /// Too large for an envelope.
    Large(Large),
}

/// A checkpoint without packs.
struct Small {
    record: CheckpointRecord,
    pieces: Vec<Piece>,
    /// The envelope, without chunks that are written already.
    parts: Vec<Bytes>,
    /// Bytes of its chunks.
    bytes: u64,
}

/// A payload that gets packs.
pub(super) enum Large {
    /// In memory or in files.
    Whole(Payload),
    /// Perhaps still written: what was read of it, and the rest.
    Growing(Vec<Run>, Runs),
}

/// What a payload looks like before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    /// There, or as good as.
    Whole,
    /// Written while it is read.
    LongInTheMaking,
}

impl Looks {
    fn of(payload: &Payload) -> Self {
        let is_long = payload.expected_bytes().is_none_or(|bytes| bytes >= BESIDE_BYTES);
        if payload.is_growing() && is_long {
            Self::LongInTheMaking
        } else {
            Self::Whole
        }
    }
}

/// How a call stands when its thread has done what it can.
enum Stands {
    Sealed(CheckpointRecord),
    /// A task goes on.
    GoesOn(JoinHandle<Result<CheckpointRecord, StoreError>>),
}

/// A payload on its way into an envelope.
struct Filling<'a> {
    seal: &'a Seal,
    sieve: Sieve,
    depot: Arc<Depot>,
    surveyor: Surveyor,
    /// All that was read.
    runs: Vec<Run>,
    /// How many of these were surveyed.
    surveyed: usize,
    bytes: u64,
    /// The most that an envelope keeps.
    limit: u64,
    is_growing: bool,
    aside: Option<Aside>,
    /// The chunks that were written, behind room for what comes in front of them.
    written: KeptChunks,
}

impl Seal {
    /// Seals a payload of which no store has taken any; nothing is removed meanwhile. Goes on to its end when it is
    /// dropped.
    pub(in crate::store) async fn at_once(
        self,
        payload: Payload,
        no_removal: NoRemoval,
    ) -> Result<CheckpointRecord, StoreError> {
        let (attempt, folder) = ("seal a checkpoint in", self.place.folder().clone());
        let (runtime, looks) = (Handle::current(), Looks::of(&payload));
        let work = move || match self.size_up(payload) {
            Ok(SizedUp::Put(small, Ok(Created::New))) => {
                self.store.steps.done(Step::Sealed);
                Stands::Sealed(small.record)
            }
            sized_up => Stands::GoesOn(runtime.spawn(async move {
                let _no_removal = no_removal;
                self.go_on(sized_up).await
            })),
        };
        let stands = match looks {
            Looks::Whole => on_the_cores(attempt, &folder, work).await?,
            Looks::LongInTheMaking => beside(attempt, &folder, work).await?,
        };
        match stands {
            Stands::Sealed(record) => Ok(record),
            Stands::GoesOn(rest) => rest
                .await
                .map_err(|source| objects::backend(attempt, &folder, source.into()))?,
        }
    }

    async fn go_on(&self, sized_up: Result<SizedUp, StoreError>) -> Result<CheckpointRecord, StoreError> {
        let done = match sized_up {
            Ok(SizedUp::Small(small)) => self.small(small).await,
            Ok(SizedUp::Put(small, created)) => self.became(small.record, created, &small.pieces).await,
            Ok(SizedUp::Large(large)) => Box::pin(self.large_from_its_beginning(large)).await,
            Err(error) => Err(error.into()),
        };
        self.ended(done).await
    }

    /// Reads until it is known what it will be; then does all of it, if it is small and nothing has to be asked first.
    /// Blocks.
    fn size_up(&self, payload: Payload) -> Result<SizedUp, StoreError> {
        let objects = &self.store.objects;
        objects.directory().map_or(Ok(()), Directory::check_now)?;
        let payload = payload.joined();
        let limit = self.limit(&payload);
        if payload.expected_bytes().is_some_and(|bytes| bytes > limit) {
            return Ok(SizedUp::Large(if payload.is_growing() {
                Large::Growing(Vec::new(), payload.runs())
            } else {
                Large::Whole(payload)
            }));
        }
        let (mut filling, mut rest) = (Filling::new(self, limit, payload.is_growing())?, payload.runs());
        let key = self.store.keys.sealing();
        while let Some(run) = rest.next(key).map_err(|source| self.unreadable(source))? {
            filling.take(run)?;
            if filling.bytes > limit {
                return Ok(SizedUp::Large(Large::Growing(filling.runs, rest)));
            }
        }
        filling.end()
    }

    /// The most that an envelope keeps of such a payload.
    fn limit(&self, payload: &Payload) -> u64 {
        let is_written_as_it_is = self.store.is_roomy_disk();
        if payload.is_growing() && is_written_as_it_is && self.store.keys.sealing().is_none() {
            EARLY_PAYLOAD_BYTES
        } else {
            SMALL_PAYLOAD_BYTES
        }
    }

    /// Puts a small checkpoint in place that was not.
    async fn small(&self, small: Small) -> Result<Outcome, Failed> {
        if self.store.quota.is_some() && self.is_there().await? {
            return Ok(Outcome::Sealed(self.sealed_before(&small.pieces).await?));
        }
        self.keep_to(self.store.room(&self.place, &self.key).await?, small.bytes)?;
        let staged = self.stage(small.parts, None).await?;
        self.commit(small.record, staged, &small.pieces).await
    }
}

impl<'a> Filling<'a> {
    fn new(seal: &'a Seal, limit: u64, is_growing: bool) -> Result<Self, StoreError> {
        // What does not fit into a quota is found out later, and is small.
        let place = depot::Place::Memory(Mutex::default());
        // A small payload is written sooner than asked about: its one write finds out.
        let directory = seal.store.objects.directory();
        let directory = directory.filter(|_| seal.store.quota.is_none());
        let envelope = seal.place.envelope(seal.key.generation);
        let aside = directory.map(|directory| directory.begin_now(&envelope, seal.attempt));
        Ok(Self {
            seal,
            sieve: Sieve::new(HashSet::new()),
            depot: seal.store.depot(seal.attempt, None, place),
            surveyor: Surveyor::default(),
            runs: Vec::new(),
            surveyed: 0,
            bytes: 0,
            limit,
            is_growing,
            aside: aside.transpose()?,
            written: KeptChunks::default(),
        })
    }

    fn take(&mut self, run: Run) -> Result<(), StoreError> {
        self.bytes += run.plain.len() as u64;
        self.runs.push(run);
        let is_early = self.is_growing && self.depot.takes_plain();
        if is_early && (EARLY_BYTES..=self.limit).contains(&self.bytes) {
            self.write_early()?;
        }
        Ok(())
    }

    fn write_early(&mut self) -> Result<(), StoreError> {
        self.survey()?;
        let Some(aside) = &self.aside else {
            return Ok(());
        };
        let chunks = self.depot.held_from(self.written.bytes());
        Directory::write_early_now(aside, &chunks, ROOM_BYTES as u64 + self.written.bytes())?;
        for stored in &chunks {
            self.written.add(stored);
        }
        Ok(())
    }

    /// Cuts and names are there already: puts the chunks of what was read in the depot.
    fn survey(&mut self) -> Result<(), StoreError> {
        for run in &self.runs[self.surveyed..] {
            let taken = self.surveyor.take(run.clone(), &self.sieve, &self.depot);
            taken.map_err(|error| self.seal.not_packed(error))?;
        }
        self.surveyed = self.runs.len();
        Ok(())
    }

    fn end(mut self) -> Result<SizedUp, StoreError> {
        self.survey()?;
        let is_early = self.written.bytes() > 0;
        if is_early {
            self.write_early()?;
        }
        let (survey, payload) = self.surveyor.end();
        let reuse = Reuse::default();
        let packed = pack::pack_new(&payload, survey, &reuse, Holder::Envelope, &self.depot);
        let (pieces, new) = packed.map_err(|error| self.seal.not_packed(error))?;
        let (bytes, held) = Depot::close(self.depot).map_err(|error| self.seal.not_packed(error))?;
        let chunks = held.in_order();
        let encoded = self.seal.encode(&Made {
            pieces: &pieces,
            reuse: &reuse,
            new: &new,
            new_bytes: bytes,
            packs: &[],
            kept_here: &if is_early { self.written } else { kept(&chunks) },
            room: if is_early { ROOM_BYTES } else { 0 },
        })?;
        let mut small = Small {
            record: record_of(&encoded.header, encoded.len()),
            pieces,
            parts: vec![encoded.beginning],
            bytes,
        };
        // What is written early has its place, if the room does. If not, all is written over it, and is longer.
        if !is_early || small.parts[0].len() > ROOM_BYTES {
            small.parts.extend(chunks);
        }
        let Some(aside) = self.aside else {
            return Ok(SizedUp::Small(small));
        };
        Directory::stage_now(&aside, &small.parts)?;
        Ok(SizedUp::Put(small, Directory::publish_now(aside)))
    }
}

fn kept(chunks: &[Bytes]) -> KeptChunks {
    KeptChunks::of(chunks.iter().map(|stored| &**stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_its_own_is_for_what_is_long_in_the_making_or_may_be() {
        let growing = |expected| Looks::of(&Payload::growing_to(expected).1);
        assert_eq!(growing(None), Looks::LongInTheMaking);
        assert_eq!(growing(Some(BESIDE_BYTES)), Looks::LongInTheMaking);
        assert_eq!(growing(Some(BESIDE_BYTES - 1)), Looks::Whole);
        assert_eq!(Looks::of(&Payload::from(vec![0; 1 << 20])), Looks::Whole);
    }
}
