//! A pack on its way to a bucket takes little memory, and leaves nothing when it does not arrive.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::watched::{Guard, Kind, Verdict, Watched};
use super::*;
use crate::chunks::Grain;
use crate::payload::Payload;
use crate::store::draft::Draft;
use crate::store::fixture::{self, engine, noise};
use crate::store::{CheckpointKey, CheckpointStore, StoreError};

const UID: &str = "sent";
const MIB: usize = 1 << 20;
/// Bytes that whoever writes has to wait with.
const FULL: u64 = MOST_PARTS as u64 * PART_BYTES;
/// More than up to four threads have each of what they cut.
const IN_HANDS: u64 = 8 << 20;

fn key(generation: u64) -> CheckpointKey {
    fixture::key(UID, generation)
}

/// Knows what was sent.
#[derive(Debug, Default)]
struct Ledger {
    /// What becomes of the operation of that kind and number.
    fault: Option<(Kind, usize, Verdict)>,
    asked: Mutex<Vec<Kind>>,
    largest: AtomicUsize,
    arrived: AtomicU64,
    /// Parts wait for it.
    may_arrive: CancellationToken,
    aborted: CancellationToken,
}

impl Ledger {
    fn times(&self, kind: Kind) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| **asked == kind).count()
    }
}

impl Guard for Ledger {
    fn ask<'a>(&'a self, kind: Kind, _: &'a Path) -> BoxFuture<'a, Verdict> {
        async move {
            let nth = self.times(kind);
            self.asked.lock().unwrap().push(kind);
            if kind == Kind::Part {
                self.may_arrive.cancelled().await;
            }
            if kind == Kind::Abort {
                self.aborted.cancel();
            }
            match self.fault {
                Some((of, at, verdict)) if of == kind && at == nth => verdict,
                Some(_) | None => Verdict::Proceed,
            }
        }
        .boxed()
    }

    fn arrived(&self, place: &Path, bytes: usize) {
        if place.as_ref().contains("/packs/") {
            self.largest.fetch_max(bytes, Ordering::SeqCst);
            self.arrived.fetch_add(bytes as u64, Ordering::SeqCst);
        }
    }
}

/// A bucket whose parts arrive at once, and what keeps its book.
fn bucket(fault: Option<(Kind, usize, Verdict)>) -> (CheckpointStore, Arc<Ledger>, Arc<InMemory>) {
    let (bucket, ledger, objects) = held_up(fault);
    ledger.may_arrive.cancel();
    (bucket, ledger, objects)
}

/// A bucket none of whose parts arrive yet.
fn held_up(fault: Option<(Kind, usize, Verdict)>) -> (CheckpointStore, Arc<Ledger>, Arc<InMemory>) {
    let ledger = Arc::new(Ledger {
        fault,
        ..Ledger::default()
    });
    let objects = Arc::new(InMemory::new());
    let watched = Watched {
        objects: Arc::clone(&objects),
        guard: Arc::clone(&ledger),
    };
    let store = CheckpointStore::in_object_store(Arc::new(watched) as Arc<dyn ObjectStore>);
    (store, ledger, objects)
}

/// All that is in the bucket.
async fn places(objects: &InMemory) -> Vec<Path> {
    let listed: Vec<_> = objects.list(None).collect().await;
    listed.into_iter().map(|object| object.unwrap().location).collect()
}

/// Gives bytes, and lets parts arrive as soon as nobody could go on without.
struct Watches {
    bytes: Cursor<Vec<u8>>,
    ledger: Arc<Ledger>,
    /// The most that was read and had not arrived.
    furthest: u64,
}

impl Read for Watches {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if self.bytes.position() >= FULL {
            self.ledger.may_arrive.cancel();
        }
        let arrived = self.ledger.arrived.load(Ordering::SeqCst);
        self.furthest = self.furthest.max(self.bytes.position() - arrived);
        Ok(read)
    }
}

async fn taken(draft: &Arc<Draft>, ledger: &Arc<Ledger>, bytes: Vec<u8>) -> (Payload, u64) {
    let (draft, ledger) = (Arc::clone(draft), Arc::clone(ledger));
    let take = move || {
        let mut source = Watches {
            bytes: Cursor::new(bytes),
            ledger,
            furthest: 0,
        };
        let payload = draft.take(Grain::Aligned, &[], &mut source).unwrap();
        (payload, source.furthest)
    };
    tokio::task::spawn_blocking(take).await.unwrap()
}

#[tokio::test]
async fn who_takes_a_large_part_holds_little_of_it_and_sends_it_in_parts() {
    let (store, ledger, _) = held_up(None);
    let draft = store.intake(UID).begin().await;
    let memory = noise(1, 64 * MIB);
    let (payload, furthest) = taken(&draft, &ledger, memory.clone()).await;
    // Beside full parts: one that is not, what each thread has read, and what it has put and did not wait for.
    let most = FULL + PART_BYTES + 2 * IN_HANDS;
    assert!(furthest <= most, "{furthest} of {most} bytes");
    store.seal(&key(1), &engine(), payload).await.unwrap();
    let largest = ledger.largest.load(Ordering::SeqCst);
    assert!(largest <= 16 * MIB, "{largest} bytes at once");
    assert_eq!((ledger.times(Kind::Begin), ledger.times(Kind::Complete)), (1, 1));
    assert!(store.load(&key(1), &engine()).await.unwrap() == memory);
}

