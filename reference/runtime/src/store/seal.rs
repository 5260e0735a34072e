//! Writing a checkpoint: what it is made of first, its envelope last.
//!
//! ```text
//!  small   envelope, chunks inside
//!  large   note ──> pack, when there are new chunks ──> envelope ──> note dropped
//! ```
//!
//! In a `file` store pack and envelope are on disk, with the names of all folders above, before the envelope is put
//! in its place at once, and its folder synced (`directory/aside.rs` has the order): after a crash at any point, also
//! of the machine, the envelope is not there or everything that it names is. A note needs no disk: a machine that
//! fails ends the seal, too. A crash before the envelope leaves a pack that nothing names; a later collection takes
//! it.

mod small;
mod stock;

use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hash;
use bytes::Bytes;
use tokio::sync::OwnedRwLockReadGuard;
use torpor_api::CheckpointRecord;
use uuid::Uuid;

use super::depot::Depot;
use super::draft::Begun;
use super::inspection::Inspection;
use super::objects::{Created, NewPack, Staged, beside, on_the_cores};
use super::pack::{self, PackError, Sieve, Survey};
use super::place::SandboxPlace;
use super::plan::{self, Base, Reuse};
use super::restore::{self, Sealed};
use super::room::Room;
use super::{CheckpointKey, CheckpointStore, EngineVersion, EnvelopeHeader, StoreError};
use crate::chunks::Piece;
use crate::envelope::{self, Contents, Encoded, Entry, Holder, KeptChunks, Pack};
use crate::payload::{Payload, PayloadError};
use crate::step::Step;
use small::Large;

/// As long as there is one, this program removes nothing of the sandbox.
pub(super) type NoRemoval = OwnedRwLockReadGuard<()>;

/// One call to seal.
pub(super) struct Seal {
    pub(super) store: CheckpointStore,
    pub(super) place: SandboxPlace,
    pub(super) key: CheckpointKey,
    pub(super) engine: EngineVersion,
    /// Names this call and the pack that it writes.
    pub(super) attempt: Uuid,
}

/// What an envelope says beside its chunks.
struct Made<'a> {
    pieces: &'a [Piece],
    reuse: &'a Reuse,
    new: &'a HashMap<Hash, Entry>,
    new_bytes: u64,
    packs: &'a [Pack],
    kept_here: &'a KeptChunks,
    /// Bytes for all in front of these.
    room: usize,
}

/// How a seal ended well.
enum Outcome {
    Sealed(CheckpointRecord),
    /// Another call has sealed the same payload; what this one wrote is of no use.
    SealedByAnother(CheckpointRecord),
}

/// How a seal failed.
enum Failed {
    /// There is no envelope of this attempt, and there will be none.
    WithoutEnvelope(StoreError),
    /// There may be one, now or later.
    WithEnvelope(StoreError),
}

/// Who wrote an envelope.
enum Writer {
    /// This attempt.
    This,
    /// Another one, or whoever removed the generation.
    Another,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::WithoutEnvelope(error)
    }
}

impl Seal {
    /// Seals any payload; nothing is removed meanwhile.
    pub(super) async fn run(mut self, payload: Payload, no_removal: NoRemoval) -> Result<CheckpointRecord, StoreError> {
        if !payload.is_taken() {
            return self.at_once(payload, no_removal).await;
        }
        self.store.objects.check().await?;
        // Nobody writes what was taken.
        if payload.is_growing() {
            return Err(self.unreadable(PayloadError::Taken));
        }
        let payload = payload.joined();
        let begun = self.begun(&payload).await?;
        self.attempt = begun.attempt;
        let done = Box::pin(self.large_until_quiet(Large::Whole(payload), *begun)).await;
        self.ended(done).await
    }

    async fn ended(&self, done: Result<Outcome, Failed>) -> Result<CheckpointRecord, StoreError> {
        match done {
            Ok(Outcome::Sealed(record)) => Ok(record),
            Ok(Outcome::SealedByAnother(record)) => {
                self.abandon().await;
                Ok(record)
            }
            Err(Failed::WithoutEnvelope(error)) => {
                self.abandon().await;
                Err(error)
            }
            Err(Failed::WithEnvelope(error)) => Err(error),
        }
    }

    async fn is_there(&self) -> Result<bool, StoreError> {
        let envelope = self.place.envelope(self.key.generation);
        Ok(self.store.objects.size(&envelope).await?.is_some())
    }

    async fn large_from_its_beginning(&self, large: Large) -> Result<Outcome, Failed> {
        if self.is_there().await? {
            let pieces = self.cut(large).await?;
            return Ok(Outcome::Sealed(self.sealed_before(&pieces).await?));
        }
        let (uid, generation) = (&self.key.sandbox_uid, self.key.generation);
        let begun = Begun::new(&self.store, uid, self.attempt, Some(generation)).await?;
        self.large_until_quiet(large, begun).await
    }

