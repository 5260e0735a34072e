//! A payload that its envelope keeps, in one go: read, cut, named and written by one thread, since whoever waits for a
//! small checkpoint waits for threads longer than for the work.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use torpor_api::CheckpointRecord;

use super::{Failed, Made, Outcome, Seal, record_of};
use crate::chunks::Piece;
use crate::envelope::{Encoded, Holder};
use crate::payload::{Payload, Run, Runs};
use crate::store::StoreError;
use crate::store::depot::{self, Depot};
use crate::store::directory::Directory;
use crate::store::objects::{Created, on_the_cores};
use crate::store::pack::{self, Sieve};
use crate::store::plan::Reuse;

/// A payload of at most so many bytes is kept in its envelope: one file, one sync, nothing to rely on.
const SMALL_PAYLOAD_BYTES: u64 = 1 << 20;

/// What a seal turns out to be.
pub(super) enum SizedUp {
    /// To be put in place.
    Small(Small),
    /// It was tried to put it in place.
    Put(Small, Result<Created, StoreError>),
    /// Too large for an envelope.
    Large(Large),
}

/// A checkpoint without packs.
pub(super) struct Small {
    pub(super) record: CheckpointRecord,
    pub(super) pieces: Vec<Piece>,
    encoded: Encoded,
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

/// A payload as far as one has to read it to know whether it is small.
enum Size {
    Small(Vec<Run>),
    Large(Large),
}

impl Seal {
    /// Reads until it is known what it will be; then does all of it, if it is small and nothing has to be asked first.
    pub(super) async fn size_up(self: &Arc<Self>, payload: Payload) -> Result<SizedUp, StoreError> {
        let seal = Arc::clone(self);
        let size_up = move || seal.size_up_now(payload);
        on_the_cores("seal a checkpoint in", self.place.folder(), size_up).await?
    }

    fn size_up_now(&self, payload: Payload) -> Result<SizedUp, StoreError> {
        let objects = &self.store.objects;
        objects.directory().map_or(Ok(()), Directory::check_now)?;
        let runs = match self.size(payload)? {
            Size::Large(large) => return Ok(SizedUp::Large(large)),
            Size::Small(runs) => runs,
        };
        let small = self.make_small(runs)?;
        // A small payload is written sooner than asked about: its one write finds out.
        let Some(directory) = objects.directory().filter(|_| self.store.quota.is_none()) else {
            return Ok(SizedUp::Small(small));
        };
        let place = self.place.envelope(self.key.generation);
        let staged = directory.stage_now(&place, self.attempt, &small.encoded.parts)?;
        Ok(SizedUp::Put(small, Directory::publish_now(staged)))
    }

    fn size(&self, payload: Payload) -> Result<Size, StoreError> {
        if !payload.is_growing() && payload.len() > SMALL_PAYLOAD_BYTES {
            return Ok(Size::Large(Large::Whole(payload)));
        }
        let (mut rest, mut runs, mut bytes) = (payload.runs(), Vec::new(), 0);
        let key = self.store.keys.sealing();
        while let Some(run) = rest.next(key).map_err(|source| self.unreadable(source))? {
            bytes += run.plain.len() as u64;
            runs.push(run);
            if bytes > SMALL_PAYLOAD_BYTES {
                return Ok(Size::Large(Large::Growing(runs, rest)));
            }
        }
        Ok(Size::Small(runs))
    }

    fn make_small(&self, runs: Vec<Run>) -> Result<Small, StoreError> {
        // What does not fit into a quota is found out below, and is small.
        let place = depot::Place::Memory(Mutex::default());
        let (depot, sieve) = (self.store.depot(self.attempt, None, place), Sieve::new(HashSet::new()));
        let survey = pack::survey_runs(runs, Payload::default().runs(), &sieve, &depot);
        let (survey, payload) = survey.map_err(|error| self.not_packed(error))?;
        let reuse = Reuse::default();
        let packed = pack::pack_new(&payload, survey, &reuse, Holder::Envelope, &depot);
        let (pieces, new) = packed.map_err(|error| self.not_packed(error))?;
        let (bytes, held) = Depot::close(depot);
        let encoded = self.encode(&Made {
            pieces: &pieces,
            reuse: &reuse,
            new: &new,
            new_bytes: bytes,
            packs: &[],
            kept_here: &held.map(depot::Place::in_order).unwrap_or_default(),
        })?;
        Ok(Small {
            record: record_of(&encoded.header, encoded.len()),
            pieces,
            encoded,
            bytes,
        })
    }

    /// Puts a small checkpoint in place that was not.
    pub(super) async fn small(&self, small: Small) -> Result<Outcome, Failed> {
        if self.store.quota.is_some() && self.is_there().await? {
            return Ok(Outcome::Sealed(self.sealed_before(&small.pieces).await?));
        }
        self.keep_to(self.store.room(&self.place).await?, small.bytes)?;
        let (record, staged) = self.stage(small.encoded, None).await?;
        self.commit(record, staged, &small.pieces).await
    }
}
