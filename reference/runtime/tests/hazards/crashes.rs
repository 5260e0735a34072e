//! A program that seals a checkpoint and removes the older one, stopped or refused at each single operation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use torpor_runtime::{CheckpointStore, StoreError};

use crate::watched::{Guard, Kind, Verdict, Watched};
use crate::world::{UID, broken_envelope, engine, is_envelope, key, payload, sound, whole_generations};

/// What happens at one operation.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The program ends before it.
    DiesBefore,
    /// The program ends after it.
    DiesAfter,
    /// It is lost although it was acknowledged, and the program ends.
    LosesIt,
    /// Half of a file that is no envelope arrives, and the program ends: an envelope is put in place at once.
    Tears,
    /// It alone fails.
    NoSpace,
    /// It alone fails.
    Denied,
    /// It alone is carried out, and the answer is lost.
    NoAnswer,
    /// It is carried out twice, and the next one fails.
    Repeats,
    /// It takes an hour.
    Slow,
}

const FAULTS: [Fault; 9] = [
    Fault::DiesBefore,
    Fault::DiesAfter,
    Fault::LosesIt,
    Fault::Tears,
    Fault::NoSpace,
    Fault::Denied,
    Fault::NoAnswer,
    Fault::Repeats,
    Fault::Slow,
];

#[derive(Debug)]
struct FaultAt {
    fault: Fault,
    at: usize,
    operations: AtomicUsize,
}

const DEAD: Verdict = Verdict::Refuse(io::ErrorKind::BrokenPipe);

impl FaultAt {
    fn verdict(&self, nth: usize, kind: Kind, place: &Path) -> Verdict {
        let (here, later) = (nth == self.at, nth > self.at);
        let whole = kind != Kind::Put || is_envelope(place);
        match self.fault {
            Fault::DiesBefore if here || later => DEAD,
            Fault::DiesAfter | Fault::NoAnswer if here => Verdict::LoseAnswer,
            Fault::LosesIt if here => Verdict::Pretend,
            Fault::Tears if here && whole => DEAD,
            Fault::Tears if here => Verdict::Tear,
            Fault::DiesAfter | Fault::LosesIt | Fault::Tears if later => DEAD,
            Fault::Repeats if here => Verdict::Repeat,
            Fault::Repeats if nth == self.at + 1 => Verdict::Refuse(io::ErrorKind::TimedOut),
            Fault::NoSpace if here => Verdict::Refuse(io::ErrorKind::StorageFull),
            Fault::Denied if here => Verdict::Refuse(io::ErrorKind::PermissionDenied),
            Fault::DiesBefore
            | Fault::DiesAfter
            | Fault::LosesIt
            | Fault::Tears
            | Fault::NoSpace
            | Fault::Denied
            | Fault::NoAnswer
            | Fault::Repeats
            | Fault::Slow => Verdict::Proceed,
        }
    }
}

impl Guard for FaultAt {
    fn ask<'a>(&'a self, kind: Kind, place: &'a Path) -> BoxFuture<'a, Verdict> {
        async move {
            let nth = self.operations.fetch_add(1, Ordering::Relaxed);
            if nth == self.at && matches!(self.fault, Fault::Slow) {
                tokio::time::sleep(std::time::Duration::from_hours(1)).await;
            }
            self.verdict(nth, kind, place)
        }
        .boxed()
    }
}

/// Seals generation 2 over generation 1 and removes the latter; gives how many operations that took.
async fn pause_under(fault: Fault, at: usize, objects: &Arc<InMemory>) -> (bool, usize) {
    let guard = Arc::new(FaultAt {
        fault,
        at,
        operations: AtomicUsize::new(0),
    });
    let watched = Watched {
        objects: Arc::clone(objects),
        guard: Arc::clone(&guard),
    };
    let store = CheckpointStore::in_object_store(Arc::new(watched) as Arc<dyn ObjectStore>);
    let sealed = store.seal(&key(2), &engine(), payload(2)).await.is_ok();
    if sealed {
        // May fail; what is left then is looked at by the caller.
        let _ = store.remove_older_than(UID, 2).await;
    }
    (sealed, guard.operations.load(Ordering::Relaxed))
}

async fn check(fault: Fault, at: usize) -> usize {
    let objects = Arc::new(InMemory::new());
    sound(&objects).seal(&key(1), &engine(), payload(1)).await.unwrap();
    let (sealed, operations) = pause_under(fault, at, &objects).await;
    let context = format!("{fault:?} at operation {at}");

    let whole = whole_generations(&objects)
        .await
        .unwrap_or_else(|broken| panic!("{context}: {broken}"));
    assert_eq!(broken_envelope(&objects).await, None, "{context}");
    assert!(whole.contains(&1) || whole.contains(&2), "{context}: {whole:?}");
    let lied = matches!(fault, Fault::LosesIt);
    assert!(!sealed || lied || whole.contains(&2), "{context}: sealed and not there");

    // Another pause succeeds, and what the fault left goes.
    let store = sound(&objects);
    store.seal(&key(3), &engine(), payload(3)).await.unwrap();
    match store.remove_older_than(UID, 3).await {
        Ok(_) => {
            let left = store.stored_bytes(UID).await.unwrap();
            assert!(
                left <= 2 * 1_130_000,
                "{context}: {left} bytes are kept for one checkpoint"
            );
        }
        Err(StoreError::Attempt { .. }) => assert!(matches!(fault, Fault::Tears), "{context}"),
        Err(error) => panic!("{context}: {error:?}"),
    }
    assert!(whole_generations(&objects).await.unwrap().contains(&3), "{context}");
    store.remove_all(UID).await.unwrap();
    assert_eq!(store.stored_bytes(UID).await.unwrap(), 0, "{context}");
    operations
}

#[tokio::test(start_paused = true)]
async fn after_a_fault_at_any_operation_one_of_the_checkpoints_is_whole_and_none_is_listed_that_is_not() {
    for fault in FAULTS {
        let mut at = 0;
        while check(fault, at).await > at {
            at += 1;
        }
        assert!(at > 15, "{fault:?} was tried at {at} operations only");
    }
}

#[tokio::test]
async fn a_store_that_loses_a_pack_is_noticed() {
    let objects = Arc::new(InMemory::new());
    sound(&objects).seal(&key(1), &engine(), payload(1)).await.unwrap();
    assert_eq!(broken_envelope(&objects).await, None);
    let packs = objects
        .list_with_delimiter(Some(&Path::from(format!("{UID}/packs"))))
        .await
        .unwrap();
    objects.delete(&packs.objects[0].location).await.unwrap();
    assert!(broken_envelope(&objects).await.unwrap().contains("needs pack"));
    assert!(whole_generations(&objects).await.unwrap_err().contains("PackMissing"));
}