    async fn large(&self, large: Large, begun: Begun) -> Result<Outcome, Failed> {
        let (room, place) = (begun.room, self.place.pack(self.attempt));
        let (depot, survey, payload, reuse) = self.take_stock(large, begun).await?;
        // Fits: the plan relies on far fewer packs.
        let own = Holder::Pack(u16::try_from(reuse.packs.len()).unwrap_or(u16::MAX));
        let (pieces, new) = self.pack(&payload, survey, &reuse, own, &depot).await?;
        let (new_bytes, held) = Depot::close(depot).map_err(|error| self.not_packed(error))?;
        self.keep_to(room, new_bytes)?;
        let mut packs = reuse.packs.clone();
        let has_new = !new.is_empty();
        packs.extend(has_new.then_some(Pack {
            id: self.attempt,
            bytes: new_bytes,
        }));
        let encoded = self.encode(&Made {
            pieces: &pieces,
            reuse: &reuse,
            new: &new,
            new_bytes,
            packs: &packs,
            kept_here: &KeptChunks::default(),
            room: 0,
        })?;
        let new_pack = has_new.then(|| held.into_pack(place));
        let record = record_of(&encoded.header, encoded.len());
        let staged = self.stage(vec![encoded.beginning], new_pack).await?;
        if has_new {
            self.store.steps.done(Step::Packed);
        }
        if !self.store.is_noted(&self.place, self.attempt).await? {
            return Err(StoreError::Removed { key: self.key.clone() }.into());
        }
        let outcome = self.commit(record, staged, &pieces).await?;
        self.forget().await;
        self.store.steps.done(Step::NoteDropped);
        Ok(outcome)
    }

    /// What of `base` the new checkpoint relies on.
    async fn reuse(&self, pieces: &[Piece], base: &Base, inspection: Inspection) -> Result<Reuse, StoreError> {
        let reuse = plan::reuse(pieces, base, |_| true);
        self.store.without_damage(&self.place, pieces, reuse, inspection).await
    }