#[tokio::test]
async fn whoever_writes_waits_until_few_enough_parts_are_on_their_way() {
    let ledger = Arc::new(Ledger::default());
    let watched = Watched {
        objects: Arc::default(),
        guard: Arc::clone(&ledger),
    };
    let upload = Arc::new(Upload::new(Arc::new(watched), Path::from("sent/packs/one")));
    let full = vec![0; usize::try_from(FULL + 1).unwrap()];
    upload.write_at(full.into(), 0).unwrap();
    let (tell, told) = oneshot::channel();
    let waits = Arc::clone(&upload);
    let waited = tokio::task::spawn_blocking(move || {
        tell.send(()).unwrap();
        waits.wait_for_room();
        waits.traffic.lock().under_way
    });
    told.await.unwrap();
    // One that does not wait is back by now, most likely.
    for _ in 0..1000 {
        std::thread::yield_now();
    }
    ledger.may_arrive.cancel();
    let under_way = waited.await.unwrap();
    assert!(under_way < MOST_PARTS, "{under_way} parts");
    upload.complete().await.unwrap();
    assert_eq!(ledger.arrived.load(Ordering::SeqCst), FULL + 1);
}

#[tokio::test]
async fn a_payload_that_is_there_is_sent_in_parts_as_well() {
    let (store, ledger, _) = bucket(None);
    let memory = noise(1, 20 * MIB);
    store.seal(&key(1), &engine(), memory.clone()).await.unwrap();
    assert_eq!(ledger.times(Kind::Part), 3);
    assert!(ledger.largest.load(Ordering::SeqCst) as u64 <= PART_BYTES);
    assert!(store.load(&key(1), &engine()).await.unwrap() == memory);
}

#[tokio::test]
async fn a_pack_of_one_part_is_put_at_once() {
    let (store, ledger, _) = bucket(None);
    store.seal(&key(1), &engine(), noise(1, 6 * MIB)).await.unwrap();
    assert_eq!(ledger.times(Kind::Begin), 0);
}

#[tokio::test]
async fn a_draft_that_nobody_wants_takes_back_what_it_has_sent() {
    let (store, ledger, objects) = bucket(None);
    let draft = store.intake(UID).begin().await;
    drop(taken(&draft, &ledger, noise(1, 20 * MIB)).await);
    draft.abandon().await;
    assert_eq!((ledger.times(Kind::Abort), ledger.times(Kind::Complete)), (1, 0));
    assert!(places(&objects).await.is_empty());

    let (store, ledger, _) = bucket(None);
    let draft = store.intake(UID).begin().await;
    drop(taken(&draft, &ledger, noise(1, 20 * MIB)).await);
    drop(draft);
    ledger.aborted.cancelled().await;
    assert_eq!(ledger.times(Kind::Complete), 0);
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_fails_the_seal_and_leaves_nothing() {
    let refused = Verdict::Refuse(io::ErrorKind::PermissionDenied);
    for (kind, nth) in [(Kind::Begin, 0), (Kind::Part, 0), (Kind::Part, 2), (Kind::Complete, 0)] {
        for verdict in [refused, Verdict::LoseAnswer] {
            let (store, ledger, objects) = bucket(Some((kind, nth, verdict)));
            let memory = noise(1, 17 * MIB);
            let draft = store.intake(UID).begin().await;
            let (payload, _) = taken(&draft, &ledger, memory.clone()).await;
            let sealed = store.seal(&key(1), &engine(), payload).await;
            let context = format!("{verdict:?} at {kind:?} {nth}");
            if kind == Kind::Complete && verdict == Verdict::LoseAnswer {
                sealed.unwrap_or_else(|error| panic!("{context}: it is there, and {error:?}"));
                assert!(store.load(&key(1), &engine()).await.unwrap() == memory);
                continue;
            }
            let error = sealed.expect_err(&context);
            assert!(
                matches!(error, StoreError::Pack { .. } | StoreError::Backend { .. }),
                "{context}: {error:?}"
            );
            let begun = usize::from(kind != Kind::Begin);
            assert_eq!(ledger.times(Kind::Abort), begun, "{context}");
            assert!(places(&objects).await.is_empty(), "{context}");
        }
    }
}

#[tokio::test]
async fn whoever_waits_goes_on_when_a_part_fails() {
    let refused = Verdict::Refuse(io::ErrorKind::PermissionDenied);
    let (store, ledger, _) = held_up(Some((Kind::Part, 0, refused)));
    let draft = store.intake(UID).begin().await;
    let (payload, _) = taken(&draft, &ledger, noise(1, 64 * MIB)).await;
    store.seal(&key(1), &engine(), payload).await.unwrap_err();
}

proptest! {
    /// Pieces by their lengths, in an order of their own.
    #[test]
    fn parts_side_by_side_are_what_was_written(
        lengths in prop::collection::vec(1..50_usize, 1..40),
        order in any::<prop::sample::Index>(),
        part in 1..60_u64,
    ) {
        let whole = noise(1, lengths.iter().sum());
        let mut pieces = Vec::new();
        let mut at = 0;
        for length in lengths {
            pieces.push((at, Bytes::copy_from_slice(&whole[at..at + length])));
            at += length;
        }
        let turned = order.index(pieces.len());
        pieces.rotate_left(turned);
        pieces.reverse();
        let (mut growth, mut sent) = (Growth::default(), Vec::new());
        for (at, bytes) in pieces {
            growth.add(bytes, at as u64);
            while growth.end - growth.cut > part {
                let next = growth.cut(part);
                prop_assert_eq!(next.content_length() as u64, part);
                sent.extend(next.iter().flatten().copied());
            }
        }
        sent.extend(growth.rest().unwrap().iter().flatten().copied());
        prop_assert!(sent == whole);
    }
}

#[test]
fn a_pack_with_a_gap_is_refused() {
    let mut growth = Growth::default();
    growth.add(Bytes::from_static(b"some"), 0);
    growth.add(Bytes::from_static(b"more"), 5);
    let refused = growth.rest().unwrap_err().to_string();
    assert!(refused.contains("begins at 4"), "{refused}");
}