    /// Refuses what would exceed the quota; of that no more was written than fits.
    fn keep_to(&self, room: Option<Room>, added: u64) -> Result<(), StoreError> {
        match room {
            Some(room) if added > room.left() => Err(StoreError::QuotaExceeded {
                key: self.key.clone(),
                needed: room.kept + added,
                quota: room.quota,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The pieces alone.
    async fn cut(&self, large: Large) -> Result<Vec<Piece>, StoreError> {
        let keys = self.store.keys.clone();
        let cut = move || match large {
            Large::Whole(payload) => pack::cut(&payload, keys.sealing()),
            Large::Growing(begun, rest) => pack::cut_runs(begun, rest, keys.sealing()),
        };
        let cut = on_the_cores("cut the payload for", self.place.folder(), cut).await?;
        cut.map_err(|error| self.not_packed(error))
    }

    /// Also the payload, which is written in full then.
    async fn survey(
        &self,
        large: Large,
        sieve: Sieve,
        taken: Vec<Survey>,
        depot: &Arc<Depot>,
    ) -> Result<(Survey, Payload), StoreError> {
        let depot = Arc::clone(depot);
        let is_growing = matches!(large, Large::Growing(..));
        let survey = move || match large {
            Large::Whole(payload) => Ok((pack::survey(&payload, &sieve, taken, &depot)?, payload)),
            Large::Growing(begun, rest) => pack::survey_runs(begun, rest, &sieve, &depot),
        };
        let attempt = "cut the payload for";
        let survey = if is_growing {
            beside(attempt, self.place.folder(), survey).await?
        } else {
            on_the_cores(attempt, self.place.folder(), survey).await?
        };
        survey.map_err(|error| self.not_packed(error))
    }

    async fn pack(
        &self,
        payload: &Payload,
        survey: Survey,
        reuse: &Reuse,
        holder: Holder,
        depot: &Arc<Depot>,
    ) -> Result<(Vec<Piece>, HashMap<Hash, Entry>), StoreError> {
        let (payload, reuse, depot) = (payload.clone(), reuse.clone(), Arc::clone(depot));
        let pack = move || pack::pack_new(&payload, survey, &reuse, holder, &depot);
        let packed = on_the_cores("compress chunks for", self.place.folder(), pack).await?;
        packed.map_err(|error| self.not_packed(error))
    }

    fn not_packed(&self, error: PackError) -> StoreError {
        match error {
            PackError::Compress(source) => StoreError::Compress {
                key: self.key.clone(),
                source,
            },
            PackError::Read(source) => self.unreadable(source),
            PackError::Write(source) => StoreError::Pack {
                key: self.key.clone(),
                source,
            },
        }
    }

    fn unreadable(&self, source: PayloadError) -> StoreError {
        StoreError::Payload {
            key: self.key.clone(),
            source: Box::new(source),
        }
    }

    fn encode(&self, made: &Made<'_>) -> Result<Encoded, StoreError> {
        let entry = |piece: &Piece| {
            let hash = &piece.chunk.hash;
            let entry = made.reuse.entries.get(hash).or_else(|| made.new.get(hash));
            entry.copied().ok_or_else(|| self.not_packed(PackError::lost(hash)))
        };
        let entries = made.pieces.iter().map(entry).collect::<Result<Vec<Entry>, _>>()?;
        let contents = Contents {
            sandbox_uid: &self.key.sandbox_uid,
            generation: self.key.generation,
            engine: &self.engine,
            attempt: self.attempt,
            added_chunk_bytes: made.new_bytes,
            packs: made.packs,
            entries: &entries,
            kept_here: made.kept_here,
            room: made.room,
            key: self.store.keys.sealing(),
        };
        envelope::encode(&contents).map_err(|source| StoreError::Envelope {
            key: self.key.clone(),
            source,
        })
    }

    /// All but the one step that makes a checkpoint of what was written.
    async fn stage(&self, parts: Vec<Bytes>, pack: Option<NewPack>) -> Result<Staged, StoreError> {
        let place = self.place.envelope(self.key.generation);
        self.store.objects.stage(pack, &place, self.attempt, parts).await
    }

    /// That step.
    async fn commit(&self, record: CheckpointRecord, staged: Staged, pieces: &[Piece]) -> Result<Outcome, Failed> {
        let created = self.store.objects.publish(staged).await;
        self.became(record, created, pieces).await
    }

    /// What it made of a checkpoint that it was tried to put it in its place.
    async fn became(
        &self,
        record: CheckpointRecord,
        created: Result<Created, StoreError>,
        pieces: &[Piece],
    ) -> Result<Outcome, Failed> {
        let writer = match created {
            Ok(Created::New) => Ok(Writer::This),
            // The answer may be lost, not the write; or a second try of it found the first.
            Ok(Created::Existed) | Err(_) => self.writer().await,
        };
        match (writer, created) {
            (Ok(Writer::This), _) => {
                self.store.steps.done(Step::Sealed);
                Ok(Outcome::Sealed(record))
            }
            // Whether that is well depends on what it wrote.
            (Ok(Writer::Another), Ok(_)) => Ok(Outcome::SealedByAnother(self.sealed_before(pieces).await?)),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(Failed::WithEnvelope(error)),
        }
    }

    /// Who wrote the envelope that is there; one of this attempt is on disk when this returns.
    async fn writer(&self) -> Result<Writer, StoreError> {
        match self.store.read_header(&self.key).await {
            Ok(header) if header.attempt == self.attempt => {
                self.sync_envelope().await?;
                Ok(Writer::This)
            }
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(Writer::Another),
            Err(error) => Err(error),
        }
    }

    /// Whoever put an envelope in its place may have failed, or died, before its name was on disk.
    async fn sync_envelope(&self) -> Result<(), StoreError> {
        self.store.objects.sync_folder(self.place.folder()).await
    }

    /// The record of the checkpoint when it is sealed already with this very payload, and whole.
    async fn sealed_before(&self, pieces: &[Piece]) -> Result<CheckpointRecord, StoreError> {
        let Some(sealed) = self.store.read_sealed(&self.key).await? else {
            return Err(StoreError::Removed { key: self.key.clone() });
        };
        let Sealed { header, bytes, .. } = &sealed;
        let hash = envelope::payload_hash(pieces.iter().map(|piece| piece.chunk));
        if header.payload_hash != hash || header.engine != self.engine {
            return Err(StoreError::AlreadySealed { key: self.key.clone() });
        }
        let record = record_of(header, bytes.len() as u64);
        self.store.open_as_it_is(&self.key, sealed).await?.check().await?;
        self.sync_envelope().await?;
        Ok(record)
    }

    /// Drops the note.
    async fn forget(&self) {
        let note = self.place.attempt(self.attempt);
        report(
            "drop the note on an ended seal",
            self.store.objects.discard(&note).await,
        );
    }

    async fn abandon(&self) {
        self.store.take_back(&self.place, self.attempt).await;
    }
}

/// What could not be cleared away costs space until the next collection, and is no failure of the seal.
pub(super) fn report(attempt: &'static str, done: Result<(), StoreError>) {
    if let Err(error) = done {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "{attempt}");
    }
}

/// The record of a sealed envelope; it depends on nothing else, so that a repeated call gives the same.
pub(super) fn record_of(header: &EnvelopeHeader, envelope_bytes: u64) -> CheckpointRecord {
    let in_packs = if header.packs.is_empty() {
        0
    } else {
        header.added_chunk_bytes
    };
    CheckpointRecord {
        generation: header.generation,
        digest: restore::digest_of(header),
        size_bytes: header.payload_bytes,
        stored_bytes: in_packs + envelope_bytes,
        engine: header.engine.name.clone(),
    }
}
